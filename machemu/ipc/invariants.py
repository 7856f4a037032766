"""Recounting a node's rights and messages: what `Ipc.check_invariants` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError
from machemu.abi.message import (
    LONGFORM_SIZE,
    MACH_MSG_SUCCESS,
    MAKE_SEND_ONCE,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    SIZE_MAX,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
    decode_type_word,
)
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL, TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.ipc.port import Port, Right
from machemu.ipc.pset import PortSet
from machemu.ipc.thread import MsgContinuation

if TYPE_CHECKING:
    from machemu.ipc.carried import Carried
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc
    from machemu.ipc.thread import IpcThread


class Counts(Counter[tuple[int, int]]):
    """How many rights were found, by port number and disposition. ports: those that the node knows, by number."""

    def __init__(self, ports: dict[int, Port]) -> None:
        super().__init__()
        self.ports = ports


def check(ipc: Ipc, spaces: list[Space], threads: list[IpcThread], held: Iterable[tuple[Right, int]]) -> None:
    counts = Counts(ipc.ports)
    messages: dict[int, Kmsg] = {}
    sets: dict[int, PortSet] = {}
    if any(not port.active or port.number != number for number, port in ipc.ports.items()):
        raise InvariantError("a port is dead, or has another number")
    if ipc.serial < max(ipc.ports, default=0):
        raise InvariantError("a port has a number that is still to be given")
    for right, disposition in held:
        _count(counts, right, disposition)
    for space in spaces:
        space.check_invariants()
        _count_space(counts, space, sets)
    for port in ipc.ports.values():
        port.check_invariants()
        _count_port(counts, port)
        for kmsg in port.messages:
            messages[id(kmsg)] = kmsg
        for sender in port.senders.threads:
            if sender.ith_kmsg is not None:
                messages[id(sender.ith_kmsg)] = sender.ith_kmsg
    for pset in sets.values():
        pset.check_invariants()
        for kmsg in pset.messages:
            messages[id(kmsg)] = kmsg
    for thread in threads:
        _check_wait(thread)
        if thread.ith_kmsg is not None:
            messages[id(thread.ith_kmsg)] = thread.ith_kmsg
    for kmsg in messages.values():
        kmsg.check_invariants()
        if kmsg.complex and kmsg.resume is None and not _is_described(ipc, kmsg):
            raise InvariantError(f"the body of message {kmsg.id} does not describe what it carries")
        _count_message(counts, kmsg)
    if len(messages) != ipc.message_count or sum(kmsg.charge for kmsg in messages.values()) != ipc.message_bytes or ipc.dying:
        raise InvariantError(f"{len(messages)} messages found where {ipc.message_count} are counted")
    if len(sets) != ipc.set_count:
        raise InvariantError(f"{len(sets)} port sets found where {ipc.set_count} are counted")
    _compare(ipc, counts)


def _check_wait(thread: IpcThread) -> None:
    """A thread has what its wait goes on with."""
    wait, kmsg = thread.ith_wait, thread.ith_kmsg
    if wait is MsgContinuation.RECEIVE:
        right = (kmsg is not None) == (thread.ith_queue is None and thread.ith_state == MACH_MSG_SUCCESS)
    elif wait is MsgContinuation.COPYOUT:
        right = thread.ith_put is not None
    else:
        right = kmsg is not None or wait not in (MsgContinuation.SEND, MsgContinuation.COPYIN, MsgContinuation.RETRY)
    if not right:
        raise InvariantError(f"a thread waits in {wait} without what it goes on with, or has it too early")


def _count(counts: Counts, right: Right, disposition: int) -> None:
    if isinstance(right, Port):
        counts[right.number, disposition] += 1
        if right.active != (counts.ports.get(right.number) is right):
            raise InvariantError(f"there is a right to port {right.number}, which is not the node's port of that number")


def _count_space(counts: Counts, space: Space, sets: dict[int, PortSet]) -> None:
    for _, entry in space.entries():
        target = entry.object
        if isinstance(target, PortSet):
            sets[id(target)] = target
            continue
        for bit, disposition in ((TYPE_SEND, PORT_SEND), (TYPE_SEND_ONCE, PORT_SEND_ONCE), (TYPE_RECEIVE, PORT_RECEIVE)):
            if entry.type & bit:
                _count(counts, target, disposition)
    for request in space.marequests.values():
        if not request.name:
            raise InvariantError("a msg-accepted request without a name is found by one")


def _count_port(counts: Counts, port: Port) -> None:
    _count(counts, port.nsrequest, PORT_SEND_ONCE)
    _count(counts, port.pdrequest, PORT_SEND_ONCE)
    for slot in port.dnrequests:
        if slot is not None:
            _count(counts, slot[1], PORT_SEND_ONCE)


def _count_message(counts: Counts, kmsg: Kmsg) -> None:
    _count(counts, kmsg.remote, kmsg.remote_type)
    _count(counts, kmsg.local, kmsg.local_type)
    if kmsg.marequest is not None:
        _count(counts, kmsg.marequest.soright, PORT_SEND_ONCE)
    for item in kmsg.carried:
        if isinstance(item, CarriedPort):
            _count(counts, item.port, item.disposition)
        elif isinstance(item, CarriedPorts):
            for right in item.ports:
                _count(counts, right, item.disposition)


def _is_described(ipc: Ipc, kmsg: Kmsg) -> bool:
    """Whether a complex message carries what its body's descriptors say, and nothing else."""
    body, end = kmsg.body, len(kmsg.body)
    carried: dict[int, Carried] = {item.offset: item for item in kmsg.carried}
    offset = 0
    while offset < end:
        start = offset
        kind = decode_type_word(ipc.word.unpack_from(body, start)[0], ipc.order)
        offset += LONGFORM_SIZE if kind.longform else 4
        if offset > end:
            return False
        if kind.longform:
            _, name, size, number = ipc.long_item.unpack_from(body, start)
            kind = kind._replace(name=name, size=size, number=number)
        place, length = offset, kind.number * kind.size + 7 >> 3
        offset += (length + 3 & ~3) & SIZE_MAX if kind.inline else 4
        if offset > end or not _is_filled(ipc, body, carried, kind, place):
            return False
    return not carried


def _is_filled(ipc: Ipc, body: bytes | bytearray, carried: dict[int, Carried], kind: TypeDescriptor, place: int) -> bool:
    """Takes out of `carried` what a descriptor's data at `place` stand for; False where that is something else."""
    is_port = PORT_RECEIVE <= kind.name <= MAKE_SEND_ONCE
    length = (kind.number * kind.size + 7 >> 3) & SIZE_MAX
    if not kind.inline:
        item = carried.pop(place, None)
        if is_port and isinstance(item, CarriedPorts):
            return (item.disposition, 4 * len(item.ports)) == (kind.name, length)
        return not length if item is None else not is_port and isinstance(item, CarriedMemory) and item.size == length
    if not is_port:
        return True
    if place + 4 * kind.number > len(body):
        return False
    for at in range(place, place + 4 * kind.number, 4):
        item = carried.pop(at, None)
        if item is None and ipc.word.unpack_from(body, at)[0] not in (PORT_NULL, PORT_NAME_DEAD):
            return False
        if item is not None and not (isinstance(item, CarriedPort) and item.disposition == kind.name):
            return False
    return True


def _compare(ipc: Ipc, counts: Counts) -> None:
    for port in ipc.ports.values():
        number = port.number
        if counts[number, PORT_SEND] != port.srights - port.lost_srights:
            raise InvariantError(f"port {number} has {port.srights} send rights, {counts[number, PORT_SEND]} found")
        if counts[number, PORT_SEND_ONCE] != port.sorights:
            raise InvariantError(f"port {number} has {port.sorights} send-once rights, {counts[number, PORT_SEND_ONCE]} found")
        ours = port.receiver is ipc.kernel_space or port.receiver is ipc.reply_space
        if counts[number, PORT_RECEIVE] != (0 if ours else 1):
            raise InvariantError(f"port {number} has {counts[number, PORT_RECEIVE]} receive rights")
