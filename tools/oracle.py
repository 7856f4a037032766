"""The real kernel as judge: boots programs on GNU Mach in QEMU and on machemu, and shows where they first differ.

Needs Debian's qemu-system-x86 and gnumach-image-1.8-486 (whose kernel lies in /boot; GNUMACH names another).
`python -m tools.oracle [MODULE|FILE.elf ...]`: exit status 0 where all agree with one another and their transcripts, 1 where one
differs, 2 where the real kernel cannot be had, or nothing came from it in time. With `--write` what it prints becomes the
transcript of each module named.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.modules import Modules
from machemu.boot.node import Node
from machemu.formats import packed
from machemu.formats.elf import architecture_of
from machemu.machine.profile import load_profile
from tests.support.modules import (
    CDS,
    DISKS,
    FLOPPIES,
    MODULES,
    PROFILES,
    binary,
    comparable,
    disks,
    more_lines,
    ram,
    transcript_of,
)
from tools import programs

ROOT: Final = Path(__file__).resolve().parent.parent
KERNEL: Final = Path("/boot/gnumach-1.8-486.gz")
QEMU: Final = "qemu-system-i386"
PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None)
SAME_RUN: Final = ("-accel", "tcg", "-icount", "shift=4,sleep=off", "-rtc", "base=2000-01-01,clock=vm")
"""The machine's time is that of its instructions, 16 ns each, so that a busy host changes nothing in the order of threads; where
the machine waits, its time goes on at once.
"""
REAL_SECONDS: Final = 300.0
"""Of the host: a module that takes so long hangs."""
OUR_TIME_NS: Final = 60_000_000_000
FIRST, LAST = b"BEGIN", b"END"
KERNEL_LINES: Final = re.compile(rb"^no more room .* \(gnumach\)$")
"""What the real kernel says of its own map, among a module's lines: there is no such map here."""
DIED: Final = re.compile(rb"panic |Kernel .* trap, eip |.*Assertion `")
"""What the real kernel prints last."""


class NoRealKernel(Exception):
    """GNU Mach or QEMU is not installed; the message says what to install."""


@contextmanager
def unpacked_kernel() -> Iterator[Path]:
    """The real kernel as QEMU takes it."""
    packed = Path(os.environ.get("GNUMACH", KERNEL))
    if shutil.which(QEMU) is None or not packed.exists():
        raise NoRealKernel("the real kernel needs Debian's packages qemu-system-x86 and gnumach-image-1.8-486:i386")
    data = packed.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "gnumach"
        kernel.write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        yield kernel


def _die_with_parent() -> None:
    """A kernel that nobody reads from any more would run for ever."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_gnu_mach(kernel: Path, modules: str, *hardware: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """QEMU with the real kernel and boot modules, each with its arguments, commas between; what the console prints is its stdout.

    hardware: more of QEMU's options. folder: where the modules' paths begin; the kernel calls their tasks by them.
    """
    command = [QEMU, "-kernel", str(kernel), "-append", "console=com0", "-nographic", "-m", "256", "-no-reboot"]
    command += ["-initrd", modules, *hardware]
    nothing, pipe, own = subprocess.DEVNULL, subprocess.PIPE, _die_with_parent  # which takes no lock
    return subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=nothing, cwd=folder, preexec_fn=own)  # noqa: PLW1509


def on_gnu_mach(kernel: Path, module: Path, seconds: float = REAL_SECONDS) -> bytes:
    """What a module prints on the real kernel, from its BEGIN to its END; as far as it comes in so many seconds of the host's.

    The same bytes in every run, however busy the host is.
    """
    with tempfile.TemporaryDirectory() as folder:
        hardware = []
        for images, drive in ((DISKS, "if=ide,index=0"), (CDS, "if=ide,index=2,media=cdrom"), (FLOPPIES, "if=floppy")):
            if module.stem in images:
                image = Path(folder) / "image"
                image.write_bytes(images[module.stem]())
                hardware = ["-drive", f"file={image},format=raw,{drive}"]
        modules = ",".join([f"{module.name} {DEFAULT_LINE}", *more_lines(module, Path(folder))])
        with start_gnu_mach(kernel, modules, *SAME_RUN, *hardware, folder=module.parent) as process:
            return _collect(process, seconds)


def _collect(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """What the module prints, up to its END; ends the process."""
    lines: list[bytes] = []
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.replace(b"\r", b"")
        if not lines and FIRST in line:
            line = line[line.index(FIRST) :]
        elif not lines or KERNEL_LINES.match(line):
            continue
        lines.append(line)
        if line.startswith(LAST) or DIED.match(line):
            break
    timer.cancel()
    process.kill()
    return comparable(b"".join(lines))


def on_machemu(module: Path) -> bytes:
    """What a module prints here, up to its END."""
    output = bytearray()

    def sink(data: bytes) -> None:
        output.extend(data)
        if b"\n" + LAST in output:
            node.kernel.stop()

    architecture = architecture_of(str(module))
    with (
        Node(load_profile(PROFILES[architecture]), ram(module), disks(module.stem, architecture)) as node,
        tempfile.TemporaryDirectory() as folder,
    ):
        node.kernel.console.sinks.append(sink)
        lines = [f"{module.name} {DEFAULT_LINE}", *more_lines(module, Path(folder))]
        boot_modules(node.kernel, lines, {}, modules=Modules(module.parent))
        node.kernel.run(OUR_TIME_NS)
    return comparable(bytes(output))


def difference(real: bytes, ours: bytes) -> str | None:
    """The first lines that differ, side by side under those before them; None where there are none."""
    pairs = list(zip_longest(real.decode("latin-1").splitlines(), ours.decode("latin-1").splitlines(), fillvalue="(nothing)"))
    place = next((n for n, (left, right) in enumerate(pairs) if left != right), None)
    if place is None:
        return None
    return f"line {place + 1} differs\n{programs.side_by_side(pairs, place)}"


def _write(transcript: Path, real: bytes) -> bool:
    """Makes a transcript of what the real kernel printed, if the module came to its end."""
    ended = real.rpartition(b"\n" + LAST)[1] != b""
    if ended:
        transcript.write_bytes(real)
    else:
        print(f"{transcript.stem}: not written, since the real kernel printed no line {LAST.decode()}", flush=True)
    return ended


def main(arguments: Sequence[str]) -> int:
    """Compares the modules named, or all."""
    options = argparse.ArgumentParser(prog="oracle", description=__doc__.split("\n")[0])
    options.add_argument("modules", nargs="*", help="names in tests/conformance, or any program's files; all modules without any")
    options.add_argument(
        "--seconds", type=_seconds, default=REAL_SECONDS, help="how long a program may take (default: %(default)g)"
    )
    options.add_argument("--write", action="store_true", help="make what the real kernel prints the transcripts of these modules")
    given = options.parse_args(arguments)
    if given.write and not given.modules:
        print("oracle: --write writes the transcripts of the modules that you name", file=sys.stderr)
        return 2
    names = given.modules or sorted(path.stem for path in MODULES.glob("*.expected"))
    modules = [Path(name) if "/" in name or name.endswith(".elf") else binary(name) for name in names]
    missing = [str(module) for module in modules if not module.is_file()]
    if missing:
        print(f"oracle: there is no module {missing[0]}", file=sys.stderr)
        return 2
    strangers = [module for module in modules if module.resolve().parent.parent != MODULES.resolve()]
    if given.write and strangers:
        print(f"oracle: {strangers[0]}: is no module of tests/conformance, which alone have transcripts", file=sys.stderr)
        return 2
    wrong = status = 0
    try:
        with unpacked_kernel() as kernel:
            for module in modules:
                if module in strangers:
                    status = max(status, compare(kernel, module, given.seconds))
                    continue
                real = on_gnu_mach(kernel, module, given.seconds)
                transcript = transcript_of(module)
                if not real:
                    print(f"{module.stem}: nothing came from the real kernel in {given.seconds:g} s", flush=True)
                    status = 2
                    continue
                if given.write and not _write(transcript, real):
                    wrong += 1
                    continue
                stale = transcript.exists() and transcript.read_bytes() != real
                found = difference(real, on_machemu(module))
                wrong += stale or found is not None
                print(f"{module.stem}: {found or 'the same on both kernels'}", flush=True)
                if stale:
                    print(f"{module.stem}: {transcript.name} is not what the real kernel prints", flush=True)
    except (NoRealKernel, UserError) as error:
        print(f"oracle: {error}", file=sys.stderr)
        return 2
    return max(status, int(wrong > 0))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time: write a number above 0")
    return seconds


def compare(kernel: Path, module: Path, seconds: float) -> int:
    """Compares any program, packed by gzip or not, and says what comes of it; the exit status. UserError for what is none that
    the real kernel runs."""
    if architecture_of(str(module)) != "i386":
        raise UserError(f"{module}: is no i386 program, and the real kernel runs no other")
    data = packed.read(module, "an executable")
    with tempfile.TemporaryDirectory() as folder:
        program = module
        if data != module.read_bytes():
            program = Path(folder) / module.name
            program.write_bytes(data)
        with start_gnu_mach(kernel, f"{program} {DEFAULT_LINE}", *SAME_RUN) as process:
            real = programs.on_real(process, program.name, seconds, KERNEL_LINES)
        ours = programs.on_machemu(program)
    text, status = programs.verdict(real, ours, seconds)
    print(f"{module}: {text}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
