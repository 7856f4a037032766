"""Recounting a node's rights and messages: what `Ipc.check_invariants` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError
from machemu.abi.message import PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE, CarriedPort, CarriedPorts, MsgReturn
from machemu.ipc.entry import TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.ipc.thread import MsgContinuation

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc
    from machemu.ipc.thread import IpcThread

Counts = Counter[tuple[int, int]]
"""How many rights were found, by port number and disposition."""


def check(ipc: Ipc, spaces: list[Space], threads: list[IpcThread], held: Iterable[tuple[object | None, int]]) -> None:
    counts: Counts = Counter()
    messages: dict[int, Kmsg] = {}
    sets: dict[int, PortSet] = {}
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
        right = (kmsg is not None) == (thread.ith_queue is None and thread.ith_state == MsgReturn.MACH_MSG_SUCCESS)
    elif wait is MsgContinuation.COPYOUT:
        right = thread.ith_put is not None
    else:
        right = kmsg is not None or wait not in (MsgContinuation.SEND, MsgContinuation.COPYIN, MsgContinuation.RETRY)
    if not right:
        raise InvariantError(f"a thread waits in {wait} without what it goes on with, or has it too early")


def _count(counts: Counts, right: object | None, disposition: int) -> None:
    if isinstance(right, Port):
        counts[right.number, disposition] += 1


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
