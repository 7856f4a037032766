"""The CPU emulator dies of a signal in a program that uses machemu: exit status 70, and where it was.

Signals that are not the CPU emulator's do what they would do without machemu.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from machemu.machine import accel
from tests.support.elves import Part, elf_for
from tests.support.guests import ARCHS, I386, Arch
from tests.support.machine import image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(accel.native is None, reason=f"this is of the extension alone, and {accel.reason}"),
    pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="its host code is Linux's on x86-64"),
]

ROOT = Path(__file__).parents[2]
DEADLY = {"i386": (bytes.fromhex("f00fbbf7"), "SIGABRT"), "m68k": (bytes.fromhex("f240003f"), "SIGSEGV")}
"""lock btc %esi,%edi, on which Unicorn's translator aborts; fscc without a condition, with which it goes astray."""
TRAPS = {"i386": (b"\x9a", 7), "m68k": (b"\x4e\x40", 2)}
"""How the instruction that traps begins, and its bytes."""
BLIND = """
from machemu.machine.i386.guard import Guard
from machemu.machine.m68k import guard
Guard.begin = Guard._replace = lambda *_: None
guard.is_sound = lambda _: True
"""
"""Lets Unicorn translate whatever there is."""
DYING = """
import ctypes, mmap, os, tempfile
from machemu.machine import engine

memory = mmap.mmap(-1, 4096, prot=7)

def word(function):
    return engine.address_of(function).to_bytes(8, "little")

empty = tempfile.TemporaryFile()
empty.truncate(4096)
gone = mmap.mmap(empty.fileno(), 4096)
empty.truncate(0)
HOST = {
    "SIGSEGV": "31c0 c60000",  # xor %eax,%eax; movb $0,(%rax)
    "SIGABRT": "48b8" + word(ctypes.CDLL(None).abort).hex() + "ffd0",  # call abort
    "SIGFPE": "31c9 f7f9",  # xor %ecx,%ecx; idiv %ecx
    "SIGILL": "0f0b",  # ud2
    "SIGBUS": "48b8" + ctypes.addressof(ctypes.c_char.from_buffer(gone)).to_bytes(8, "little").hex() + "c60000",
    "a full stack": "50 ebfd",  # push %rax, for ever
}

def die(machine, how, address):
    "The engine dies at an instruction."
    cpu = machine.kernel.cpu.engine
    memory.write(bytes.fromhex(HOST[how]))
    place = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    cpu._hook(engine.CODE, place, address, address)
    cpu.flush_translations()
"""
"""Ways for an engine to die."""
LEAST_BY_MINUS_ONE = bytes.fromhex("ba00000080 31c0 b9ffffffff f7f9")
"""mov $0x80000000,%edx; xor %eax,%eax; mov $-1,%ecx; idiv %ecx."""
OWN = """
import ctypes, os
from machemu.machine import signals

def own(does=lambda: None):
    "A handler of the program's own."
    def handle(number, info, context):
        os.write(2, b"the program's own\\n")
        does()
    return signals.action(handle)
"""
FIRST = "machemu: died of {}, a fault of machemu's own or of its CPU emulator's: please report it with the program"
WHERE = r"  {}, pc 0x0000{:04x}, task 1 thread 1, after 1 trap; it last went to user mode at pc 0x0000\w{{4}}, at \d+ ns"
LAST = "  `run(traps=1)` of another one comes right before it; one that is booted with isolated=True raises EngineDied instead"


def guest(arch: Arch, folder: Path, code: bytes = b"") -> tuple[Path, int]:
    """Makes a trap, and then runs `code`, which is at the address that is given, too; then it stays."""
    path = folder / f"{arch.name}.elf"
    before = arch.trap(26)
    path.write_bytes(elf_for(arch, Part(0x1000, before + code + arch.stay)))
    return path, 0x1000 + len(before)


def play(text: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, in a process of its own. It has `sys` and `machemu`."""
    whole = "import sys, signal, machemu\n" + textwrap.dedent(text)
    given = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, "-c", whole, *map(str, arguments)]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120, env=given)


def assert_told(said: str, name: str, arch: Arch, pc: int) -> None:
    """That this is what was said, at the end of it."""
    first, where, last = said.splitlines()[-3:]
    assert first == FIRST.format(name)
    assert re.fullmatch(WHERE.format(arch.name, pc), where), where
    assert last == LAST


RUNS = "print(machemu.Machine.boot(sys.argv[1]).run(duration='1s'))"
DIES = """
machine = machemu.Machine.boot(sys.argv[1])
die(machine, sys.argv[3], int(sys.argv[2]))
print("begins", flush=True)
machine.run(duration="1s")
"""


def test_what_kills_unicorn_ends_a_program_with_a_message(arch: Arch, tmp_path: Path) -> None:
    """In the translator the place is that of the block, which begins behind the trap."""
    code, name = DEADLY[arch.name]
    trap, size = TRAPS[arch.name]
    path, _ = guest(arch, tmp_path, code)
    done = play(BLIND + RUNS, path)
    assert (done.returncode, done.stdout) == (70, "")
    assert_told(done.stderr, name, arch, 0x1000 + arch.trap(26).index(trap) + size)
    if arch is I386:
        assert done.stderr in (ROOT / "docs" / "exit-status.md").read_text()


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGBUS", "a full stack"])
def test_each_deadly_signal_is_told_with_the_place(arch: Arch, how: str, tmp_path: Path) -> None:
    path, address = guest(arch, tmp_path)
    done = play(DYING + DIES, path, address, how)
    assert (done.returncode, done.stdout) == (70, "begins\n")
    assert_told(done.stderr, how if how.startswith("SIG") else "SIGSEGV", arch, address)
    assert len(done.stderr.splitlines()) == 3


def test_a_handler_that_was_there_before_has_its_turn_behind_the_message(arch: Arch, tmp_path: Path) -> None:
    path, address = guest(arch, tmp_path)
    done = play(OWN + "signals.become(signal.SIGSEGV, own())\n" + DYING + DIES, path, address, "SIGSEGV")
    assert done.returncode == 70
    *message, last = done.stderr.splitlines()
    assert last == "the program's own"
    assert_told("\n".join(message), "SIGSEGV", arch, address)


def test_a_handler_of_python_s_does_not_make_it_loop_for_ever(tmp_path: Path) -> None:
    path, address = guest(I386, tmp_path)
    done = play("signal.signal(signal.SIGSEGV, lambda *_: print('handled'))\n" + DYING + DIES, path, address, "SIGSEGV")
    assert (done.returncode, done.stdout) == (70, "begins\n")
    assert_told(done.stderr, "SIGSEGV", I386, address)


def test_a_handler_that_came_later_has_the_signal_for_itself(tmp_path: Path) -> None:
    path, address = guest(I386, tmp_path)
    dies = DIES.replace("print(", "signals.become(signal.SIGSEGV, own(lambda: os._exit(3)))\nprint(")
    done = play(OWN + DYING + dies, path, address, "SIGSEGV")
    assert (done.returncode, done.stderr) == (3, "the program's own\n")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE"])
def test_faulthandler_shows_where_the_program_was_whether_it_came_before_or_later(name: str, tmp_path: Path) -> None:
    path, address = guest(I386, tmp_path)
    enable = "import faulthandler\nfaulthandler.enable()\n"
    done = play(enable + DYING + DIES, path, address, name)
    message = "\n".join(done.stderr.splitlines()[:3])
    assert done.returncode == 70
    assert_told(message, name, I386, address)
    assert done.stderr.count("Fatal Python error") == done.stderr.count("in <module>") == 1
    done = play(DYING + DIES.replace("print(", enable + "print("), path, address, name)
    assert done.returncode == 70
    assert_told(done.stderr, name, I386, address)
    assert done.stderr.count("Fatal Python error") == done.stderr.count("in <module>") == 1


def test_a_division_that_the_host_cannot_do_is_still_the_guest_s_exception_and_others_are_told(tmp_path: Path) -> None:
    """Whichever machine was the first, and whether another handler came between."""
    path, _ = guest(I386, tmp_path, LEAST_BY_MINUS_ONE)
    other, _ = guest(ARCHS["m68k"], tmp_path)
    text = """
        import faulthandler
        for number, which in enumerate(sys.argv[1:]):
            machine = machemu.Machine.boot(which)
            machine.run(duration="1ms")
            print(machine.kernel.cpu.architecture, len(machine.tasks))
            if number == 1:
                faulthandler.enable()
    """
    done = play(text, path, other, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "i386 1\nm68k 2\ni386 1\n", "")
    assert play(text, other, path, other, path).returncode == 0
    blind = "from machemu.machine.i386 import division\ndivision.least_by_minus_one = lambda *_: 0\n"
    done = play(blind + textwrap.dedent(text), other, path)
    assert done.returncode == 70
    assert done.stderr.startswith(FIRST.format("SIGFPE") + "\n  i386, pc ")


SENT = """
machine = machemu.Machine.boot(sys.argv[1])
machine.run(duration="1ms")
import os
heard = []
"""


def test_a_signal_from_outside_does_what_it_always_does(tmp_path: Path) -> None:
    path, _ = guest(I386, tmp_path)
    for name in ("SIGSEGV", "SIGABRT"):
        done = play(SENT + f"os.kill(os.getpid(), signal.{name})", path)
        assert (done.returncode, done.stderr) == (-signal.Signals[name], "")
    later = "signal.signal(signal.SIGSEGV, lambda *_: heard.append(1))\n"
    send = "[os.kill(os.getpid(), signal.SIGSEGV) for _ in range(3)]\nprint(len(heard), machine.run(duration='1ms'))"
    assert play(SENT + later + send, path).stdout == "3 Reason.DURATION\n"
    assert play("heard = []\n" + later + SENT.replace("heard = []", "") + send, path).stdout == "3 Reason.DURATION\n"


def test_a_signal_from_outside_in_the_middle_of_a_run_does_what_it_always_does(tmp_path: Path) -> None:
    path, _ = guest(I386, tmp_path)
    text = """
        import os, time
        machine = machemu.Machine.boot(sys.argv[1], record=False)
        us = os.getpid()
        if not os.fork():
            time.sleep(0.5)
            os.kill(us, signal.SIGBUS)
            os._exit(0)
        machine.run()
    """
    done = play(text, path)
    assert (done.returncode, done.stderr) == (-signal.SIGBUS, "")


FAULTS = "ctypes.string_at(8)"


def test_a_fault_in_a_hook_of_the_program_s_is_not_the_engine_s(arch: Arch, tmp_path: Path) -> None:
    path, _ = guest(arch, tmp_path)
    text = f"""
        import ctypes
        machine = machemu.Machine.boot(sys.argv[1])
        machine.on("trap", lambda _: {FAULTS})
        machine.run()
    """
    done = play(text, path)
    assert (done.returncode, done.stderr) == (-signal.SIGSEGV, "")


def test_a_fault_of_another_thread_is_not_the_engine_s(tmp_path: Path) -> None:
    path, _ = guest(I386, tmp_path)
    text = f"""
        import ctypes, threading, time
        inside = threading.Event()
        def fault():
            inside.wait()
            {FAULTS}
        threading.Thread(target=fault, daemon=True).start()
        machine = machemu.Machine.boot(sys.argv[1])
        machine.on("trap", lambda _: (inside.set(), time.sleep(20)))
        machine.run()
    """
    done = play(text, path)
    assert (done.returncode, done.stderr) == (-signal.SIGSEGV, "")


def test_the_end_of_the_program_and_its_children_have_their_signals_as_always(tmp_path: Path) -> None:
    path, _ = guest(I386, tmp_path)
    text = """
        import atexit, ctypes, os, subprocess, threading
        threads = [threading.Thread(target=lambda: machemu.Machine.boot(sys.argv[1]).run(duration="1ms")) for _ in range(3)]
        for each in threads:
            each.start()
            each.join()
        machine = machemu.Machine.boot(sys.argv[1])
        machine.run(duration="1ms")
        print(subprocess.run([sys.executable, "-c", "import ctypes; ctypes.string_at(8)"]).returncode)
        child = os.fork()
        if not child:
            os.abort()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        machine.close()
        atexit.register(lambda: ctypes.string_at(8))
    """
    done = play(text, path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGSEGV, "-11\n-6\n", "")


@pytest.mark.parametrize("how", ["SIGABRT", "a full stack"])
def test_an_engine_in_a_thread_and_in_a_hook_of_another_machine_is_told_as_what_it_is(how: str, tmp_path: Path) -> None:
    outer, _ = guest(I386, tmp_path)
    path, address = guest(ARCHS["m68k"], tmp_path)
    text = """
        def runs(_):
            machine.run(duration="1s")

        def work():
            outer = machemu.Machine.boot(sys.argv[4])
            outer.on("trap", runs)
            outer.run()

        import threading
        machine = machemu.Machine.boot(sys.argv[1])
        die(machine, sys.argv[3], int(sys.argv[2]))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    done = play(DYING + textwrap.dedent(text), path, address, how, outer)
    assert done.returncode == 70
    assert_told(done.stderr, how if how.startswith("SIG") else "SIGSEGV", ARCHS["m68k"], address)


def test_of_a_cluster_the_node_is_told(arch: Arch, tmp_path: Path) -> None:
    code, name = DEADLY[arch.name]
    path, _ = guest(arch, tmp_path, code)
    file = tmp_path / "cluster.toml"
    file.write_text(
        "".join(f"[nodes.{name}]\nmodule = '{each}'\n" for name, each in (("a", image(arch, "pingpong")), ("b", path)))
    )
    done = play(BLIND + "machemu.Cluster.boot(sys.argv[1]).run(duration='1s')", file)
    assert done.returncode == 70
    first, where, last = done.stderr.splitlines()
    assert first == FIRST.format(name)
    told = re.fullmatch(rf"  {arch.name}, pc 0x\w+, node number 2, task 1 thread 1, after 1 trap; it .* at (\d+) ns", where)
    assert told, where
    assert last == f"  `run(duration={told[1]})` of another one comes right before it"


def test_an_isolated_machine_dies_of_the_signal_and_its_program_goes_on(arch: Arch, tmp_path: Path) -> None:
    code, name = DEADLY[arch.name]
    path, _ = guest(arch, tmp_path, code)
    text = """
        machemu.Machine.boot(sys.argv[2]).run(duration="1ms")
        apart = machemu.Machine.boot(sys.argv[1], isolated=True)
        try:
            apart.run()
        except machemu.EngineDied as died:
            print(died)
    """
    done = play(BLIND + textwrap.dedent(text), path, image(arch, "pingpong"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"the process of the machine died of {name} in task 1 thread 1")


def test_without_the_extension_the_program_dies_of_the_signal(arch: Arch, tmp_path: Path) -> None:
    code, name = DEADLY[arch.name]
    path, _ = guest(arch, tmp_path, code)
    done = play(BLIND + RUNS, path, MACHEMU_ENGINE="python")
    assert (done.returncode, done.stderr) == (-signal.Signals[name], "")
