"""Builds the guest programs and the conformance modules: C sources, our run time and stubs that our MIG makes of our definitions.

The binaries are kept in the tree, so that nobody needs a compiler to run one; `--check` builds them again and compares.
A build depends on the sources and on the compiler alone: no path, date or host's header gets into a binary.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.mig import cgen, cserver
from machemu.mig.parser import parse

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "images"
LIBRARY = IMAGES / "lib"
CONFORMANCE = ROOT / "tests" / "conformance"
FUZZED = ROOT / "tools" / "fuzz" / "guest"
CLUSTER_GUESTS = ROOT / "tests" / "cluster" / "guests"
DEFINITIONS = ROOT / "machemu" / "mig" / "defs"
MASIX_DEFINITIONS = ROOT / "servers" / "masix" / "defs"

SUBSYSTEMS = (
    "mach",
    "mach_port",
    "mach_host",
    "device",
    "mach_debug",
    "mach_i386",
    "mach4",
    "gnumach",
    "succession",
    "name_server",
)
MASIX_SUBSYSTEMS = ("acs", "netname", "udp", "gps")
"""The interfaces whose stubs every program is linked with: the kernel's and the loader's, and those of Masix's servers."""

RUN_TIME = ("guest", "mig", "server", "succession", "udp")
"""What of `lib` is the same C on every machine; a program has what it uses of it."""

FLAGS = (
    "-std=gnu11",
    "-O1",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-tree-loop-distribute-patterns",
    "-nostdlib",
    "-nostdinc",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-Wl,--gc-sections",
    "-w",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
)

STATIC_FLAGS = ("-fno-pic", "-no-pie", "-static")

SERVED = re.compile(r'^#include "(\w+)_server\.h"$', re.MULTILINE)
"""What a program says that it serves."""

PIE_FLAGS = ("-fpie", "-fvisibility=hidden", "-pie", "-Wl,-z,noseparate-code")
PIES: Final = {"pie": "--dynamic-linker=/lib/ld.so.1", "loader": "--no-dynamic-linker"}
"""The conformance modules that can lie anywhere, and what the linker is told of the interpreter that they name."""

MODULE_FLAGS = ("-Dguest_main=module_main", "-Dmach_msg=mach_msg_trap")
"""A conformance module runs inside frame.c and looks at the trap itself, which does not go on after an interruption."""
FUZZED_FLAGS = (*MODULE_FLAGS, f"-I{CONFORMANCE}")
"""The guest of `fuzz --oracle` is such a module, elsewhere."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A machine that programs are built for. package: Debian's, that has the compiler. base: where programs that have their
    place lie, as the linker is told.
    """

    name: str
    compiler: str
    linker: str
    package: str
    flags: tuple[str, ...]
    base: str

    @property
    def record(self) -> Path:
        """The file that says which compiler made the binaries in the tree."""
        return IMAGES / self.name / "COMPILER"


I386: Final = Architecture(
    "i386",
    "gcc",
    "ld",
    "gcc",
    ("-m32", "-fcf-protection=none", "-Wl,-z,max-page-size=4096"),
    "-Wl,-Ttext-segment=0x8048000",
)
M68K: Final = Architecture(
    "m68k",
    "m68k-linux-gnu-gcc-12",
    "m68k-linux-gnu-ld",
    "gcc-12-m68k-linux-gnu",
    ("-m68040", "-Wl,-z,max-page-size=8192"),
    "-Wl,-Ttext-segment=0x10000",
)
ARCHITECTURES: Final = (I386, M68K)


@dataclass(frozen=True, slots=True)
class Program:
    """One binary: for which machine, where it goes, its own source and the flags for that, and the frame it runs in.

    interpreter: of one that can lie anywhere, what the linker is told of its interpreter; None where it has its place.
    """

    architecture: Architecture
    output: Path
    source: Path
    frame: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()
    interpreter: str | None = None

    @property
    def name(self) -> str:
        return self.output.stem


def programs() -> list[Program]:
    """Everything that is built, in a fixed order."""
    frame = CONFORMANCE / "frame.c"
    guests = sorted((IMAGES / "src").glob("*.c"))
    clients = sorted(CLUSTER_GUESTS.glob("*.c"))
    modules = [source for source in sorted(CONFORMANCE.glob("*.c")) if source != frame]
    found = []
    for machine in ARCHITECTURES:
        found += [Program(machine, IMAGES / machine.name / f"{source.stem}.elf", source) for source in guests]
        found += [Program(machine, CLUSTER_GUESTS / machine.name / f"{source.stem}.elf", source) for source in clients]
        if machine is I386:
            found.append(Program(machine, FUZZED / "oracle.elf", FUZZED / "oracle.c", (frame,), FUZZED_FLAGS))
        folder = CONFORMANCE / machine.name
        found += [
            Program(
                machine,
                folder / f"{source.stem}.elf",
                _for_machine(source, machine),
                (frame,),
                MODULE_FLAGS,
                PIES.get(source.stem),
            )
            for source in modules
        ]
    return found


def _for_machine(source: Path, machine: Architecture) -> Path:
    """A module's source: the machine's own where the module is about the processor."""
    own = source.parent / machine.name / source.name
    return own if own.exists() else source


class Builder:
    """Builds programs for one machine in a directory of its own; the run time and the stubs once for all of them.

    is_pie: whether they are programs that can lie anywhere.
    """

    def __init__(self, architecture: Architecture, directory: Path, is_pie: bool = False) -> None:
        """UserError where there is no compiler."""
        self.architecture = architecture
        self.directory = directory
        self.place = PIE_FLAGS if is_pie else (*STATIC_FLAGS, architecture.base)
        headers = run(architecture, [architecture.compiler, "-print-file-name=include"]).strip()
        machine = LIBRARY / architecture.name
        self.include = [
            f"-I{directory}",
            f"-I{LIBRARY}",
            f"-I{machine}",
            f"-I{CONFORMANCE / architecture.name}",
            f"-isystem{headers}",
        ]
        stubs = make_stubs(directory)
        self.server_stubs: dict[str, Path] = {}
        run_time = (*RUN_TIME, "relocate") if is_pie else RUN_TIME
        self.library = [
            self.compile(source)
            for source in [machine / "start.S", machine / "thread.c", *(LIBRARY / f"{name}.c" for name in run_time), *stubs]
        ]

    def compile(self, source: Path, flags: Sequence[str] = ()) -> Path:
        """An object file. UserError where the compiler refuses."""
        output = self.directory / f"{source.stem}.o"
        self._gcc([*self.include, *flags, "-c", str(source), "-o", str(output)])
        return output

    def build(self, program: Program) -> bytes:
        """The program's ELF file. UserError where the compiler refuses."""
        output = self.directory / "program.elf"
        served = [self._server(name) for name in SERVED.findall(program.source.read_text())]
        objects = [self.compile(program.source, program.flags), *map(self.compile, program.frame), *served, *self.library]
        interpreter = [] if program.interpreter is None else [f"-Wl,{program.interpreter}"]
        self._gcc(["-o", str(output), *interpreter, *map(str, objects)])
        return output.read_bytes()

    def _server(self, name: str) -> Path:
        """The object file of an interface's server stubs, made when a program first wants it."""
        if name not in self.server_stubs:
            self.server_stubs[name] = self.compile(self.directory / f"{name}_server.c")
        return self.server_stubs[name]

    def _gcc(self, arguments: Sequence[str]) -> None:
        run(self.architecture, [self.architecture.compiler, *FLAGS, *self.place, *self.architecture.flags, *arguments])


@contextmanager
def builder(architecture: Architecture, is_pie: bool = False) -> Iterator[Builder]:
    """A builder, as long as its directory lasts."""
    with tempfile.TemporaryDirectory() as work:
        yield Builder(architecture, Path(work), is_pie)


def make_stubs(directory: Path) -> list[Path]:
    """Writes the user stubs of every interface that programs are linked with; the C files.

    Beside them it writes the server stubs, which a program is linked with that includes their header.
    """
    sources: list[Path] = []
    definitions = [DEFINITIONS / f"{name}.defs" for name in SUBSYSTEMS]
    definitions += [MASIX_DEFINITIONS / f"{name}.defs" for name in MASIX_SUBSYSTEMS]
    for path in definitions:
        name, subsystem = path.stem, parse(path, [DEFINITIONS])
        (directory / f"{name}_user.h").write_text(cgen.header(subsystem))
        sources.append(directory / f"{name}_user.c")
        sources[-1].write_text(cgen.user(subsystem))
        (directory / f"{name}_server.h").write_text(cserver.header(subsystem))
        (directory / f"{name}_server.c").write_text(cserver.server(subsystem))
    return sources


def compiler(architecture: Architecture) -> str:
    """The compiler's and the linker's versions. UserError where they are not here."""
    tools = (architecture.compiler, architecture.linker)
    return "".join(f"{run(architecture, [tool, '--version']).splitlines()[0]}\n" for tool in tools)


def run(architecture: Architecture, command: Sequence[str]) -> str:
    """What one of a machine's tools prints. UserError where it is not here or refuses."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        reason = f"{command[0]} (Debian's {architecture.package}) is not installed"
        raise UserError(f"{reason}: {architecture.name} binaries can be run, but not built") from error
    if done.returncode:
        raise UserError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0; 1 where a binary differs from its source; 2 after a message about what went wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", help="programs to build; all without any")
    options.add_argument("--check", action="store_true", help="build, compare with the tree and change nothing")
    options.add_argument("--machine", choices=[machine.name for machine in ARCHITECTURES], help="for this one alone")
    chosen = options.parse_args(arguments)
    every = [program for program in programs() if chosen.machine in (None, program.architecture.name)]
    wanted = [program for program in every if not chosen.names or program.name in chosen.names]
    unknown = set(chosen.names) - {program.name for program in wanted}
    stale: list[Program] = []
    try:
        if unknown:
            raise UserError(f"no such program: {', '.join(sorted(unknown))}")
        for machine in ARCHITECTURES:
            mine = [program for program in wanted if program.architecture is machine]
            if mine and (not chosen.check or _comparable(machine)):
                for is_pie in (False, True):
                    kind = [program for program in mine if (program.interpreter is not None) == is_pie]
                    with builder(machine, is_pie) as work:
                        stale += [program for program in kind if not _update(work, program, chosen.check)]
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for program in stale:
        print(f"{program.output.relative_to(ROOT)} is not what its sources give", file=sys.stderr)
    return 1 if stale else 0


def _comparable(architecture: Architecture) -> bool:
    """Whether the compiler here is the one that made the binaries; tells why not."""
    made_by = architecture.record.read_text()
    try:
        here = compiler(architecture)
    except UserError as error:
        print(f"{architecture.name}: not compared: {error}")
        return False
    if here != made_by:
        print(f"{architecture.name}: not compared: the binaries were made by\n{made_by}and here is\n{here}", end="")
    return here == made_by


def _update(work: Builder, program: Program, check: bool) -> bool:
    """Builds; writes the binary, or with `check` says whether the one in the tree is the same."""
    binary = work.build(program)
    if check:
        return program.output.is_file() and program.output.read_bytes() == binary
    program.output.parent.mkdir(parents=True, exist_ok=True)
    program.output.write_bytes(binary)
    program.output.chmod(0o755)
    record = program.architecture.record
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(compiler(program.architecture))
    return True


if __name__ == "__main__":
    sys.exit(main())
