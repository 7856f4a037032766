"""Makes machemu/machine/i386/x87.bin of x87.c: the compiler, names and places, an empty line, and machine code for x86-64.

`python -m tools.x87` writes it; with `--check` it only says whether it is what the compiler here makes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".c")
TARGET: Final = Path(__file__).parents[1] / "machemu" / "machine" / "i386" / "x87.bin"
COMPILER: Final = (
    *("gcc", "-std=gnu11", "-O2", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fpie"),
    *("-fcf-protection=none", "-mgeneral-regs-only", "-fno-ident", "-Wall", "-Wextra", "-Werror", "-c"),
)
LAYOUT: Final = (
    "SECTIONS { . = 0; .all : { *(.table) *(.text*) *(.rodata*) } /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) } }"
)


def made() -> bytes:
    """CalledProcessError, FileNotFoundError where the host has no compiler for x86-64."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "layout").write_text(LAYOUT, encoding="ascii")
        subprocess.run((*COMPILER, "-o", folder / "x87.o", SOURCE), check=True)
        linker = ("ld", "-m", "elf_x86_64", "--no-warn-rwx-segments", "-T", folder / "layout")
        subprocess.run((*linker, "-o", folder / "x87.elf", folder / "x87.o"), check=True)
        subprocess.run(("objcopy", "-O", "binary", folder / "x87.elf", folder / "x87"), check=True)
        symbols = subprocess.run(("nm", folder / "x87.elf"), check=True, capture_output=True, text=True).stdout
        code = (folder / "x87").read_bytes()
    places = [line.split() for line in symbols.splitlines()]
    names = sorted((name, int(value, 16)) for value, kind, name in places if kind == "T")
    compiler = subprocess.run(("gcc", "-dumpfullversion"), check=True, capture_output=True, text=True).stdout.strip()
    return f"gcc {compiler}\n".encode() + "".join(f"{name} {value}\n" for name, value in names).encode() + b"\n" + code


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        return int(TARGET.read_bytes() != made())
    TARGET.write_bytes(made())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
