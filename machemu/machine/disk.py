"""A disk over an image: read-only bytes under an overlay of what was written, so that runs repeat."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.machine.seams import Disk, DiskError
from machemu.sim.state import Natural, state

SECTOR: Final = 512
BLOCK: Final = 8 * SECTOR
SECTORS_MAX: Final = (1 << 31) - 1
"""Record numbers are signed 32-bit words."""
OVERLAY_MAX: Final = (128 << 20) // BLOCK
"""Blocks that the overlay holds at most: it is saved with the machine. What would be more is an error of the medium."""
CD_SUFFIX: Final = ".iso"
"""How the names of images end that are CDs."""
HASH_STEP: Final = 1 << 20


@state
class ImageDisk:
    """A disk with an image. A saved machine does not name the image's file: the user does, who so grants it."""

    __slots__ = ("sectors", "image", "path", "contents", "writable", "overlay", "descriptor")
    TRANSIENT = ("path", "descriptor")
    sectors: Natural
    image: bytes | None  # the contents at power-on, None for those of a file
    contents: bytes  # their SHA-256; where `writable`, chained over the writes
    writable: bool  # the file itself is written, and a saved machine goes on with it as it finds it
    overlay: dict[int, bytes]  # blocks of BLOCK bytes that were written since, by number; unused where `writable`

    # Transient:
    path: str  # the file
    descriptor: int  # the open one, -1 for none

    def __init__(self, sectors: int, image: bytes | None, path: str, writable: bool) -> None:
        self.sectors = sectors
        self.image = image
        self.path = path
        self.contents = b""
        self.writable = writable
        self.overlay = {}
        self.descriptor = -1

    @property
    def is_cd(self) -> bool:
        return self.path.endswith(CD_SUFFIX)

    @classmethod
    def of_bytes(cls, image: bytes, name: str = "") -> ImageDisk:
        """A disk that begins with these bytes, whole sectors of them. name: a file's, which says what kind of disk it is."""
        disk = cls(_sectors(len(image), "the image"), bytes(image), name, False)
        disk.contents = hashlib.sha256(image).digest()
        return disk

    @classmethod
    def of_file(cls, path: Path, writable: bool = False) -> ImageDisk:
        """A disk whose image is a file. With `writable` what the guest writes changes the file; otherwise it stays as it is."""
        disk = cls(0, None, str(path.absolute()), writable)
        disk._open()
        try:
            disk.sectors = _sectors(os.fstat(disk.descriptor).st_size, str(path))
            disk.contents = disk._hash()
        except BaseException:
            disk.close()
            raise
        return disk

    def _open(self) -> None:
        """Opens the image and locks it: a file that one disk writes is no other disk's, of this machine or of any."""
        use = "written" if self.writable else "read"
        try:
            self.descriptor = os.open(self.path, (os.O_RDWR if self.writable else os.O_RDONLY) | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                raise UserError(f"{self.path}: is no file: a disk needs an image")
            self._lock()
        except OSError as error:
            self.close()
            raise UserError(f"{self.path}: cannot be {use} as a disk image: {error.strerror}") from None
        except UserError:
            self.close()
            raise

    def _lock(self) -> None:
        """The lock is the open file's (flock): it holds against other disks of this process, too, and ends with the process."""
        try:
            fcntl.flock(self.descriptor, (fcntl.LOCK_EX if self.writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = holder(self.descriptor)
            who = "a process" if pid is None else "this machine or cluster" if pid == os.getpid() else f"process {pid}"
            how = "to be written" if self.writable else "to be read"
            raise UserError(
                f"{self.path}: cannot be a disk {how}: {who} has it as a disk already, and one that is written has one owner"
            ) from None

    def _hash(self) -> bytes:
        """The file's SHA-256, of as many bytes as the disk has."""
        digest = hashlib.sha256()
        for at in range(0, self.sectors * SECTOR, HASH_STEP):
            digest.update(os.pread(self.descriptor, min(HASH_STEP, self.sectors * SECTOR - at), at))
        return digest.digest()

    def attach(self, name: str, given: Disk | None) -> None:
        """After a load. An image in a file must be the same, unless it was written through; then the file is taken as it is."""
        self.path, self.descriptor = "", -1
        if self.image is not None:
            return
        if not isinstance(given, ImageDisk) or given.image is not None or given.writable != self.writable:
            kind = "FILE,writable" if self.writable else "FILE"
            raise UserError(f"the saved machine has a disk {name} without its image: name it with --disk {name}={kind}")
        self.path = given.path
        if given.descriptor >= 0:
            self.descriptor = os.dup(given.descriptor)  # with its lock, which a second opening would not get
        else:
            self._open()
        try:
            if os.fstat(self.descriptor).st_size < self.sectors * SECTOR or not (self.writable or self._hash() == self.contents):
                raise UserError(f"{self.path}: is not the image that the saved machine had as a disk")
        except BaseException:
            self.close()
            raise

    def take_over(self, old: Disk) -> None:
        assert isinstance(old, ImageDisk)
        self.path, self.descriptor = old.path, old.descriptor
        old.descriptor = -1

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read(self, sector: int, count: int) -> bytes:
        start, end = sector * SECTOR, (sector + count) * SECTOR
        if not self.overlay:
            return self._base(start, end - start)
        parts: list[bytes] = []
        while start < end:
            number, skip = divmod(start, BLOCK)
            size = min(BLOCK - skip, end - start)
            block = self.overlay.get(number)
            parts.append(self._base(start, size) if block is None else block[skip : skip + size])
            start += size
        return b"".join(parts)

    def _base(self, start: int, size: int) -> bytes:
        """Bytes of the image. DiskError where the file has become shorter or cannot be read."""
        if self.image is not None:
            return self.image[start : start + size]
        try:
            data = os.pread(self.descriptor, size, start)
        except OSError:
            data = b""
        if len(data) != size:
            raise DiskError
        return data

    def write(self, sector: int, data: bytes) -> None:
        start = sector * SECTOR
        if self.writable:
            try:
                written = os.pwrite(self.descriptor, data, start)
            except OSError:
                written = 0
            self.contents = hashlib.sha256(self.contents + start.to_bytes(8, "big") + data).digest()
            if written != len(data):
                raise DiskError
            return
        done = 0
        while done < len(data):
            number, skip = divmod(start + done, BLOCK)
            size = min(BLOCK - skip, len(data) - done)
            old = self.overlay.get(number)
            if old is None:
                if len(self.overlay) >= OVERLAY_MAX:
                    raise DiskError
                first = number * BLOCK
                old = self._base(first, min(BLOCK, self.sectors * SECTOR - first))
            self.overlay[number] = old[:skip] + data[done : done + size] + old[skip + size :]
            done += size


def holder(descriptor: int) -> int | None:
    """The process that has the file locked, as far as the system tells (/proc/locks of Linux)."""
    info = os.fstat(descriptor)
    place = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return None
    return next((int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == place), None)


def _sectors(size: int, name: str) -> int:
    """How many sectors an image of `size` bytes has. UserError for one that is no disk."""
    if not size or size % SECTOR:
        raise UserError(f"{name}: has {size} bytes: a disk image is whole sectors of {SECTOR} bytes, one at least")
    if size // SECTOR > SECTORS_MAX:
        raise UserError(f"{name}: has {size} bytes: a disk has less than 2^31 sectors of {SECTOR} bytes")
    return size // SECTOR
