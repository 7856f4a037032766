"""Receive rights that move to another node, with their queue and their notification requests: there is one home at any time.

The old home keeps the right until the new one has a port for it; what it is asked to notify, and what waits in its queue, then
goes there before the message that brought the right goes to its task. Of a right whose old home is lost before there is nothing.
"""

from __future__ import annotations

from typing import Final

from machemu.abi.message import PORT_SEND_ONCE
from machemu.abi.port import PortStatus
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.sim.state import PortName
from machemu.user.message import living
from masix.gns import rights, traffic
from masix.gns.context import Context
from masix.gns.ports import Coming, Export, Leaving, Proxy
from masix.gns.translate import Translator
from masix.gns.wire import Asked, Flush, Homed, RightKind, Unused

NEVER: Final = (1 << 32) - 1
"""The count of send rights made from which on their lack is told at once."""


# The old home


def homed(context: Context, node: int, payload: Homed) -> None:
    """Another node has a port for a receive right that we gave away: all that belongs to it goes there; who knows it is told."""
    leaving = context.tables.leaving.get(payload.token)
    if leaving is None or leaving.node != node:
        return
    context.tables.drop_leaving(payload.token)
    name = leaving.name
    status = context.mach.receive_status(name)
    _send_requests(context, leaving, status, payload.number)
    proxy = Proxy(RightKind.SEND, node, payload.number, leaving.account)
    proxy.count = 1
    proxy.passing = status.msgcount
    proxy.watcher = context.mach.allocate_port()
    context.tables.watchers[proxy.watcher] = name
    context.tables.add_proxy(name, proxy)
    for port in (name, proxy.watcher):
        context.mach.move_member(port, context.ports)
    number = context.tables.numbers.get(name)
    if number is not None:
        export = context.tables.exports[number]
        for other in export.given:
            if other != rights.EVERYBODY:
                rights.tell_moved(context, number, export, other)
    if status.srights:
        Translator(context).watch(name)
    else:
        rights.unused_here(context, name)
    flush = Flush(number or 0, node, context.node, payload.token)
    if number is not None:
        traffic.flush(context, node, flush)
    elif name in context.tables.proxies:
        traffic.flush_queue(context, name, flush)
    else:
        context.say(node, flush._replace(number=payload.number))


def _send_requests(context: Context, leaving: Leaving, status: PortStatus, number: int) -> None:
    """What a port is to notify goes with its receive right."""
    if not status.pdrequest and not status.nsrequest:
        return
    translator = Translator(context, leaving.account)
    no_senders, port_destroyed = (
        translator.give(context.mach.exchange_request(leaving.name, each.request.id), PORT_SEND_ONCE, leaving.node)
        for each in (MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED)
    )
    context.say(leaving.node, Asked(number, no_senders, port_destroyed))


# The new home


def asked(context: Context, node: int, payload: Asked) -> None:
    """What a port that comes here is to notify."""
    export = context.tables.exports.get(payload.number)
    coming = None if export is None else context.tables.coming.get(export.name)
    if export is None or coming is None or coming.node != node or coming.no_senders or coming.port_destroyed:
        return
    translator = Translator(context, export.account)
    coming.no_senders = living(translator.take(payload.no_senders, node))
    coming.port_destroyed = living(translator.take(payload.port_destroyed, node))


def has_come(context: Context, node: int, payload: Flush) -> bool:
    """Whether this says that all has come that belongs to a receive right: then that can go to its task."""
    export = context.tables.exports.get(payload.number)
    coming = None if export is None else context.tables.coming.get(export.name)
    if export is None or coming is None or (coming.node, coming.token) != (node, payload.port):
        return False
    name = export.name
    del context.tables.coming[name]
    if name in context.tables.proxies:
        _come_home(context, name, export)
    traffic.fill(context, coming.number, export)
    for asked_for, sync, proxy in (
        (MACH_NOTIFY_NO_SENDERS, NEVER, coming.no_senders),
        (MACH_NOTIFY_PORT_DESTROYED, 0, coming.port_destroyed),
    ):
        if proxy in context.tables.proxies:
            context.mach.exchange_request(name, asked_for.request.id, sync, proxy)
    if coming.is_wanted:
        _release(context, coming)
    else:
        context.mach.destroy_receive(name)
    return True


def _come_home(context: Context, name: PortName, export: Export) -> None:
    """A proxy is the port itself from now on: what tasks here have sent to it comes behind what has come from elsewhere."""
    proxy = context.tables.drop_proxy(name)
    if proxy.count:
        context.say(proxy.node, Unused(proxy.number, proxy.count))
    if proxy.is_watched and (right := living(context.mach.exchange_request(name, MACH_NOTIFY_NO_SENDERS.request.id))):
        context.mach.deallocate(right)
    while context.mach.receive_status(name).msgcount:
        message = context.mach.take_message(name)
        if message is not None and (proxy.watcher or message.header.local_type != PORT_SEND_ONCE):
            context.tables.wait(export, 0, message)
    for _, flush in proxy.flushes:
        context.tables.wait(export, 0, flush)
    if proxy.watcher:
        del context.tables.watchers[proxy.watcher]
        context.mach.destroy_receive(proxy.watcher)


def _release(context: Context, coming: Coming) -> None:
    """The message that brings a receive right waits for it no more."""
    export = context.tables.exports.get(coming.for_port)
    if export is not None:
        export.awaits -= 1
        if not export.awaits:
            traffic.hand_over_next(context, export.name, coming.for_port, export)


def lost(context: Context, node: int) -> None:
    """The old home of receive rights is gone before it has given them up: they are dead."""
    tables = context.tables
    gone = {name: coming for name, coming in tables.coming.items() if coming.node == node}
    rights.are_gone(context, gone.keys())
    for name, coming in gone.items():
        del tables.coming[name]
        export = tables.exports[coming.number]
        rights.destroy_waiting(context, export)
        rights.forget_unused(context, coming.number, export)
        if name not in tables.proxies:
            context.mach.destroy_receive(name)
    for coming in gone.values():
        _release(context, coming)
