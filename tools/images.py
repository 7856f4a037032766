"""Builds the guest programs and the conformance modules: C sources, our run time and stubs that our MIG makes of our definitions.

The binaries are kept in the tree, so that nobody needs a compiler to run one; `--check` builds them again and compares.
A build depends on the sources and on the compiler alone: no path, date or host's header gets into a binary.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.mig import cgen
from machemu.mig.parser import parse

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "images" / "lib"
DEFINITIONS = ROOT / "machemu" / "mig" / "defs"
COMPILER_RECORD = ROOT / "images" / "i386" / "COMPILER"
"""Which compiler made the binaries in the tree."""

SUBSYSTEMS = ("mach", "mach_port", "mach_host", "device", "mach_debug", "mach_i386", "mach4", "gnumach")
"""The interfaces whose stubs every program is linked with."""

FLAGS = (
    "-m32",
    "-std=gnu11",
    "-O1",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-tree-loop-distribute-patterns",
    "-fno-pic",
    "-no-pie",
    "-nostdlib",
    "-nostdinc",
    "-static",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-Wl,--gc-sections",
    "-w",
    "-s",
    "-Wl,-Ttext-segment=0x8048000",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
)

MODULE_FLAGS = ("-Dguest_main=module_main", "-Dmach_msg=mach_msg_trap")
"""A conformance module runs inside frame.c and looks at the trap itself, which does not go on after an interruption."""


@dataclass(frozen=True, slots=True)
class Program:
    """One binary: where it goes, its own source and the flags for that, and what else it is linked with besides the run time."""

    output: Path
    source: Path
    frame: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.output.stem


def programs() -> list[Program]:
    """Everything that is built, in a fixed order."""
    sources = sorted((ROOT / "images" / "src").glob("*.c"))
    guests = [Program(ROOT / "images" / "i386" / f"{source.stem}.elf", source) for source in sources]
    directory = ROOT / "tests" / "conformance"
    frame = directory / "frame.c"
    modules = [source for source in sorted(directory.glob("*.c")) if source != frame]
    return guests + [Program(source.with_suffix(".elf"), source, (frame,), MODULE_FLAGS) for source in modules]


def make_stubs(directory: Path) -> list[Path]:
    """Writes the user stubs of every interface that programs are linked with; the C files."""
    sources: list[Path] = []
    for name in SUBSYSTEMS:
        subsystem = parse(DEFINITIONS / f"{name}.defs")
        (directory / f"{name}_user.h").write_text(cgen.header(subsystem))
        sources.append(directory / f"{name}_user.c")
        sources[-1].write_text(cgen.user(subsystem))
    return sources


def build(program: Program) -> bytes:
    """The program's ELF file. UserError where there is no compiler or it refuses."""
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work)
        stubs = make_stubs(directory)
        library = [LIBRARY / "i386" / "start.S", LIBRARY / "i386" / "thread.c", LIBRARY / "guest.c", LIBRARY / "mig.c"]
        include = [f"-I{directory}", f"-I{LIBRARY}", f"-I{LIBRARY / 'i386'}", f"-isystem{_compiler_headers()}"]
        output = directory / "program.elf"
        objects = [_compile(program.source, directory, [*include, *program.flags])]
        objects += [_compile(source, directory, include) for source in [*program.frame, *library, *stubs]]
        _gcc([*FLAGS, "-o", str(output), *map(str, objects)])
        return output.read_bytes()


def _compile(source: Path, directory: Path, flags: list[str]) -> Path:
    output = directory / f"{source.stem}.o"
    _gcc([*FLAGS, *flags, "-c", str(source), "-o", str(output)])
    return output


def compiler() -> str:
    """The compiler's and the linker's versions."""
    linker = subprocess.run(["ld", "--version"], capture_output=True, text=True, check=False).stdout
    return f"{_gcc(['--version']).splitlines()[0]}\n{linker.splitlines()[0] if linker else 'no ld'}\n"


def _compiler_headers() -> str:
    return _gcc(["-print-file-name=include"]).strip()


def _gcc(arguments: list[str]) -> str:
    try:
        done = subprocess.run(["gcc", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError("gcc is not installed: the binaries in the tree can be run, but not built") from error
    if done.returncode:
        raise UserError(f"gcc {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0; 1 where a binary differs from its source; 2 after a message about what went wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="programs to build; all without any")
    options.add_argument("--check", action="store_true", help="build, compare with the tree and change nothing")
    chosen = options.parse_args(arguments)
    wanted = [program for program in programs() if not chosen.names or program.name in chosen.names]
    unknown = set(chosen.names) - {program.name for program in wanted}
    try:
        if unknown:
            raise UserError(f"no such program: {', '.join(sorted(unknown))}")
        if chosen.check and compiler() != COMPILER_RECORD.read_text():
            print(f"not compared: the binaries were made by\n{COMPILER_RECORD.read_text()}and here is\n{compiler()}", end="")
            return 0
        stale = [program for program in wanted if not _update(program, chosen.check)]
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for program in stale:
        print(f"{program.output.relative_to(ROOT)} is not what its sources give", file=sys.stderr)
    return 1 if stale else 0


def _update(program: Program, check: bool) -> bool:
    """Builds; writes the binary, or with `check` says whether the one in the tree is the same."""
    binary = build(program)
    if check:
        return program.output.is_file() and program.output.read_bytes() == binary
    program.output.parent.mkdir(parents=True, exist_ok=True)
    program.output.write_bytes(binary)
    program.output.chmod(0o755)
    COMPILER_RECORD.parent.mkdir(parents=True, exist_ok=True)
    COMPILER_RECORD.write_text(compiler())
    return True


if __name__ == "__main__":
    sys.exit(main())
