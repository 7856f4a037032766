"""Boot modules print here what they printed on the real GNU Mach 1.8, byte for byte, and leave a sound kernel behind.

On the m68k, for which there is no real kernel, what they must print follows from that: tools/differences.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu.machine import accel
from machemu.machine.seams import Shares
from tests.support import modules
from tests.support.guests import Arch
from tests.support.machine import RAM, boot, image, module

HERE = Path(__file__).parent
SHARED = HERE.parent.parent.parent / "shared" / "conformance"
MODULES = sorted(path.stem for path in HERE.glob("*.expected"))
TIME_NS = 60_000_000_000
FAST = 0.95
"""Of a module's traps, and of its instructions, as much at least runs in the extension in C, where there is one."""
TURN_IT_OFF = {
    ("i386", "debugging"): "breakpoints, watched data and single steps",
    ("i386", "segments"): "a local descriptor table",
}
"""The modules of which less runs there, and what they use that turns it off."""
KERNEL_SAYS = re.compile(rb"^(task .* a bogus port|no more room in ).*\n", re.MULTILINE)
"""What is not in the transcripts beside the tree."""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_prints_what_it_must(arch: Arch, name: str, tmp_path: Path) -> None:
    path = module(arch, name)
    lines = modules.more_lines(path, tmp_path)
    with boot(path, ram=modules.ram(path) or RAM, disks=modules.disks(name, arch.name), lines=lines) as machine:
        machine.run_until("END", TIME_NS)
        assert modules.comparable(machine.console) == modules.transcript_of(path).read_bytes()
        machine.check()
        shares = machine.kernel.cpu.shares()
        assert (shares is None) == (accel.native is None)
        assert shares is None or (fast_share(shares) < FAST) == ((arch.name, name) in TURN_IT_OFF)


def fast_share(shares: Shares) -> float:
    """What ran in the extension in C, of the traps or of the instructions: the smaller."""
    traps = shares.whole + shares.entered
    return min(traps / (traps + shares.left), shares.instructions / shares.executed)


@pytest.mark.parametrize("name", ("ports", "messages", "memory", "threads", "pager"))
def test_a_module_built_with_the_real_headers_and_stubs_prints_the_same(name: str) -> None:
    """Binaries that Debian's MIG and headers made, where they lie beside the tree."""
    if not (SHARED / f"{name}.elf").exists():
        pytest.skip("the modules built with Debian's MIG are not beside the tree")
    with boot(SHARED / f"{name}.elf") as machine:
        machine.run_until("END", TIME_NS)
        assert KERNEL_SAYS.sub(b"", machine.console) == (SHARED / f"{name}.expected").read_bytes()
        machine.check()


@pytest.mark.parametrize("name", ("hello", "pingpong", "portpass", "bench", "datagram", "acs"))
def test_a_guest_program_prints_what_it_printed_on_the_real_kernel(arch: Arch, name: str) -> None:
    with boot(image(arch, name)) as machine:
        machine.run(TIME_NS)
        assert machine.console == (HERE.parent.parent / "images" / "src" / f"{name}.expected").read_bytes()
        machine.check()


@pytest.mark.slow
def test_the_compressor_packs_as_on_the_real_kernel(arch: Arch) -> None:
    with boot(image(arch, "pack"), ram=16 << 20) as machine:
        machine.run_until("again", 2 * TIME_NS)
        assert machine.console == (HERE.parent.parent / "images" / "src" / "pack.expected").read_bytes()


def test_raw_port_names_are_those_of_gnu_mach(arch: Arch) -> None:
    """Lowest unused first, freed names last in first out: traps.c prints that two reply ports have neighbouring names."""
    with boot(module(arch, "traps")) as machine:
        machine.run_until("END", TIME_NS)
        assert b"reply ports differ 1 next 1\n" in machine.console


def test_each_cause_of_an_exception_leaves_one_name_in_use() -> None:
    """The m68k's list of causes is one longer (causes.h): so is the name that exceptions.c later gives back twice."""
    causes, names = [], []
    for folder in (HERE, HERE / "m68k"):
        text = (folder / "exceptions.expected").read_text()
        causes.append(
            len(re.findall(r"^[^ ].* exception \d", text.partition("-- causes\n")[2].partition("\n-- ")[0], re.MULTILINE))
        )
        names.append(int(re.findall(r"bogus port (\d+),", text)[-1]))
    assert causes == [72, 73]
    assert names[1] - names[0] == causes[1] - causes[0]
