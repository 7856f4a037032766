"""The conformance modules: where they and their transcripts are, and what hardware they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from machemu.boot.machines import MACHINES
from machemu.formats.elf import architecture_of
from machemu.machine.disk import ImageDisk
from machemu.machine.seams import Disk
from tests.support import testdisk

MODULES: Final = Path(__file__).parents[1] / "conformance"
PROFILES: Final = {"i386": "pc486dx2-66", "m68k": "mc68040-25"}
"""What modules run on here."""
DISKS: Final[dict[str, Callable[[], bytes]]] = {"disk": testdisk.image}
"""The modules that need a disk, hd0, and what is on it at first, on both kernels."""
CDS: Final[dict[str, Callable[[], bytes]]] = {"cd": testdisk.cd}
"""The modules that need a CD, hd2, and what is on it."""
FLOPPIES: Final[dict[str, Callable[[], bytes]]] = {"floppy": testdisk.floppy}
"""The modules that need a floppy, fd0, and what is on it at first."""
RAMDISKS: Final[dict[str, Callable[[str], Sequence[bytes]]]] = {
    "ramdisk": lambda _: [bytes(at * step + (at >> 8) & 0xFF for at in range(size)) for size, step in ((32768, 5), (16284, 11))],
    "loader": lambda architecture: [binary("policies", architecture).read_bytes()],
}
"""The modules that need disks in memory, and what is on them at first, on both kernels, by the module's architecture."""
RAM: Final[dict[str, int]] = {"pressure": 65536}
"""The modules that need as much memory here as the real kernel has, in pages."""


def ram(module: Path) -> int | None:
    """The bytes of memory that a module needs, None where it does not matter."""
    pages = RAM.get(module.stem)
    return None if pages is None else pages * MACHINES[architecture_of(str(module))].cpu.page_size


def binary(name: str, architecture: str = "i386") -> Path:
    """A conformance module's binary."""
    return MODULES / architecture / f"{name}.elf"


def transcript_of(module: Path) -> Path:
    """What a module must print, where that is written down: on an m68k the real kernel's unless it has its own."""
    name = f"{module.stem}.expected"
    beside = module.with_name(name)
    return beside if beside.exists() or module.parent.parent != MODULES else MODULES / name


def more_lines(module: Path, folder: Path) -> list[str]:
    """What a module needs in the boot script besides its own line; the files of that come into a folder."""
    lines = []
    contents_of = RAMDISKS.get(module.stem)
    for unit, contents in enumerate(contents_of(architecture_of(str(module))) if contents_of else ()):
        path = folder / f"{module.stem}.rd{unit}"
        path.write_bytes(contents)
        lines.append(f"{path} $(ramdisk-create)")
    return lines


RAMDISK: Final = re.compile(rb"^rd\d: \d+ bytes @[0-9a-f]{8}\n", re.MULTILINE)
"""What the kernel says before it starts the module."""
KERNEL_ADDRESS: Final = re.compile(rb"\b(port|entry|in) c[0-9a-f]{7}\b|(device_port=)0x-[0-9a-f]{8}x")


def comparable(printed: bytes) -> bytes:
    """What a module printed, and the kernel meanwhile, without the addresses of the kernel's objects."""
    return KERNEL_ADDRESS.sub(rb"\1\2 (address)", RAMDISK.sub(b"", printed))


def disks(name: str, architecture: str) -> dict[str, Disk]:
    """The disks that a module of the name needs here, as far as its machine has the drives."""
    return {drive: ImageDisk.of_bytes(image, file) for drive, (file, image) in images(name, architecture).items()}


def images(name: str, architecture: str) -> dict[str, tuple[str, bytes]]:
    """What is on these disks at first, by drive, and the name of a file with it, which says what kind of disk it is."""
    drives = (("hd0", "hd0.img", DISKS), ("fd0", "fd0.img", FLOPPIES if architecture == "i386" else {}), ("hd2", "cd.iso", CDS))
    return {drive: (file, contents[name]()) for drive, file, contents in drives if name in contents}
