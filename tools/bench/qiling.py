"""machemu beside Qiling: what both take for a trivial system call, in one run, by processor time.

Qiling runs Linux's `getpid` in its Python. Here the task has an emulation vector, as a Unix personality's programs have: the trap
comes back to a handler in the task, which answers it. Qiling goes into an environment of its own, which goes afterwards.
"""

from __future__ import annotations

import statistics
import struct
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.kern import syscall_emulation
from tests.support.guests import ARCHS, I386
from tests.support.machine import CODE, add_task, empty

PACKAGE: Final = "qiling==1.4.6"
TIMES_FASTER: Final = 10.0
CALLS: Final = 20_000
OUR_CALLS: Final = 200_000
NUMBER: Final = 20
"""Linux's getpid."""
INT_80: Final = bytes.fromhex("b814000000 cd80")
"""mov eax, 20; int 0x80."""
HANDLER: Final = CODE + 0x4000
THEIRS: Final = """
import sys, time
from qiling import Qiling
from qiling.const import QL_ARCH, QL_OS, QL_VERBOSE
options = dict(rootfs=".", archtype=QL_ARCH.X86, ostype=QL_OS.LINUX, verbose=QL_VERBOSE.DISABLED)
engine = Qiling(code=bytes.fromhex(sys.argv[1]), **options)
began = time.process_time()
engine.run()
print(time.process_time() - began)
"""


class NoQiling(Exception):
    """The message says what to do."""


def install(folder: Path) -> Path:
    """Qiling in a fresh environment; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoQiling(f"{PACKAGE} cannot be installed: is a package index within reach? pip says:\n{done.stderr.strip()}")
    return python


def their_us(python: Path, folder: Path, calls: int) -> float:
    """Microseconds of a call in Qiling: of a loop of calls, and an exit."""
    code = b"\xbd" + struct.pack("<I", calls) + INT_80 + bytes.fromhex("4d 75f6 b801000000 31db cd80")
    command = [str(python), "-c", THEIRS, code.hex()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoQiling(f"Qiling does not run here:\n{done.stderr.strip()}")
    return float(done.stdout) / calls * 1e6


def our_us(name: str, trap: bytes, calls: int) -> float:
    """Microseconds of a trap to a handler in its task, and back."""
    arch = ARCHS[name]
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.repeat(trap * 10))
        task.memory.write(VirtAddr(HANDLER), arch.handler)
        syscall_emulation.set_vector(machine.kernel.kern, task, NUMBER, [HANDLER])
        machine.run(traps=10)
        began = time.process_time()
        machine.run(traps=calls)
        return (time.process_time() - began) / calls * 1e6


def table(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figures, and ratio with limit; and whether the limit was kept. `divisor` makes the loops shorter."""
    ways = [("i386: int $0x80", "i386", INT_80), ("i386: lcall", "i386", I386.bare_trap(-NUMBER))]
    ways.append(("m68k: trap #0", "m68k", ARCHS["m68k"].bare_trap(-NUMBER)))
    theirs: list[float] = []
    ours: dict[str, list[float]] = {what: [] for what, _, _ in ways}
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv")
        for _ in range(runs):
            theirs.append(their_us(python, Path(folder), CALLS // divisor))
            for what, name, trap in ways:
                ours[what].append(our_us(name, trap, OUR_CALLS // divisor))
    rows = []
    kept = True
    their = statistics.median(theirs)
    for what, times in ours.items():
        our = statistics.median(times)
        good = their / our >= TIMES_FASTER
        kept = kept and good
        verdict = f"{their / our:.0f} times faster, at least {TIMES_FASTER:.0f}: {'kept' if good else 'NOT KEPT'}"
        rows.append((f"{what}: a redirected trap", f"{their:.1f} us, {our:.2f} us", verdict))
    return rows, kept
