"""Any program on both kernels: what it prints on each, as far as that goes, and whether they part.

A program need not say where it begins and ends: it begins where the real kernel says that it starts it, and ends where it prints
nothing any more. One that goes on printing is compared as far as both came.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.node import Node
from machemu.core.kernel import Stop
from machemu.formats.elf import architecture_of
from machemu.machine.profile import DEFAULT_PROFILES, load_profile

OUR_TIME_NS: Final = 60_000_000_000
QUIET_CPU_SECONDS: Final = 5.0
"""Of QEMU's processor time without output: then the program has ended. Where the machine waits, its time passes the faster."""
QUIET_SECONDS: Final = 60.0
"""Of the host's time, for a QEMU that takes none of its processor's."""
POLL_SECONDS: Final = 0.1
RAM: Final = 256 << 20
"""As the real kernel has."""
OUTPUT_MAX: Final = 1 << 20
CONTEXT: Final = 3


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed. ended: whether it printed all that it was going to, as far as can be told."""

    text: bytes
    ended: bool


def on_real(process: subprocess.Popen[bytes], name: str, seconds: float, ignored: re.Pattern[bytes]) -> Output | None:
    """What the real kernel in a QEMU prints from where it starts the module of that name; ends the process.

    None where it did not start the module within so many seconds of the host's. ignored: lines of the kernel's own.
    """
    start = re.compile(rb"^start [^ \n]*%s: " % re.escape(name.encode()), re.MULTILINE)
    printed, ended = _read(process, start, time.monotonic() + seconds)
    process.kill()
    begin = start.search(printed)
    if begin is None:
        return None
    lines = printed[begin.end() :].splitlines(keepends=True)
    return Output(b"".join(line for line in lines if not ignored.match(line)), ended)


def _read(process: subprocess.Popen[bytes], start: re.Pattern[bytes], deadline: float) -> tuple[bytes, bool]:
    """All that it prints until it is quiet after the start, ends, or time is up; whether it was one of the first two."""
    assert process.stdout is not None
    printed = b""
    begun = False
    cpu, last = cpu_seconds(process.pid), time.monotonic()
    while (now := time.monotonic()) < deadline and len(printed) < OUTPUT_MAX:
        if select.select([process.stdout], [], [], POLL_SECONDS)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return printed, True
            printed += data.replace(b"\r", b"")
            begun = begun or start.search(printed) is not None
            cpu, last = cpu_seconds(process.pid), now
        elif begun and (cpu_seconds(process.pid) - cpu > QUIET_CPU_SECONDS or now - last > QUIET_SECONDS):
            return printed, True
    return printed, False


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has taken; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def on_machemu(module: Path) -> Output:
    """What it prints here."""
    output = bytearray()

    def sink(data: bytes) -> None:
        output.extend(data)
        if len(output) > OUTPUT_MAX:
            node.kernel.stop()

    with Node(load_profile(DEFAULT_PROFILES[architecture_of(str(module))]), RAM) as node:
        node.kernel.console.sinks.append(sink)
        boot_modules(node.kernel, [f"{module} {DEFAULT_LINE}"], {})
        stop = node.kernel.run(OUR_TIME_NS)
    return Output(bytes(output).replace(b"\r", b""), stop not in (Stop.TIME, Stop.ASKED))


def verdict(real: Output | None, ours: Output, seconds: float) -> tuple[str, int]:
    """What is to be said of the two, and the status: 0 where they agree, 1 where they differ, 2 where that cannot be told."""
    if real is None:
        return f"nothing came from the real kernel in {seconds:g} s: it did not start the program", 2
    pairs = list(zip_longest(real.text.decode("latin-1").splitlines(), ours.text.decode("latin-1").splitlines()))
    for number, (theirs, mine) in enumerate(pairs):
        cut = (theirs is None and not real.ended) or (mine is None and not ours.ended)
        partial = number == len(pairs) - 1 and not (real.ended and ours.ended) and theirs != mine
        if (cut or partial) and not number:
            return f"the real kernel started it, and nothing that could be compared came in {seconds:g} s", 2
        if cut or partial:
            return f"the same as far as both came, {number} lines", 0
        if theirs != mine:
            return f"line {number + 1} differs\n{side_by_side(pairs, number)}", 1
    return ("the same on both kernels" if pairs else "prints nothing on either kernel"), 0


def side_by_side(pairs: list[tuple[str, str]], place: int) -> str:
    """A line that differs, and those before it."""
    shown = [(left or "(nothing)", right or "(nothing)") for left, right in pairs[max(0, place - CONTEXT) : place + 1]]
    width = max(len(left) for left, _ in shown)
    return "\n".join([f"  {'GNU Mach':<{width}} | machemu", *(f"  {left:<{width}} | {right}" for left, right in shown)])
