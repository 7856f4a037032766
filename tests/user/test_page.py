"""docs/host-side-servers.md, followed literally: its files, its commands, and what its servers say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from machemu.machine.profile import load_profile, names
from tests.support.guests import Arch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "host-side-servers.md").read_text()
FILE = re.compile(
    r"`((?:visits2?|post|replace)\.\w+|(?:caller|reader|visitor)\.py)`[^`]*\n\n```\w+\n(.*?)```",
    re.DOTALL,
)
BLOCKS = dict(FILE.findall(PAGE))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SAID = dict(
    zip(("visits", "replace", "post"), map(str.splitlines, re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)), strict=True)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and what its commands make of them."""
    made = tmp_path_factory.mktemp("visits")
    for name, text in BLOCKS.items():
        (made / name).write_text(text)
    for command in COMMANDS:
        if ".mig " in command:
            run(made, command)
    return made


def run(folder: Path, command: str) -> str:
    """A command of the page; what it prints on both outputs."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    command = command.replace("python3 ", f"{sys.executable} ", 1)
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's modules can be imported here."""
    monkeypatch.syspath_prepend(str(folder))
    yield


def notes(text: str) -> list[str]:
    return [line[match.start() :] for line in text.splitlines() if (match := re.search("(visits|visitor|caller|reader): ", line))]


def test_the_page_has_a_server_of_some_thirty_lines_and_its_files() -> None:
    assert sorted(BLOCKS) == [
        *("caller.py", "post.defs", "post.py", "post.toml"),
        *("reader.py", "replace.toml", "visitor.py", "visits.defs", "visits.py", "visits.toml", "visits2.py"),
    ]
    assert len([line for line in BLOCKS["visits.py"].splitlines() if line]) <= 32


def test_the_page_s_times_are_those_of_the_profiles() -> None:
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
    assert [name for name, *_ in rows] == names()
    for name, *times in rows:
        profile = load_profile(name)
        assert [*map(int, times)] == [profile.server_handler_ns, profile.server_message_ns, profile.server_byte_ns]


@pytest.mark.parametrize("name", SAID)
def test_the_commands_print_what_the_page_says(folder: Path, name: str) -> None:
    (command,) = (each for each in COMMANDS if f"{name}.toml" in each)
    assert notes(run(folder, command)) == SAID[name]


def test_with_one_thread_the_post_serves_nobody_behind_a_full_queue(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "post.py").write_text(BLOCKS["post.py"].replace("threads = 2", "threads = 1"))
    (command,) = (each for each in COMMANDS if "post.toml" in each)
    assert notes(run(tmp_path, command)) == [f"reader: letter {number} is in the queue" for number in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["visits", "post"])
def test_the_servers_may_be_saved_at_every_trap(folder: Path, imported: None, tmp_path: Path, name: str, arch: Arch) -> None:
    spec = parse_file(BLOCKS[f"{name}.toml"] + f'profile = "{arch.profile}"\n', folder)

    def end(cluster: Cluster) -> tuple[str, int]:
        cluster.run()
        assert cluster.nodes[0].kernel is not None
        return cluster.digest(), cluster.nodes[0].kernel.trap_count

    with Cluster(spec) as cluster:
        cluster.boot()
        expected, count = end(cluster)
    assert count > 80
    with Cluster(spec) as cluster:
        cluster.boot()
        for number in range(count):
            kernel = cluster.nodes[0].kernel
            assert kernel is not None
            kernel.run(traps=1)
            cluster.save(tmp_path / "saved")
            with Cluster.load(tmp_path / "saved", spec) as loaded:
                assert end(loaded) == (expected, count), f"saved after trap {number + 1}"
