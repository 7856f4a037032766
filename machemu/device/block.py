"""Disks as devices: records of 512 bytes, whole disks and their DOS partitions (GNU Mach's linux/dev/glue/block.c).

A disk does one thing at a time, in the order asked, and takes virtual time for it. What is written is on the disk, and what is
read is taken from it, when its time has passed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Final

from machemu.abi.device import (
    D_INVALID_OPERATION,
    D_INVALID_SIZE,
    D_IO_ERROR,
    D_NO_MEMORY,
    D_NODELAY,
    D_READ,
    D_READ_ONLY,
    D_WRITE,
    DEV_GET_RECORDS,
    DEV_GET_SIZE,
)
from machemu.abi.errors import InvariantError, KernError
from machemu.device.driver import Driver, Minor
from machemu.device.io import DeviceIo, IoOp, IoRequest
from machemu.device.partitions import Slice, read_table
from machemu.ipc.port import Right
from machemu.machine.seams import Disk, DiskError
from machemu.sim.state import Cost, Natural, Signed, state

RECORD: Final = 512
NAME: Final = re.compile(r"([a-z]+[0-9]+)(?:s([0-9]+))?")
FLOPPY_NAME: Final = re.compile(r"(fd[0-9])(?:s[0-9]+)?[a-z]?")
RECNUM_SIGN: Final = 1 << 31
TRANSFER_MAX: Final = 16 << 20
"""Bytes that one request moves at most; one that asks for more gets less, as at the end of a disk."""
CD_BLOCK: Final = 4
"""The records of a CD's block."""
IDE_MAJORS: Final = (3, 22, 33, 34)
IDE_MINORS: Final = 64
"""How Linux's drivers, which are the real kernel's, number the drives of each pair: a major number, and a drive's minor ones."""
FLOPPIES: Final = (720, 1440, 2400, 2880, 5760)
"""The records that a floppy can have: 360 KiB to 2.88 MB."""
QUEUE_MAX: Final = 64 << 20
"""Bytes that requests under way may move together; more of them are refused with D_NO_MEMORY."""
REQUEST_BYTES: Final = 4096
"""What each request counts for besides its bytes."""


@state
class DiskEvent(Enum):
    """The first request under way is done."""

    DONE = auto()


@state
class DiskDriver(Driver):
    """One disk."""

    __slots__ = ("io", "name", "disk", "slices", "requests", "queued", "head", "seek_ns", "byte_ns")
    io: DeviceIo
    name: str  # such as `hd0`
    disk: Disk
    slices: dict[int, Slice] | None  # its partitions, None as long as nobody has opened it

    # Its work:
    requests: deque[tuple[Minor, IoRequest]]  # under way, the first one at work
    queued: Natural  # bytes that they count for

    # What it costs:
    head: Signed  # the record after the last one moved
    seek_ns: Cost  # to go anywhere else
    byte_ns: Cost
    closed_without_senders = True
    checks_protection = False

    def __init__(self, io: DeviceIo, name: str, disk: Disk, seek_ns: int, byte_ns: int) -> None:
        self.io = io
        self.name = name
        self.disk = disk
        self.slices = None
        self.requests = deque()
        self.queued = 0
        self.head = 0
        self.seek_ns = seek_ns
        self.byte_ns = byte_ns

    # Driver

    def identify(self, name: str, mode: int) -> Minor | None:
        """Each way to open a partition (for reading, writing or both, with D_NODELAY or without) is a device of its own.

        A partition whose numbers are negative as signed words is none, as on the real kernel. BSD labels are not looked for: no
        partition has a letter.
        """
        match = NAME.fullmatch(name)
        if match is None or match[1] != self.name:
            return None
        number = int(match[2][:9]) if match[2] else 0
        piece = self._slices().get(number)
        if piece is None or max(piece) >= RECNUM_SIGN:
            return None
        access = mode & (D_READ | D_WRITE) or D_READ
        return (self.name, number, access, mode & D_NODELAY)

    def _slices(self) -> dict[int, Slice]:
        return read_table(self._sector, self.disk.sectors) if self.slices is None else self.slices

    def _sector(self, sector: int) -> bytes:
        if sector >= self.disk.sectors:
            raise DiskError
        return self.disk.read(sector, 1)

    def open(self, minor: Minor) -> int:
        """The disk's first opening reads its partition table; as on the real kernel it is not looked at again."""
        if self.slices is not None:
            return 0
        self.slices = self._slices()
        return self.seek_ns + RECORD * self.byte_ns

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        if request.op is IoOp.READ_INBAND:
            raise KernError(D_INVALID_OPERATION)
        if not self._limit(minor, request):
            return b""
        self._enqueue(minor, request)
        return None

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        if request.op is IoOp.WRITE_INBAND or minor[2] == D_READ:
            raise KernError(D_INVALID_OPERATION)
        if not self._limit(minor, request):
            return 0
        request.data = request.data[: request.count]
        self._enqueue(minor, request)
        return None

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        records = self._slice(minor)[1]
        if flavor == DEV_GET_SIZE:
            size = records * RECORD & 0xFFFFFFFF
            return (size - (1 << 32) if size & RECNUM_SIGN else size, RECORD)
        if flavor == DEV_GET_RECORDS:
            return (records, RECORD)
        raise KernError(D_INVALID_OPERATION)

    def _slice(self, minor: Minor) -> Slice:
        assert self.slices is not None and isinstance(minor[1], int)
        return self.slices[minor[1]]

    def _limit(self, minor: Minor, request: IoRequest) -> int:
        """Cuts the request to what is there and gives its count, 0 just behind the end. Raises D_INVALID_SIZE further out."""
        left = self._slice(minor)[1] - request.recnum
        if request.count == 0:
            return 0
        if request.count < 0 or not 0 <= left < RECNUM_SIGN:
            raise KernError(D_INVALID_SIZE)
        request.count = min(request.count, left * RECORD, TRANSFER_MAX)
        return request.count

    # Work under way

    def _enqueue(self, minor: Minor, request: IoRequest) -> None:
        if self.queued + request.count > QUEUE_MAX:
            raise KernError(D_NO_MEMORY)
        if not self._is_on_disk(minor, request):
            self.io.print(b"linux_to_mach_error: unknown code -75\n")
        self.requests.append((minor, request))
        self.queued += request.count + REQUEST_BYTES
        if len(self.requests) == 1:
            self._start()

    def _is_on_disk(self, minor: Minor, request: IoRequest) -> bool:
        end = self._slice(minor)[0] + request.recnum - (-request.count // RECORD)
        return request.recnum >= 0 and end <= self.disk.sectors

    def _start(self) -> None:
        """Sets to work on the first request."""
        minor, request = self.requests[0]
        start = self._slice(minor)[0] + request.recnum
        seek = self.seek_ns if start != self.head else 0
        self.head = start + -(-request.count // RECORD)
        self.io.after(seek + request.count * self.byte_ns, DiskEvent.DONE, self)

    def event_due(self, kind: Enum, *args: object) -> None:
        minor, request = self.requests.popleft()
        self.queued -= request.count + REQUEST_BYTES
        try:
            data = self._transfer(minor, request)
        except DiskError:
            if request.op is IoOp.READ:
                self.io.refuse(request, D_IO_ERROR)
            else:
                self.io.write_done(request, D_IO_ERROR, 0)
        else:
            if request.op is IoOp.READ:
                self.io.read_done(request, 0, data)
            else:
                self.io.write_done(request, 0, request.count)
        if self.requests:
            self._start()

    def _transfer(self, minor: Minor, request: IoRequest) -> bytes:
        """Moves the bytes; a write into part of a record keeps the rest of it."""
        if not self._is_on_disk(minor, request):
            raise DiskError
        first = self._slice(minor)[0] + request.recnum
        count = -(-request.count // RECORD)
        if request.op is IoOp.READ:
            return self.disk.read(first, count)[: request.count]
        rest = request.count % RECORD
        tail = self.disk.read(first + count - 1, 1)[rest:] if rest else b""
        self.disk.write(first, request.data + tail)
        return b""

    def awaits(self) -> Iterable[Enum]:
        return (DiskEvent.DONE,) if self.requests else ()

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(request.reply_port, request.reply_type) for _, request in self.requests]

    def check_invariants(self) -> None:
        if self.queued != sum(request.count + REQUEST_BYTES for _, request in self.requests):
            raise InvariantError(f"{self.name} does not count the bytes under way")
        if any(self.slices is None or minor[1] not in self.slices for minor, _ in self.requests):
            raise InvariantError(f"{self.name} works for a partition that it has not")

    def attach(self, disks: Mapping[str, Disk]) -> None:
        self.disk.attach(self.name, disks.get(self.name))

    def take_over(self, old: Driver) -> None:
        assert isinstance(old, DiskDriver)
        self.disk.take_over(old.disk)

    def detach(self) -> None:
        self.disk.close()


@state
class FloppyDriver(DiskDriver):
    """A floppy drive with a disk in it. As on the real kernel it has no partitions, each is the whole disk, and each opening is a
    device of its own."""

    __slots__ = ("opened",)
    opened: Natural  # how often it was

    def __init__(self, io: DeviceIo, name: str, disk: Disk, seek_ns: int, byte_ns: int) -> None:
        super().__init__(io, name, disk, seek_ns, byte_ns)
        self.opened = 0

    def identify(self, name: str, mode: int) -> Minor | None:
        match = FLOPPY_NAME.fullmatch(name)
        if match is None or match[1] != self.name:
            return None
        self.opened += 1
        return (self.name, 0, mode & (D_READ | D_WRITE) or D_READ, self.opened)

    def _slices(self) -> dict[int, Slice]:
        return {0: (0, self.disk.sectors)}


@state
class CdDriver(DiskDriver):
    """A CD drive with a CD in it. As on the real kernel the CD has a block less than its image, no partitions, and may be opened
    for writing alone."""

    __slots__ = ()

    def identify(self, name: str, mode: int) -> Minor | None:
        minor = super().identify(name, mode)
        if minor is not None and minor[2] == D_READ | D_WRITE:
            raise KernError(D_READ_ONLY)
        return minor

    def _slices(self) -> dict[int, Slice]:
        return {0: (0, self.disk.sectors - CD_BLOCK)}

    def _transfer(self, minor: Minor, request: IoRequest) -> bytes:
        if request.op is IoOp.READ or not self._is_on_disk(minor, request):
            return super()._transfer(minor, request)
        unit = int(self.name[-1])
        device = f"{IDE_MAJORS[unit // 2]:02x}:{unit % 2 * IDE_MINORS:02x}"
        block = request.recnum // CD_BLOCK * CD_BLOCK
        self.io.print(f"ide-cd: bad cmd 1\nend_request: I/O error, dev {device}, sector {block}\n".encode("ascii"))
        raise DiskError
