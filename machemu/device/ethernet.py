"""Ethernet as a device: frames written go out, frames that come in are messages to whoever's filter wants them (GNU Mach's
linux/dev/glue/net.c and device/net_io.c)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Final

from machemu.abi.device import (
    CUT_IPV4,
    D_INVALID_OPERATION,
    D_INVALID_SIZE,
    D_NO_MEMORY,
    HDR_ETHERNET,
    IFF_ALLMULTI,
    IFF_BROADCAST,
    IFF_MULTICAST,
    IFF_PROMISC,
    IFF_RUNNING,
    IFF_UP,
    NET_ADDRESS,
    NET_FLAGS,
    NET_HDW_HDR_MAX,
    NET_HI_PRI,
    NET_RCV_MAX,
    NET_RCV_MSG_ID,
    NET_STATUS,
    NET_STATUS_COUNT,
)
from machemu.abi.errors import KernError
from machemu.abi.message import MSG_TYPE_BYTE, PORT_SEND, TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.device import bpf, fragments, net_filter
from machemu.device.bpf import Instruction
from machemu.device.driver import Driver, Minor
from machemu.device.fragments import Joiner
from machemu.device.io import DeviceIo, IoOp, IoRequest
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right
from machemu.ipc.subsystem import Ipc
from machemu.machine.seams import Disk, Nic
from machemu.sim.state import U16, Cost, Signed, Word, state

HEADER_SIZE: Final = 14
PACKET_HEADER_SIZE: Final = 4
MTU: Final = 1500
FRAME_MAX: Final = HEADER_SIZE + MTU
BROADCAST: Final = b"\xff" * 6
ARRIVED_MAX: Final = 64
"""Frames that wait for the kernel at most; what comes in beyond them is lost."""
TRANSMIT_MAX: Final = 64
"""Frames that wait to go out at most; more are refused with D_NO_MEMORY."""
SHARED_FILTERS_MAX: Final = 4
"""Filters with a match instruction that an interface has at most; any number of receivers share one."""
SETTABLE_FLAGS: Final = 0x1FFE
"""All flags but IFF_UP (and those that Linux keeps for itself), which stays as it is."""


@state
class NetEvent(Enum):
    """The first frame to go out is out; frames have come in."""

    SENT = auto()
    ARRIVED = auto()


@state
class NetFilter:
    """A filter. words: the program, flags first. code: its BPF instructions, () for the stack language; rebuilt after a load.

    receivers: send rights, each with the keys that it wants, () without a match instruction; then there is one receiver.
    """

    __slots__ = ("words", "priority", "receivers", "code")
    TRANSIENT = ("code",)
    words: tuple[U16, ...]
    priority: Signed
    receivers: list[tuple[tuple[int, ...], Port]]

    def __init__(self, words: tuple[int, ...], priority: int, code: tuple[Instruction, ...]) -> None:
        self.words = words
        self.priority = priority
        self.receivers = []
        self.code = code

    @property
    def flags(self) -> int:
        return self.words[0]

    @property
    def shared(self) -> bool:
        return bpf.keys_of(self.code) is not None


@state
class EthernetDriver(Driver):
    """One interface; once opened it stays open."""

    __slots__ = ("io", "name", "nic", "flags", "if_flags", "filters", "joiner", "requests", "arrived", "byte_ns")
    io: DeviceIo
    name: str  # such as `eth0`
    nic: Nic
    flags: Word  # IFF_*, as the driver has them
    if_flags: Word  # as Mach was last told

    # What comes in:
    filters: list[NetFilter]  # by priority, the highest first; of equal ones the oldest first
    arrived: deque[bytes]  # frames, and packets made of several, that the kernel has not looked at
    joiner: Joiner  # what has come of packets for those whose filters ask for them whole

    # What goes out:
    requests: deque[IoRequest]  # frames on their way, the first one at work
    byte_ns: Cost  # what a byte takes on the wire
    closable = False
    checks_protection = False

    def __init__(self, io: DeviceIo, name: str, nic: Nic, byte_ns: int) -> None:
        self.io = io
        self.name = name
        self.nic = nic
        self.flags = IFF_BROADCAST | IFF_MULTICAST
        self.if_flags = IFF_UP | IFF_RUNNING
        self.filters = []
        self.requests = deque()
        self.arrived = deque()
        self.joiner = Joiner()
        self.byte_ns = byte_ns
        nic.receiver = self

    def identify(self, name: str, mode: int) -> Minor | None:
        return (name,) if name == self.name else None

    def open(self, minor: Minor) -> int:
        self.flags |= IFF_UP | IFF_RUNNING | IFF_ALLMULTI
        return 0

    def attach(self, disks: Mapping[str, Disk]) -> None:
        self.nic.attach()
        self._compile()

    def take_over(self, old: Driver) -> None:
        assert isinstance(old, EthernetDriver)
        self.nic.take_over(old.nic)
        self._compile()

    def _compile(self) -> None:
        for entry in self.filters:
            entry.code = _code(entry.words, self.io)
            if not _is_valid(entry.words, entry.code):
                raise ValueError("a filter is no program")

    def awaits(self) -> Iterable[Enum]:
        if self.requests:
            yield NetEvent.SENT
        if self.arrived:
            yield NetEvent.ARRIVED

    def held(self) -> Iterable[tuple[Right, int]]:
        for request in self.requests:
            yield request.reply_port, request.reply_type
        for entry in self.filters:
            yield from ((port, PORT_SEND) for _, port in entry.receivers)

    # Status

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        if flavor == NET_FLAGS:
            if room != 1:
                raise KernError(D_INVALID_SIZE)
            return (self.flags,)
        if flavor == NET_STATUS and room >= NET_STATUS_COUNT:
            return (HEADER_SIZE, FRAME_MAX, HDR_ETHERNET, HEADER_SIZE, 6, self.if_flags, 0)
        if flavor == NET_ADDRESS and room >= 2:
            return struct.unpack(">2i", self.nic.address + b"\0\0")
        raise KernError(D_INVALID_OPERATION)

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        if flavor != NET_FLAGS:
            raise KernError(D_INVALID_OPERATION)
        if len(words) != 1:
            raise KernError(D_INVALID_SIZE)
        self.flags = self.if_flags = words[0] & SETTABLE_FLAGS | self.flags & IFF_UP

    # Frames out

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        """Queues a frame; the answer comes when it is out. Filters for what is sent see it at once."""
        if request.op is IoOp.WRITE_INBAND:
            raise KernError(D_INVALID_OPERATION)
        frames = self._frames(request)
        if frames is None:
            raise KernError(D_INVALID_SIZE)
        if len(self.requests) >= TRANSMIT_MAX:
            raise KernError(D_NO_MEMORY)
        self.requests.append(request)
        if len(self.requests) == 1:
            self._start()
        for frame in frames:
            self._filter(frame, net_filter.NETF_OUT)
        return None

    @staticmethod
    def _frames(request: IoRequest) -> list[bytes] | None:
        """What goes on the wire for a write; None where it is too short or too long."""
        if HEADER_SIZE <= request.count <= FRAME_MAX:
            return [request.data]
        return fragments.cut(request.data) if request.mode & CUT_IPV4 else None

    def _start(self) -> None:
        """The interface takes the first frame; a packet's fragments are sent by itself, each when it has taken it."""
        frames = self._frames(self.requests[0]) or []
        delay = 0
        for frame in frames:
            delay += len(frame) * self.byte_ns
            if len(frames) > 1:
                self.nic.transmit(frame, delay)
        self.io.after(delay, NetEvent.SENT, self)

    # Frames in

    def frame_arrived(self, frame: bytes) -> None:
        """The kernel looks at it when it takes its next interrupt."""
        if not self.accepts(frame):
            return
        if fragments.is_fragment(frame) and frame[:6] == self.nic.address:
            joining = [bool(each.flags & net_filter.NETF_JOIN) for each in self.filters if each.flags & net_filter.NETF_IN]
            if any(joining):
                whole = self.joiner.add(frame)
                if whole is not None:
                    self._take(whole)
                if all(joining):
                    return
        self._take(bytes(frame))

    def _take(self, frame: bytes) -> None:
        if len(self.arrived) >= ARRIVED_MAX:
            return
        self.arrived.append(frame)
        if len(self.arrived) == 1:
            self.io.after(0, NetEvent.ARRIVED, self)

    def accepts(self, frame: bytes) -> bool:
        """Whether a frame is for this interface as it is now, so that the kernel hears of it."""
        if not self.flags & IFF_UP or not HEADER_SIZE <= len(frame) <= FRAME_MAX:
            return False
        target = frame[:6]
        return bool(target[0] & 1 or target == self.nic.address or self.flags & IFF_PROMISC)

    def event_due(self, kind: Enum, *args: object) -> None:
        if kind is NetEvent.SENT:
            request = self.requests.popleft()
            if request.count <= FRAME_MAX:
                self.nic.transmit(request.data)
            self.io.write_done(request, 0, request.count)
            if self.requests:
                self._start()
            return
        frames, self.arrived = self.arrived, deque()
        # Frames for one station go before those for all, as in the real kernel's two queues.
        for frame in sorted(frames, key=lambda frame: frame[:6] == BROADCAST):
            self._filter(frame, net_filter.NETF_IN)

    def _filter(self, frame: bytes, direction: int) -> None:
        """net_filter: a copy of the frame to everyone whose filter takes it, until one of high priority has."""
        order = self.io.ipc.prefix
        header, data = frame[:HEADER_SIZE].ljust(NET_HDW_HDR_MAX, b"\0"), frame[HEADER_SIZE:]
        before = struct.pack(order + "H", len(data) + PACKET_HEADER_SIZE) + frame[12:14]
        packet = before + data
        header_words = struct.unpack(order + "32H", header)
        seen = packet[: min(len(packet), NET_RCV_MAX) & ~1]
        packet_words = struct.unpack(f"{order}{len(seen) // 2}H", seen)
        for entry in list(self.filters):
            if not entry.flags & direction or (len(frame) > FRAME_MAX and not entry.flags & net_filter.NETF_JOIN):
                continue
            if entry.code:
                count, keys = bpf.run(entry.code, header[:HEADER_SIZE], before, data)
                size = count + PACKET_HEADER_SIZE if count else 0
            else:
                size = len(packet) if net_filter.run(entry.words, header_words, packet_words) else 0
                keys = None
            if not size or (entry.shared and keys is None):
                continue
            port = next((port for wanted, port in entry.receivers if wanted == (keys or ())), None)
            if port is None:
                continue
            if not port.active:
                self._forget(entry, port)
                continue
            self._deliver(port, header, packet[:size])
            if entry.priority >= NET_HI_PRI:
                return

    def _deliver(self, port: Port, header: bytes, packet: bytes) -> None:
        """Sends net_rcv_msg; it is dropped where the receiver's queue is full."""
        ipc = self.io.ipc
        body = _item(ipc, header) + _item(ipc, packet)
        body += bytes(-len(body) % 4)
        right = ports.copy_send(ipc, port)
        kmsg = kmsgs.make(ipc, right, PORT_SEND, None, 0, NET_RCV_MSG_ID, body)
        if not mqueue.send(ipc, None, kmsg, False):
            kmsgs.destroy(ipc, kmsg)

    # Filters

    def set_filter(self, minor: Minor, port: Port, priority: int, program: tuple[int, ...]) -> None:
        """net_set_filter: a port has one filter at a time; its old one and those of dead ports go."""
        if not program or not program[0] & (net_filter.NETF_IN | net_filter.NETF_OUT):
            raise KernError(D_INVALID_OPERATION)
        code = _code(program, self.io)
        if not _is_valid(program, code):
            raise KernError(D_INVALID_OPERATION)
        entry = NetFilter(program, priority, code)
        same = self._find_shared(entry) if entry.shared else None
        if entry.shared and same is None and sum(known.shared for known in self.filters) >= SHARED_FILTERS_MAX:
            raise KernError(D_NO_MEMORY)
        keys = bpf.keys_of(code) or ()
        if same is None:
            place = next((n for n, known in enumerate(self.filters) if priority > known.priority), len(self.filters))
            self.filters.insert(place, entry)
            same = entry
        for known in list(self.filters):
            if known.flags & program[0] & (net_filter.NETF_IN | net_filter.NETF_OUT):
                for _, old in list(known.receivers):
                    if old is port or not old.active:
                        self._forget(known, old, known is same)
        same.receivers.append((keys, port))

    def _find_shared(self, entry: NetFilter) -> NetFilter | None:
        code = bpf.without_keys(entry.code)
        return next(
            (
                known
                for known in self.filters
                if known.shared and known.priority == entry.priority and bpf.without_keys(known.code) == code
            ),
            None,
        )

    def _forget(self, entry: NetFilter, port: Port, keep: bool = False) -> None:
        """Takes a receiver out of a filter and gives its send right up; the filter goes with the last one unless `keep`."""
        entry.receivers = [receiver for receiver in entry.receivers if receiver[1] is not port]
        if not entry.receivers and not keep:
            self.filters.remove(entry)
        ports.release_send(self.io.ipc, port)


def _item(ipc: Ipc, data: bytes) -> bytes:
    """Bytes in line; more of them than a short descriptor counts have a long one."""
    kind = TypeDescriptor(MSG_TYPE_BYTE, 8, len(data), longform=len(data) > NET_RCV_MAX)
    word = kind.word(ipc.order)
    return (ipc.long_item.pack(word, kind.name, kind.size, kind.number) if kind.longform else ipc.word.pack(word)) + data


def _is_valid(program: tuple[int, ...], code: tuple[Instruction, ...]) -> bool:
    kind = program[0] & net_filter.TYPE_MASK
    return bpf.is_valid(code) if kind == net_filter.NETF_BPF else kind == 0 and net_filter.is_valid(program)


def _code(words: tuple[int, ...], io: DeviceIo) -> tuple[Instruction, ...]:
    """A filter's instructions, () for one in the stack language."""
    return bpf.decode(words, ByteOrder(io.ipc.prefix)) if words[0] & net_filter.TYPE_MASK == net_filter.NETF_BPF else ()
