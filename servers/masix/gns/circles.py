"""Circles of receive rights that no task can break, and of which the kernel cannot know.

The kernel destroys a message that would take a receive right to a port which only that right leads to. It does not know where
receive rights go that the server has, since they are in messages that wait for a full queue. The right to that queue may wait in
theirs, or in that of a port whose own right does: then nobody ever makes room.
"""

from __future__ import annotations

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, PORT_SEND
from machemu.sim.state import PortName
from machemu.user.mach import rights
from machemu.user.message import Message
from masix.gns.context import Context
from masix.gns.ports import Export, Proxy
from masix.gns.translate import to_port


def brought(export: Export) -> list[PortName]:
    """The receive rights in the messages that wait for a port."""
    return [name for _, what in export.waiting or () if isinstance(what, Message) for name in _receive_rights(what)]


def closing(context: Context, export: Export) -> PortName:
    """A receive right that waits for a port whose own right waits for that; 0 where there is none."""
    return next((name for name in brought(export) if _leads(context, name, export.name)), 0)


def up_to_rights(context: Context, name: PortName, proxy: Proxy) -> int:
    """How many messages of a proxy's queue there are up to the last one that brings a receive right."""
    before = context.mach.receive_status(name).seqno
    messages = _take(context, name)
    taken = context.mach.receive_status(name).seqno - before
    _put(context, name, messages)
    proxy.flushes = [(at + taken, flush) for at, flush in proxy.flushes]
    return max([place for place, message in enumerate(messages, 1) if _receive_rights(message)], default=0)


def _receive_rights(message: Message) -> list[PortName]:
    return [name for name, kind in rights(message) if kind == MOVE_RECEIVE]


def _leads(context: Context, start: PortName, wanted: PortName) -> bool:
    """Whether a receive right waits for a port whose right the server has, or for one whose right waits for that, and so on.

    Queues are taken out to be looked at, and put back. What the server has no room for is lost, as on its way to another node.
    """
    tables = context.tables
    names, queues = [start], []
    for name in names:
        if wanted in names:
            break
        if name in tables.coming:
            continue  # its queue is still elsewhere
        queues.append((name, _take(context, name)))
        number = tables.numbers.get(name)
        found = [right for message in queues[-1][1] for right in _receive_rights(message)]
        found += [] if number is None else brought(tables.exports[number])
        names += [right for right in dict.fromkeys(found) if right not in names]
    for name, messages in reversed(queues):
        _put(context, name, messages)
    return wanted in names


def _take(context: Context, name: PortName) -> list[Message]:
    """All of a port's queue. The server has a send right to the port meanwhile, or it would be told that nobody has one."""
    mach = context.mach
    if mach.receive_status(name).srights:
        mach.make_send(name)
    messages = []
    while mach.receive_status(name).msgcount:
        message = mach.take_message(name)
        if message is not None:
            messages.append(message)
    return messages


def _put(context: Context, name: PortName, messages: list[Message]) -> None:
    """The opposite of `_take`. What is more than the queue takes goes by send-once rights, for which there is always room."""
    mach = context.mach
    status = mach.receive_status(name)
    for count, message in enumerate(messages):
        is_sent = message.header.local_type == PORT_SEND and count < status.qlimit
        if not mach.put(to_port(message, name, COPY_SEND if is_sent else MAKE_SEND_ONCE)):
            mach.destroy(message)
    if status.srights:
        mach.deallocate(name)
