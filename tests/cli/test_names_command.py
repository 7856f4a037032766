"""`machemu names`: Masix's own command, which shows the names in a saved cluster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.ui.commands import parser
from masix.control.names import describe
from tests.support.clusters import ACS, MS, ROOT, World, fault, with_guests

PAGE = (ROOT / "docs" / "masix.md").read_text().split("To see which names the name servers have")[1]


def machemu(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "machemu", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_the_page_s_commands_show_what_it_says(tmp_path: Path) -> None:
    commands = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0].replace("greet.saved", str(tmp_path / "saved")).splitlines()
    first, second = (machemu(*command.split()[1:]) for command in commands)
    assert first.returncode == 0
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0]


def test_it_is_listed_beside_machemu_s_own() -> None:
    assert "names" in parser(["--help"]).format_help()
    assert parser(["names"]).parse_args(["names", "a", "b"]).command == "names"


def test_what_is_no_saved_cluster_is_a_mistake_of_the_user_s(tmp_path: Path) -> None:
    done = machemu("names", "images/greet.toml", "README.md")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "machemu: README.md: is no saved cluster\n")
    with pytest.raises(UserError, match="a file's name cannot be empty"):
        parser(["names"]).parse_args(["names", "images/greet.toml", ""])


def test_a_node_without_power_or_a_name_server_in_python_says_so() -> None:
    servers = f'memory = "4M"\nservers = [{ACS}]\n'
    text = (
        f"[nodes.off]\n{servers}[nodes.guest]\n{with_guests('[nodes.' + servers).removeprefix('[nodes.')}[nodes.empty]\n{servers}"
    )
    with World(text + fault("1ms", "crash", node="off")) as world:
        world.run(5 * MS)
        said = {each.name: list(describe(each)) for each in world.cluster.nodes}
    assert said == {"off": ["has no power"], "guest": ["has no name server in Python"], "empty": []}
