"""A user's message becomes the kernel's: names become rights, addresses become memory under way (ipc_kmsg_copyin)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError, MustWait
from machemu.abi.message import (
    COPY_SEND,
    HEADER_SIZE,
    LONGFORM_SIZE,
    MACH_SEND_INVALID_DATA,
    MACH_SEND_INVALID_DEST,
    MACH_SEND_INVALID_HEADER,
    MACH_SEND_INVALID_MEMORY,
    MACH_SEND_INVALID_NOTIFY,
    MACH_SEND_INVALID_REPLY,
    MACH_SEND_INVALID_RIGHT,
    MACH_SEND_INVALID_TYPE,
    MACH_SEND_MSG_TOO_SMALL,
    MACH_SEND_NO_BUFFER,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    MSGH_BITS_COMPLEX,
    PORT_DEAD,
    SIZE_MAX,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
)
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL, TYPE_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import notify as notifications
from machemu.ipc import port as ports
from machemu.ipc import right
from machemu.ipc.entry import TYPE_PORT_RIGHTS, Entry
from machemu.ipc.kmsg import OVERHEAD, Kmsg
from machemu.ipc.port import Port, Right
from machemu.ipc.right import TRANSIT
from machemu.ipc.subsystem import MESSAGE_BYTES_MAX
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.abi.message import PortDead
    from machemu.ipc.carried import Carried
    from machemu.ipc.seams import TaskMemory
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


BITS_CIRCULAR: Final = 0x40000000
"""A bit that the real kernel uses itself and clears in what users send."""
BITS_PORTS: Final = 0xFFFF
PORT_SIZE: Final = 32
"""A port name's size in bits."""

Types = tuple[int, int, int, int, int, int, int]
Header = tuple[Right, Right]


def get(ipc: Ipc, memory: TaskMemory, address: int, size: int) -> bytes:
    """ipc_kmsg_get: reads a user's message, all at once."""
    if size < HEADER_SIZE or size & 3:
        raise KernError(MACH_SEND_MSG_TOO_SMALL)
    if ipc.message_bytes + size > MESSAGE_BYTES_MAX:
        raise KernError(MACH_SEND_NO_BUFFER)
    try:
        return memory.read(VirtAddr(address), size)
    except KernError:
        raise KernError(MACH_SEND_INVALID_DATA) from None


def copyin(ipc: Ipc, space: Space, data: bytes, cancel_notify: PortName) -> Kmsg:
    """ipc_kmsg_copyin without the body, which `copyin_body` takes: makes a kernel message of a user's bytes; the caller owns it.

    `cancel_notify` is a port name or 0: with MACH_SEND_CANCEL, a dead-name request to this port of a moved destination right is
    dropped in silence. A failure takes nothing.
    """
    header = ipc.header.unpack_from(data)
    bits, _, dest_name, reply_name, _, _ = header
    dest, reply = _copyin_header(ipc, space, (bits & 0xFF, bits >> 8 & 0xFF), (dest_name, reply_name), cancel_notify)
    return _made(ipc, data, header, dest, reply)


def copyin_to_dead(ipc: Ipc, space: Space, data: bytes) -> Kmsg:
    """As `copyin`, of a message whose destination has died since it was copied in first: the dead name is given up."""
    header = ipc.header.unpack_from(data)
    bits, _, dest_name, reply_name, _, _ = header
    entry = space.table.get(dest_name)
    if entry is None or not right.copyin_check(entry, bits & 0xFF) or (entry.type & TYPE_PORT_RIGHTS and entry.port().active):
        raise KernError(MACH_SEND_INVALID_DEST)
    right.copyin(ipc, space, dest_name, bits & 0xFF)
    dead = ipc.make_kernel_port(None)
    ports.dealloc_kernel(ipc, dead)
    if reply_name in (PORT_NULL, PORT_NAME_DEAD):
        return _made(ipc, data, header, dead, right.from_name(reply_name))
    return _made(ipc, data, header, dead, right.copyin(ipc, space, reply_name, bits >> 8 & 0xFF)[0])


def _made(ipc: Ipc, data: bytes, header: tuple[int, ...], dest: Right, reply: Right) -> Kmsg:
    """The kernel message of a user's bytes, of their header's words, and the rights in it."""
    bits, _, _, _, seqno, msgh_id = header
    kmsg = Kmsg(data[HEADER_SIZE:])
    kmsg.remote = dest
    kmsg.remote_type = TRANSIT[bits & 0xFF]
    kmsg.local = reply
    kmsg.local_type = TRANSIT[bits >> 8 & 0xFF]
    kmsg.flags = bits & ~(BITS_PORTS | BITS_CIRCULAR)
    kmsg.seqno = seqno
    kmsg.id = msgh_id
    kmsgs.charge(ipc, kmsg, OVERHEAD + len(data))
    return kmsg


def copyin_body(ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg) -> None:
    """The rest of ipc_kmsg_copyin: takes what the body's items stand for.

    A failure destroys the message with what was taken up to it. MustWait leaves it to the caller, who calls this again: it then
    goes on where it was.
    """
    if not kmsg.complex:
        return
    if not isinstance(kmsg.carried, list):
        kmsg.carried = []
    try:
        if not _copyin_body(ipc, space, memory, kmsg, kmsg.carried):
            kmsg.flags &= ~MSGH_BITS_COMPLEX
    except KernError:
        kmsgs.destroy(ipc, kmsg)
        raise
    kmsg.resume = None


def _any_send(disposition: int) -> bool:
    return MOVE_SEND <= disposition <= MAKE_SEND_ONCE


def _copyin_header(
    ipc: Ipc, space: Space, types: tuple[int, int], names: tuple[PortName, PortName], cancel_notify: PortName
) -> Header:
    """ipc_kmsg_copyin_header: takes the destination's and the reply right, both or neither."""
    dest_type, reply_type = types
    dest_name, reply_name = names
    if not _any_send(dest_type) or (not _any_send(reply_type) if reply_type else reply_name != PORT_NULL):
        raise KernError(MACH_SEND_INVALID_HEADER)
    if not space.active:
        raise KernError(MACH_SEND_INVALID_DEST)
    notify_port = None
    if cancel_notify:
        entry = space.table.get(cancel_notify)
        if entry is None or not entry.type & TYPE_RECEIVE:
            raise KernError(MACH_SEND_INVALID_NOTIFY)
        notify_port = entry.port()
    dest_entry = space.table.get(dest_name)
    if dest_entry is None:
        raise KernError(MACH_SEND_INVALID_DEST)
    dest: Right
    reply: Right
    if reply_name in (PORT_NULL, PORT_NAME_DEAD):
        dest, dest_request = _copyin_dest(ipc, space, dest_entry, dest_type)
        reply, reply_request = right.from_name(reply_name), None
        reply_entry = dest_entry
    else:
        maybe = space.table.get(reply_name)
        if maybe is None or not right.copyin_check(maybe, reply_type):
            raise KernError(MACH_SEND_INVALID_REPLY)
        reply_entry = maybe
        if reply_entry is dest_entry:
            dest, dest_request, reply, reply_request = _copyin_same(ipc, space, dest_entry, dest_type, reply_type)
        else:
            dest, dest_request = _copyin_dest(ipc, space, dest_entry, dest_type)
            reply, reply_request = right.copyin_entry(ipc, space, reply_entry, reply_type, True)
    if reply_entry is not dest_entry and not reply_entry.type:
        space.dealloc(reply_entry)
    if not dest_entry.type:
        space.dealloc(dest_entry)
    if dest_request is not None and dest_request is notify_port:
        ports.release_sonce(ipc, dest_request)
        dest_request = None
    if dest_request is not None:
        notifications.port_deleted(ipc, dest_request, dest_name)
    if reply_request is not None:
        notifications.port_deleted(ipc, reply_request, reply_name)
    return dest, reply


def _copyin_dest(ipc: Ipc, space: Space, entry: Entry, disposition: int) -> tuple[Port | PortDead, Port | None]:
    try:
        return right.copyin_entry(ipc, space, entry, disposition, False)
    except KernError:
        raise KernError(MACH_SEND_INVALID_DEST) from None


def _copyin_same(
    ipc: Ipc, space: Space, entry: Entry, dest_type: int, reply_type: int
) -> tuple[Right, Port | None, Right, Port | None]:
    """The destination and the reply right have one name: two rights out of one entry, each with its dead-name request's right."""
    if MOVE_SEND_ONCE in (dest_type, reply_type):
        raise KernError(MACH_SEND_INVALID_DEST)
    made = (MAKE_SEND, MAKE_SEND_ONCE)
    if dest_type in made or reply_type in made:
        dest, dest_request = _copyin_dest(ipc, space, entry, dest_type)
        made_reply, reply_request = right.copyin_entry(ipc, space, entry, reply_type, True)
        return dest, dest_request, made_reply, reply_request
    if dest_type == MOVE_SEND and reply_type == MOVE_SEND:
        try:
            port, request = right.copyin_two(space, entry)
        except KernError:
            raise KernError(MACH_SEND_INVALID_DEST) from None
        return port, request, port, None
    moved = MOVE_SEND in (dest_type, reply_type)
    dest, request = _copyin_dest(ipc, space, entry, MOVE_SEND if moved else COPY_SEND)
    reply = ports.copy_send(ipc, dest)
    if dest_type == MOVE_SEND:
        return dest, request, reply, None
    return dest, None, reply, request


@lru_cache(maxsize=4096)
def _decode(word: int, little: bool) -> Types:
    """A descriptor's first word: name, size, number, inline, longform, deallocate, unused."""
    if little:
        return (
            word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFF, word >> 28 & 1, word >> 29 & 1, word >> 30 & 1, word >> 31,
        )  # fmt: skip
    return word >> 24, word >> 16 & 0xFF, word >> 4 & 0xFFF, word >> 3 & 1, word >> 2 & 1, word >> 1 & 1, word & 1


def _copyin_body(ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg, carried: list[Carried]) -> bool:
    """ipc_kmsg_copyin_body: takes what the items stand for into `carried`, one after the other; whether the body is complex.

    The descriptors become those that a receiver sees. As in the real kernel an item's length in bytes is a word: of 4 GiB and
    more only the rest counts. So many names would reach beyond what was read, where it finds no right.
    """
    body = kmsg.body = bytearray(kmsg.body)
    end = len(body)
    unpack = ipc.word.unpack_from
    little = ipc.little
    offset, is_complex = kmsg.resume or (0, False)
    while offset < end:
        start = offset
        name, size, number, inline, longform, deallocate, unused = _decode(unpack(body, offset)[0], little)
        offset += 4
        bad = unused or (deallocate and inline)
        if longform:
            offset = start + LONGFORM_SIZE
            if offset > end:
                raise KernError(MACH_SEND_MSG_TOO_SMALL)
            bad = bad or name or size or number
            _, name, size, number = ipc.long_item.unpack_from(body, start)
        is_port = MOVE_RECEIVE <= name <= MAKE_SEND_ONCE
        if bad or (is_port and size != PORT_SIZE):
            raise KernError(MACH_SEND_INVALID_TYPE)
        length = number * size + 7 >> 3
        data = offset
        offset += (length + 3 & ~3) & SIZE_MAX if inline else 4
        if offset > end:
            raise KernError(MACH_SEND_MSG_TOO_SMALL)
        if is_port or not inline:
            if inline:
                if length > SIZE_MAX:
                    raise KernError(MACH_SEND_INVALID_RIGHT)
                _copyin_ports(ipc, space, kmsg, carried, (data, number, name))
            elif length if is_port else length & SIZE_MAX:
                try:
                    if is_port:
                        _copyin_port_array(ipc, space, memory, kmsg, carried, (data, length, bool(deallocate), name))
                    else:
                        _copyin_memory(ipc, memory, kmsg, carried, (data, length & SIZE_MAX, bool(deallocate)))
                except MustWait:
                    kmsg.resume = (start, is_complex)
                    raise
            else:
                ipc.word.pack_into(body, data, 0)
            is_complex = True
            _set_descriptor(ipc, body, start, TRANSIT[name] if is_port else name, not inline)
    return is_complex


def _set_descriptor(ipc: Ipc, body: bytearray, start: int, name: int, out_of_line: bool) -> None:
    """Makes a descriptor say what a receiver gets: the right's disposition under way, deallocate where out of line."""
    word = ipc.word.unpack_from(body, start)[0]
    little = ipc.little
    if out_of_line:
        word |= 0x40000000 if little else 0x2
    if word & (0x20000000 if little else 0x4):
        struct.pack_into(ipc.prefix + "H", body, start + 4, name)
    elif little:
        word = word & ~0xFF | name
    else:
        word = word & 0x00FFFFFF | name << 24
    ipc.word.pack_into(body, start, word)


def _copyin_ports(ipc: Ipc, space: Space, kmsg: Kmsg, carried: list[Carried], item: tuple[int, int, int]) -> None:
    """Takes the rights named inline: `number` of them from `offset` on."""
    offset, number, disposition = item
    transit = TRANSIT[disposition]
    for name in struct.unpack_from(f"{ipc.prefix}{number}I", kmsg.body, offset):
        if name not in (PORT_NULL, PORT_NAME_DEAD):
            taken = _copyin_port(ipc, space, kmsg, name, disposition)
            if isinstance(taken, Port):
                carried.append(CarriedPort(offset, transit, taken))
            else:
                ipc.word.pack_into(kmsg.body, offset, PORT_NAME_DEAD)
        offset += 4


def _copyin_port(ipc: Ipc, space: Space, kmsg: Kmsg, name: PortName, disposition: int) -> Right:
    try:
        taken = right.copyin(ipc, space, name, disposition)[0]
    except KernError:
        raise KernError(MACH_SEND_INVALID_RIGHT) from None
    dest = kmsg.remote
    if (
        disposition == MOVE_RECEIVE
        and isinstance(taken, Port)
        and isinstance(dest, Port)
        and ports.check_circularity(taken, dest)
    ):
        kmsg.circular = True
    return taken


def _copyin_memory(ipc: Ipc, memory: TaskMemory, kmsg: Kmsg, carried: list[Carried], item: tuple[int, int, bool]) -> None:
    """Takes `length` bytes out of line."""
    offset, length, deallocate = item
    address = VirtAddr(ipc.word.unpack_from(kmsg.body, offset)[0])
    try:
        carried.append(CarriedMemory(offset, length, memory.copyin(address, length, deallocate)))
    except KernError:
        raise KernError(MACH_SEND_INVALID_MEMORY) from None


def _copyin_port_array(
    ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg, carried: list[Carried], item: tuple[int, int, bool, int]
) -> None:
    """Takes an array out of line of names, `whole` bytes. Where that is more than a word says, the names of the rest are taken
    before one that is no right."""
    offset, whole, deallocate, disposition = item
    address = VirtAddr(ipc.word.unpack_from(kmsg.body, offset)[0])
    length = whole & SIZE_MAX
    if not length or ipc.message_bytes + length > MESSAGE_BYTES_MAX:
        raise KernError(MACH_SEND_INVALID_MEMORY)
    try:
        data = memory.read(address, length)
        if deallocate:
            memory.deallocate(address, length)
    except KernError:
        raise KernError(MACH_SEND_INVALID_MEMORY) from None
    ipc.message_bytes += length
    kmsg.charge += length
    taken: list[Right] = []
    transit = TRANSIT[disposition]
    try:
        for name in struct.unpack(f"{ipc.prefix}{length // 4}I", data):
            if name == PORT_NULL:
                taken.append(None)
            elif name == PORT_NAME_DEAD:
                taken.append(PORT_DEAD)
            else:
                taken.append(_copyin_port(ipc, space, kmsg, name, disposition))
        if length < whole:
            raise KernError(MACH_SEND_INVALID_RIGHT)
    finally:
        carried.append(CarriedPorts(offset, transit, tuple(taken)))
