"""How runs end: exit statuses, and what is said of guests that crash and of faults of machemu's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.lab import report
from machemu.ui.commands import parser
from tests.support.clusters import PORTS, START, node
from tests.support.commands import ROOT, run
from tests.support.elves import Part, elf_for, elf_with_symbols
from tests.support.guests import Arch
from tests.support.machine import boot, image

LINE = f"{PORTS} {START}"
UNDEFINED = {"i386": "EXC_BAD_INSTRUCTION code 1 subcode 0x0", "m68k": "EXC_BAD_INSTRUCTION code 16 subcode 0x0"}
UNREADABLE = "EXC_BAD_ACCESS code KERN_INVALID_ADDRESS subcode 0x70000000"


def crash(tmp_path: Path, arch: Arch, before: bytes = b"") -> Path:
    """A program that makes one trap, and then executes an instruction that there is not, in its function `oops`."""
    path = tmp_path / f"crash-{arch.name}.elf"
    first = before + arch.trap(28)
    code = first + arch.undefined
    path.write_bytes(elf_with_symbols(arch, {"begin": 0x1000, "oops": 0x1000 + len(first)}, Part(0x1000, code)))
    return path


def test_an_exception_that_nobody_handles_is_one_line_and_exit_status_3(arch: Arch, tmp_path: Path) -> None:
    path = crash(tmp_path, arch)
    done = run("boot", path)
    pc = 0x1000 + len(arch.trap(28))
    place = f"machemu: task 1 ({path}) thread 1: {UNDEFINED[arch.name]} at pc {pc:#010x} (oops+0x0)"
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"{place}: nobody handles it, and the task ends\n"


def test_a_thread_that_a_run_stops_at_its_end_is_told_to_end(arch: Arch, tmp_path: Path) -> None:
    with boot(crash(tmp_path, arch)) as machine:
        machine.kernel.crashed = lambda *_: machine.kernel.stop()
        machine.run()
        (thread,) = report.describe_threads(machine.kernel)
        assert thread.doing == "ends"
        assert report.end_of_time(machine.kernel).splitlines()[0].endswith(" after 1 trap")


def test_without_symbols_the_address_is_told_alone(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "crash.elf"
    path.write_bytes(elf_for(arch, Part(0x1000, arch.load(1) + arch.fetch(0x70000000))))
    done = run("boot", path)
    assert done.returncode == 3
    assert f"{UNREADABLE} at pc {0x1000 + len(arch.load(1)):#010x}: nobody" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_it_is_no_failure_where_another_task_is_left_or_what_was_waited_for_had_come(arch: Arch, tmp_path: Path) -> None:
    both = ("--module", f"{crash(tmp_path, arch)} {LINE}", "--module", f"{image(arch, 'echo')} {LINE}")
    done = run("boot", *both)
    assert (done.returncode, "nobody handles it" in done.stderr) == (0, True)
    hello = f"{image(arch, 'hello')} {LINE}"
    met = run("boot", "--module", f"{crash(tmp_path, arch, arch.spend(5000))} {LINE}", "--module", hello, "--until", "Hello")
    assert met.returncode == 0, met.stderr
    unmet = run("boot", crash(tmp_path, arch), "--until", "Hello")
    assert (unmet.returncode, "never printed a line with 'Hello'" in unmet.stderr) == (3, True)


@pytest.mark.slow
def test_a_cluster_says_which_node_s_program_has_crashed(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    program = crash(tmp_path, arch).name
    path.write_text(f"[nodes.one]\nmodule = '{program}'\n[nodes.two]\nmodule = '{image(arch, 'hello')}'\n")
    done = run("cluster", path)
    assert done.returncode == 3
    line = rf"machemu: node one: task 1 \({program}\) thread 1: {UNDEFINED[arch.name]} at pc 0x0000\w+ \(oops\+0x0\): nobody .*"
    assert re.fullmatch(line, done.stderr.splitlines()[0])
    assert run("cluster", path, "--until", "Hello").returncode == 0


FAULT = """
from machemu.core.kernel import Kernel
call = Kernel.system_call
def failing(kernel, number):
    if kernel.trap_count == 7:
        raise ZeroDivisionError("planted")
    return call(kernel, number)
Kernel.system_call = failing
"""
"""The eighth trap of a machine fails."""


def trap_lines(text: str) -> list[str]:
    return [line.split("(")[0] for line in text.splitlines() if re.search(r"thread \d+ +(<\.\.\. )?\w+\(", line)]


@pytest.mark.slow
def test_a_fault_of_our_own_is_exit_status_70_and_the_trace_ends_with_the_trap_that_failed(arch: Arch, tmp_path: Path) -> None:
    traces = [tmp_path / "sound", tmp_path / "failed"]
    run("boot", image(arch, "pingpong"), "--trace-full", "--trace-file", traces[0])
    done = run("boot", image(arch, "pingpong"), "--trace-full", "--trace-file", traces[1], plant=FAULT)
    assert done.returncode == 70
    assert re.search(r"machemu: ended by a fault at 0\.00\d+ s, after 7 traps, in task 1 \(.*\) thread 1\n", done.stderr)
    assert done.stderr.endswith("machemu: a fault of machemu's own, please report it: planted\n")
    sound, failed = (path.read_text() for path in traces)
    assert failed.splitlines()[-1].endswith("<unfinished ...>")
    assert trap_lines(failed) == trap_lines(sound)[:8]


@pytest.mark.slow
def test_a_cluster_s_trace_ends_with_the_trap_that_failed_too(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("[segments.lan]\n" + node("one", program="hello", machine=arch.name) + node("two", program="pingpong"))
    path.write_text(path.read_text().replace("images/", f"{image(arch, 'hello').parent.parent}/"))
    done = run("cluster", path, "--trace-file", tmp_path / "trace", plant=FAULT)
    assert done.returncode == 70
    found = re.search(r"machemu: node (one|two): ended by a fault at 0\.00\d+ s, after 7 traps", done.stderr)
    assert found is not None
    last = (tmp_path / "trace").read_text().splitlines()[-1]
    assert last.startswith(found[1]) and last.endswith("<unfinished ...>")


def test_traps_says_what_each_thread_does_at_the_end(arch: Arch) -> None:
    done = run("boot", image(arch, "pingpong"), "--traps", "20")
    assert done.returncode == 0
    first, *threads = done.stderr.splitlines()
    assert re.fullmatch(r"machemu: stopped at 0\.00\d+ s after 20 traps", first)
    assert threads and all(re.fullmatch(r"  task \d \(.*\) thread \d: .*, pc 0x[0-9a-f]{8}", line) for line in threads)


def test_a_number_of_traps_that_cannot_be_is_refused() -> None:
    done = run("boot", "images/i386/hello.elf", "--traps", "0")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "machemu: --traps 0: write a whole number, 1 or more\n")
    for count in ("-1", "-99999999999999999999", "1.5", "many", "", "9" * 30):
        with pytest.raises(UserError, match=f"^--traps {count}: write a whole number, 1 or more$"):
            parser().parse_args(["boot", "what.it.runs", f"--traps={count}"])


@pytest.mark.parametrize(
    ("server", "option"),
    [
        ("Raises", "--trace-file"),
        ("HoldsASet", "--digest"),
        ("NeverSet", "--save"),
        ("Exits", "--trace-file"),
        ("RaisesWhatCannotBeTold", "--trace-file"),
        ("WakesAtNoTime", "--trace-file"),
    ],
)
def test_a_fault_of_a_server_is_one_line_and_exit_status_2(server: str, option: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(f'[nodes.one]\nprofile = "sun3-60"\nservers = ["tests.support.faulty:{server}"]\n')
    given = () if option == "--digest" else (tmp_path / "file",)
    done = run("cluster", path, "--for", "50ms", option, *given, plant=f"sys.path.insert(0, {str(ROOT)!r})")
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("machemu: node one at 0.0")]
    assert (
        len(told) == 1
        and told[0].endswith(("# here", ":  # here"))
        and "Traceback" not in done.stderr
        and "BufferError" not in done.stderr
    )
