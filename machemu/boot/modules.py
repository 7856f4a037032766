"""Where a boot script's modules are: files of the host's, or of a file system on a disk of the machine's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from machemu.abi.errors import UserError
from machemu.device.block import NAME
from machemu.device.partitions import read_table
from machemu.formats import packed
from machemu.machine.seams import Disk, DiskError

if TYPE_CHECKING:
    from machemu.formats.ext2 import Ext2

SECTOR = 512


class Modules(NamedTuple):
    """folder: where the paths begin that a boot script names; files: or the file system whose files they are."""

    folder: Path = Path()
    files: Ext2 | None = None

    def read(self, path: str, what: str = "an executable") -> bytes:
        """A module's bytes, unpacked. what: what it has to be. UserError for one that cannot be read."""
        if self.files is not None:
            return packed.unpack(f"{self.files.name}: {path}", self.files.read(path))
        return packed.read(self.folder / path, what)


def on_disk(name: str, disks: Mapping[str, Disk]) -> Modules:
    """Those in the ext2 file system on a disk or partition of a machine's, such as hd0s1. UserError where there is none."""
    match = re.fullmatch(NAME, name)
    disk = disks.get(match[1]) if match else None
    if match is None or disk is None:
        have = f"the machine has {', '.join(disks)}" if disks else "the machine has no disk"
        raise UserError(f"'{name}': no modules can be read there, since it is none of the machine's disks: {have}")
    slices = read_table(lambda sector: _read(disk, sector, 1), disk.sectors)
    number = int(match[2][:9]) if match[2] else 0
    if number not in slices:
        have = ", ".join(f"s{number}" for number in sorted(slices)[1:]) or "none"
        raise UserError(f"'{name}': no modules can be read there: {match[1]} has no such partition; it has {have}")
    first, sectors = slices[number]

    def read(start: int, size: int) -> bytes:
        begin = start // SECTOR
        end = min(-(-(start + size) // SECTOR), sectors)
        data = _read(disk, first + begin, end - begin) if begin < end else b""
        return data[start - begin * SECTOR : start - begin * SECTOR + size]

    from machemu.formats.ext2 import Ext2  # not before it is needed: it takes time to load

    return Modules(files=Ext2(read, name))


def _read(disk: Disk, sector: int, count: int) -> bytes:
    """Sectors of a disk, as far as there are."""
    count = min(count, disk.sectors - sector)
    try:
        return disk.read(sector, count) if count > 0 else b""
    except DiskError:
        return b""
