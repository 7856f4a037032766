"""The bare personality: programs of the cluster file as processes, with their output at home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.device import D_NO_SUCH_DEVICE
from machemu.abi.errors import UserError
from masix.personality import programs
from masix.personality.bare import Bare, program
from tests.support.clusters import MS, ROOT, World
from tests.support.families import FAMILY, NODES, cluster, server
from tests.support.guests import I386, Arch

PAGE = (ROOT / "docs" / "processes.md").read_text()


def with_programs(text: str, named: str) -> str:
    """A cluster in which the first node has a server of the personality."""
    bare = f'}}, {{ class = "masix.personality.bare:Bare", programs = "{named}" }}]'
    return text.replace("}]", bare, 1)


@pytest.mark.slow
def test_the_page_s_cluster_prints_what_the_page_says(tmp_path: Path) -> None:
    _, _, rest = PAGE.partition("`bare.toml`, for a checkout's directory:\n\n```toml\n")
    text, _, rest = rest.partition("```")
    file = tmp_path / "bare.toml"
    file.write_text(text.replace("images/", f"{ROOT}/images/").replace("tests/", f"{ROOT}/tests/"))
    command, transcript = (rest.split(f"```{kind}\n")[1].split("```")[0] for kind in ("sh", "text"))
    words = command.replace("bare.toml", str(file)).split()
    assert words[0] == "machemu"
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert done.stdout == transcript


def test_programs_are_processes_of_their_kind_and_their_output_stays_at_home(arch: Arch) -> None:
    """The second family moves to another node, and its children to a third one."""
    family = FAMILY.format(arch.name)
    named = f"sedentary {family} 1 2; nomad {family} 1 1 gamma beta"
    with World(with_programs(cluster(arch, moves=True), named)) as world:
        world.run(1500 * MS)
        lines = world.lines("alpha")
        assert sorted(line for line in lines if "processes" in line) == ["2 processes", "3 processes"]
        assert lines.count("it is -> 00000000") == lines.count("END") == 2
        assert not any(line.startswith("to ") for line in lines)
        assert not world.lines("beta") and not world.lines("gamma")
        (bare,) = world.programs("alpha", Bare)
        assert not (bare.outputs or bare.questions or bare.waiting)
        for name in NODES:
            gps = server(world, name)
            assert not (gps.table.entries or gps.own.entries or gps.processes or gps.tasks)


def test_a_program_sees_a_console_and_no_other_device() -> None:
    with World(with_programs(cluster(I386), "sedentary images/i386/hello.elf; sedentary images/i386/ether.elf")) as world:
        world.run(500 * MS)
        assert world.lines("alpha") == ["Hello from a Mach task.", f"eth0 -> {D_NO_SUCH_DEVICE:08x}", "END"]
        (bare,) = world.programs("alpha", Bare)
        assert not bare.questions


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nomad", "'nomad' is no program: write nomad or sedentary, its path, and its arguments"),
        ("both images/i386/hello.elf", "'both images/i386/hello.elf' is no program"),
        ("nomad images/none.elf", "images/none.elf"),
    ],
)
def test_what_is_no_program_is_refused_with_its_words(words: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        program(words, ROOT)
    with pytest.raises(UserError, match=said), World(with_programs(cluster(), words)):
        pass


def test_a_program_for_another_machine_is_told_with_its_path() -> None:
    world = World(with_programs(cluster(), "nomad images/m68k/hello.elf"))
    try:
        with pytest.raises(UserError, match=r"images/m68k/hello.elf: is a program for m68k, and the machine is an i386"):
            world.run(500 * MS)
    finally:
        world.cluster.close()


def test_of_a_program_that_cannot_be_placed_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stack is larger than all addresses."""
    monkeypatch.setattr(programs, "STACK_SIZE", 0xFFFFF000)
    with World(with_programs(cluster(), "sedentary images/i386/hello.elf")) as world:
        world.run(500 * MS)
        assert "Hello from a Mach task." not in world.lines("alpha")
        (bare,) = world.programs("alpha", Bare)
        assert not (bare.outputs or bare.questions or server(world, "alpha").tasks)
        kernel = world.node("alpha").kernel
        assert kernel is not None and [task.name for task in kernel.kern.tasks.values()][1:] == ["acs", "gns", "gps", "bare"]
