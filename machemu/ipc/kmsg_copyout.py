"""A kernel message becomes a user's: rights become names, memory under way is mapped (ipc_kmsg_copyout)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_CAPABILITY, KERN_RESOURCE_SHORTAGE
from machemu.abi.message import (
    MACH_MSG_IPC_KERNEL,
    MACH_MSG_IPC_SPACE,
    MACH_MSG_VM_KERNEL,
    MACH_MSG_VM_SPACE,
    MACH_RCV_BODY_ERROR,
    MACH_RCV_HEADER_ERROR,
    MACH_RCV_INVALID_NOTIFY,
    MSG_TYPE_PROTECTED_PAYLOAD,
    PORT_DEAD,
    PORT_SEND_ONCE,
    SIZE_MAX,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    decode_type_word,
)
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL, TYPE_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc import right
from machemu.ipc.entry import Entry
from machemu.ipc.port import Port, Right
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.seams import TaskMemory
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


def copyout(ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg, notify: PortName) -> tuple[bytes, int]:
    """ipc_kmsg_copyout: the message as the receiver's bytes, and 0 or MACH_RCV_BODY_ERROR with sub-codes.

    Consumes the message. `notify` is a port name or 0: where a dead-name notification for the reply right shall go.
    KernError, for what is wrong with the header, leaves the message to the caller.
    """
    remote_type, local_type = kmsg.local_type, kmsg.remote_type
    payload = cast("Port", kmsg.remote).payload
    reply_name, dest_name = _copyout_header(ipc, space, kmsg, notify)
    if payload is not None:
        local_type, dest_name = MSG_TYPE_PROTECTED_PAYLOAD, payload
    kmsg.remote = kmsg.local = None
    code = 0
    if kmsg.carried:
        code = _copyout_body(ipc, space, memory, kmsg)
        if code:
            code |= MACH_RCV_BODY_ERROR
    return _finish(ipc, kmsg, kmsg.flags | remote_type | local_type << 8, reply_name, dest_name), code


def copyout_pseudo(ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg) -> tuple[bytes, int]:
    """ipc_kmsg_copyout_pseudo: gives a message that could not be sent back to its sender, with the sub-codes of what got lost.

    The header is not turned round. Consumes the message.
    """
    dest_name, code = _copyout_object(ipc, space, kmsg.remote, kmsg.remote_type)
    reply_name, more = _copyout_object(ipc, space, kmsg.local, kmsg.local_type)
    code |= more
    kmsg.remote = kmsg.local = None
    if kmsg.carried:
        code |= _copyout_body(ipc, space, memory, kmsg)
    return _finish(ipc, kmsg, kmsg.flags | kmsg.remote_type | kmsg.local_type << 8, dest_name, reply_name), code


def copyout_dest(ipc: Ipc, space: Space, kmsg: Kmsg) -> bytes:
    """ipc_kmsg_copyout_dest: the bare header of a message that cannot be received; all else in it is destroyed."""
    dest, reply = cast("Port", kmsg.remote), kmsg.local
    kmsg.remote = kmsg.local = None
    dest_name = right.copyout_dest(ipc, space, dest, kmsg.remote_type) if dest.active else PORT_NAME_DEAD
    reply_name = PORT_NAME_DEAD if reply is PORT_DEAD else PORT_NULL
    kmsgs.destroy_right(ipc, reply, kmsg.local_type)
    kmsgs.destroy_carried(ipc, kmsg.carried)
    header: bytes = ipc.header.pack(
        kmsg.flags | kmsg.local_type | kmsg.remote_type << 8, kmsg.size, reply_name, dest_name, kmsg.seqno, kmsg.id
    )
    kmsgs.consume(ipc, kmsg)
    return header


def _finish(ipc: Ipc, kmsg: Kmsg, bits: int, remote: PortName, local: PortName) -> bytes:
    data: bytes = ipc.header.pack(bits, kmsg.size, remote, local, kmsg.seqno, kmsg.id) + kmsg.body
    kmsgs.consume(ipc, kmsg)
    return data


def _copyout_header(ipc: Ipc, space: Space, kmsg: Kmsg, notify: PortName) -> tuple[PortName, PortName]:
    """ipc_kmsg_copyout_header: names for the reply right and the destination; consumes both rights."""
    if not space.active:
        raise KernError(MACH_RCV_HEADER_ERROR | MACH_MSG_IPC_SPACE)
    reply = kmsg.local
    if isinstance(reply, Port):
        reply_name = _copyout_reply(ipc, space, reply, kmsg.local_type, notify)
    else:
        if notify:
            entry = space.table.get(notify)
            if entry is None or not entry.type & TYPE_RECEIVE:
                raise KernError(MACH_RCV_INVALID_NOTIFY)
        reply_name = PORT_NAME_DEAD if reply is PORT_DEAD else PORT_NULL
    dest = cast("Port", kmsg.remote)
    return reply_name, right.copyout_dest(ipc, space, dest, kmsg.remote_type) if dest.active else PORT_NAME_DEAD


def _copyout_reply(ipc: Ipc, space: Space, reply: Port, disposition: int, notify: PortName) -> PortName:
    notify_port = right.lookup_notify(space, notify) if notify else None
    if notify and notify_port is None:
        raise KernError(MACH_RCV_INVALID_NOTIFY)
    entry: Entry | None = right.reverse(space, reply) if disposition != PORT_SEND_ONCE else None
    try:
        if entry is None:
            if not reply.active:
                return PORT_NAME_DEAD
            entry = space.alloc()
            entry.object = reply
            if notify_port is not None:
                entry.request = ports.dnrequest(ipc, reply, entry.name, notify_port)
                notify_port = None
        right.copyout_entry(entry, space, disposition, True, reply)
    except KernError as error:
        if entry is not None:
            space.dealloc(entry)
        raise KernError(
            MACH_RCV_HEADER_ERROR | (MACH_MSG_IPC_KERNEL if error.code == KERN_RESOURCE_SHORTAGE else MACH_MSG_IPC_SPACE)
        ) from None
    finally:
        ports.release_sonce(ipc, notify_port)
    return entry.name


def _copyout_object(ipc: Ipc, space: Space, obj: Right, disposition: int) -> tuple[PortName, int]:
    """ipc_kmsg_copyout_object: a right's name, and 0 or the sub-code of why it has none. Consumes the right in any case."""
    if not isinstance(obj, Port):
        return (PORT_NAME_DEAD if obj is PORT_DEAD else PORT_NULL), 0
    try:
        return right.copyout(space, obj, disposition), 0
    except KernError as error:
        kmsgs.destroy_right(ipc, obj, disposition)
        if error.code == KERN_INVALID_CAPABILITY:
            return PORT_NAME_DEAD, 0
        return PORT_NULL, MACH_MSG_IPC_KERNEL if error.code == KERN_RESOURCE_SHORTAGE else MACH_MSG_IPC_SPACE


def _copyout_body(ipc: Ipc, space: Space, memory: TaskMemory, kmsg: Kmsg) -> int:
    """ipc_kmsg_copyout_body: fills the words of all that the body carries; the sub-codes of what failed."""
    body = kmsg.body = bytearray(kmsg.body)
    carried, kmsg.carried = kmsg.carried, ()
    pack = ipc.word.pack_into
    code = 0
    lost: list[int] = []
    for item in carried:
        if isinstance(item, CarriedPort):
            name, more = _copyout_object(ipc, space, item.port, item.disposition)
            code |= more
            pack(body, item.offset, name)
            continue
        try:
            if isinstance(item, CarriedMemory):
                address = memory.copyout(item.copy) if item.copy is not None else 0
            else:
                address, more = _copyout_array(ipc, space, memory, item)
                code |= more
        except KernError as error:
            code |= MACH_MSG_VM_KERNEL if error.code == KERN_RESOURCE_SHORTAGE else MACH_MSG_VM_SPACE
            address = 0
            lost.append(item.offset)
        pack(body, item.offset, address)
    if lost:
        _mark_lost(ipc, body, lost)
    return code


def _copyout_array(ipc: Ipc, space: Space, memory: TaskMemory, item: CarriedPorts[Right]) -> tuple[int, int]:
    """Puts an out-of-line array of names into new memory; where there is none the rights are destroyed."""
    if not item.ports:
        return 0, 0
    try:
        address = memory.allocate(4 * len(item.ports))
    except KernError:
        kmsgs.destroy_carried(ipc, (item,))
        raise
    code = 0
    names = []
    for obj in item.ports:
        name, more = _copyout_object(ipc, space, obj, item.disposition)
        code |= more
        names.append(name)
    try:
        memory.write(VirtAddr(address), struct.pack(f"{ipc.prefix}{len(names)}I", *names))
    except KernError:
        return address, code
    return address, code


def _mark_lost(ipc: Ipc, body: bytearray, lost: list[int]) -> None:
    """Sets the size to 0 in the descriptors of items whose memory could not be given; `lost`: their places, in order."""
    wanted = iter(lost)
    place = next(wanted, None)
    offset = 0
    while place is not None and offset < len(body):
        start = offset
        item = decode_type_word(ipc.word.unpack_from(body, offset)[0], ipc.order)
        number, size = item.number, item.size
        offset += 4
        if item.longform:
            _, _, size, number = ipc.long_item.unpack_from(body, start)
            offset += 8
        if offset == place:
            if item.longform:
                struct.pack_into(ipc.prefix + "H", body, start + 6, 0)
            else:
                ipc.word.pack_into(body, start, item._replace(size=0).word(ipc.order))
            place = next(wanted, None)
        offset += ((number * size + 7 >> 3) + 3 & ~3) & SIZE_MAX if item.inline else 4
