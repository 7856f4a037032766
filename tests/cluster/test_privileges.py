"""Which servers are privileged: those whose program the cluster file allows by its digest, as the loader computes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_NO_ACCESS
from machemu.cluster.file import parse_file
from machemu.cluster.privileges import digest, main
from machemu.cluster.server_specs import GuestSpec, ServerSpec
from tests.support.clients import Steps
from tests.support.clusters import ROOT, SECOND, World, with_guests
from tests.support.name_servers import GUEST, both_places
from tests.support.successors import action

MASIX, MINE = (digest(ServerSpec(name), ROOT) for name in ("masix.gns.server:Gns", "tests.support.clients:Steps"))
SCRIPT = "100 essential vital; 200 reg gps; 300 look gns"


def node(allowed: str) -> str:
    servers = f'"masix.acs.server:Acs", "masix.gns.server:Gns", {{ class = "tests.support.clients:Steps", script = "{SCRIPT}" }}'
    return f'[nodes.one]\nmemory = "4M"\nservers = [{servers}]\n{allowed}\n'


@both_places
@pytest.mark.parametrize(
    ("allowed", "mine", "masix"),
    [
        ("", KERN_NO_ACCESS, True),
        (f'privileged = ["{MASIX}"]', KERN_NO_ACCESS, True),
        (f'privileged = ["{MINE}"]', 0, False),
        (f'privileged = ["{MASIX}", "{MINE}"]', 0, True),
        (f'privileged = ["{"0" * 64}"]', KERN_NO_ACCESS, False),
        ("privileged = []", KERN_NO_ACCESS, False),
    ],
    ids=["no list", "masix", "another", "both", "unknown", "nobody"],
)
def test_a_server_is_privileged_whose_digest_the_file_has(allowed: str, mine: int, masix: bool, place: str) -> None:
    text = node(allowed)
    with World(with_guests(text) if place == GUEST else text) as world:
        world.run(SECOND // 2)
        (steps,) = world.programs("one", Steps)
        assert [each.value for each in steps.said][:2] == [mine, mine]
        assert bool(steps.said[2].value) is masix


def test_a_digest_changes_with_any_file_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number, text in enumerate(("a = 1", "a = 2", "a = 2")):
        package = tmp_path / f"p{number}" / f"package{number}"
        (package / "inner").mkdir(parents=True)
        for name in ("__init__.py", "server.py", "inner/__init__.py"):
            (package / name).write_text("")
        (package / "inner" / "part.py").write_text(text)
        monkeypatch.syspath_prepend(str(package.parent))
        found.append(digest(ServerSpec(f"package{number}.server:Server"), tmp_path))
    assert found[0] != found[1] == found[2]


def test_a_guests_digest_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.elf").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest(GuestSpec("a.elf WITH ARGUMENTS"), tmp_path) == empty


def test_the_digests_of_a_files_servers_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Those that actions start are, too."""
    file = tmp_path / "one.toml"
    replaced = action("2s", "replace", "two", name='"gns"', server='"masix.gns.server:Gns"')
    started = action("1s", "start", "one", server='{ guest = "a.elf HELLO" }')
    file.write_text(node("") + replaced + started + '[nodes.two]\nservers = ["masix.gns.server:Gns"]\n')
    (tmp_path / "a.elf").write_bytes(b"")
    assert main([str(file)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        f"one: masix.acs.server:Acs {MASIX} privileged",
        f"one: masix.gns.server:Gns {MASIX} privileged",
        f"one: tests.support.clients:Steps {MINE}",
        f"one: a.elf {digest(GuestSpec('a.elf'), tmp_path)}",
        f"two: masix.gns.server:Gns {MASIX} privileged",
        f"two: masix.gns.server:Gns {MASIX} privileged",
    ]
    assert "python3 -m machemu.cluster.privileges images/greet.toml" in (ROOT / "docs" / "masix.md").read_text()
    assert main([str(ROOT / "images" / "greet.toml")]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 4
    assert main([str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capfd.readouterr().err
    assert main([]) == 2


def test_who_reads_no_more_of_the_digests_ends_them() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "machemu.cluster.privileges", str(ROOT / "images" / "greet.toml")]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, "machemu: standard output: cannot be written: Broken pipe\n")


@pytest.mark.parametrize("value", ['"abc"', '["abc"]', f'["{"A" * 64}"]', "[1]"])
def test_what_is_no_list_of_digests_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"nodes\.one\.privileged"):
        parse_file(node(f"privileged = {value}"), ROOT)
