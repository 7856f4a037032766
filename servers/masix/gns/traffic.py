"""Messages between tasks and the network: from a proxy port to its port's node, and there into the port's queue."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.abi.message import MOVE_SEND, MOVE_SEND_ONCE, PORT_DEAD, PORT_SEND_ONCE
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_SEND_ONCE
from machemu.sim.state import PortName
from machemu.user.message import Header, Message, right_of
from masix.gns import rights
from masix.gns.context import Context
from masix.gns.ports import Export, Proxy
from masix.gns.translate import MSGCOUNT, SEQNO, Translator, destroy, give_all, taken
from masix.gns.wire import Deliver, Flush, Flushed, NetRight, OnceUnused, RightKind, Taken

TOLD_EVERY: Final = 8
"""After so many messages a sender is told that they have gone into the queue."""


def proxied(context: Context, name: PortName, message: Message) -> None:
    """A message has come to a proxy port."""
    proxy = context.tables.proxies[name]
    header = message.header
    if proxy.kind is RightKind.SEND_ONCE:
        context.tables.drop_proxy(name)
        context.retire(name)
        if header.id == MACH_NOTIFY_SEND_ONCE.request.id and not message.body and not header.remote:
            context.say(proxy.node, OnceUnused(proxy.number))
            return
    elif header.local_type == PORT_SEND_ONCE and not proxy.watcher:
        # Only notifications use the send-once rights that we make of a port which was always ours.
        kind = MACH_NOTIFY_NO_SENDERS.request
        rights.no_senders(context, name, *kind.unpack(context.mach.order, message.body, message.carried, message.complex))
        return
    _forward(context, proxy, message)
    while proxy.flushes and proxy.flushes[0][0] <= header.seqno + 1:
        context.say(proxy.node, proxy.flushes.pop(0)[1]._replace(number=proxy.number))
    if proxy.is_unused:
        rights.unused_here(context, name)


def _forward(context: Context, proxy: Proxy, message: Message) -> None:
    header = message.header
    context.mach.note(f"gns: step 7: message {header.id} is for node {proxy.node} port {proxy.number}")
    if proxy.node == context.node:
        deliver(context, context.node, proxy.number, proxy.kind, message)
    else:
        translator = Translator(context)
        answer = translator.give(right_of(header.remote), header.remote_type, proxy.node)
        if answer.kind is RightKind.DEAD:
            answer = answer._replace(number=header.remote_type)
        given = give_all(message, lambda right, disposition: translator.give(right, disposition, proxy.node))
        context.mach.note(f"gns: step 8: sends it to the network server of node {proxy.node}")
        to = NetRight(proxy.kind, proxy.node, proxy.number)
        context.say(proxy.node, Deliver(to, answer, context.mach.order, given))
    if proxy.kind is RightKind.SEND:
        proxy.under_way += 1
        rights.regulate(context, header.local, proxy)


def have_gone(context: Context, node: int, payload: Taken) -> None:
    """Messages of ours have gone into the queue that they were for."""
    times = payload.times
    for name, proxy in context.tables.proxies_for(node, payload.number):
        gone = min(times, proxy.under_way) if proxy.node == node and proxy.number == payload.number else 0
        proxy.under_way -= gone
        times -= gone
        rights.regulate(context, name, proxy)


def deliver(context: Context, node: int, number: int, kind: RightKind, what: Deliver | Message) -> None:
    """A message for a port of this node, as the network server of another has sent it, or as a task here has."""
    export = context.tables.exports.get(number)
    if export is None or node not in export.given or kind is not export.kind:
        destroy(context, node, what)
    elif export.waiting is None:
        export.waiting = deque()
        _hand_over(context, node, number, export, what)
    elif sum(sender == node for sender, _ in export.waiting) < rights.WINDOW:
        export.waiting.append((node, what))
    else:
        destroy(context, node, what)


def flush(context: Context, node: int, payload: Flush) -> None:
    """Answers, or asks where the port is now, once all that was sent before is on its way there."""
    export = context.tables.exports.get(payload.number)
    if export is None or export.name not in context.tables.proxies:
        context.say(payload.origin, Flushed(payload.home, payload.port))
    elif export.waiting is None:
        _flush_queue(context, export.name, payload)
    else:
        export.waiting.append((node, payload))


def _flush_queue(context: Context, name: PortName, payload: Flush) -> None:
    """As `flush`, of a port that has moved on and whose queue holds all that was sent before."""
    proxy = context.tables.proxies[name]
    status = Translator(context).status(name)
    if status[MSGCOUNT] or proxy.flushes:
        proxy.flushes.append((status[SEQNO] + status[MSGCOUNT], payload))
    else:
        context.say(proxy.node, payload._replace(number=proxy.number))


def _hand_over(context: Context, node: int, number: int, export: Export, what: Deliver | Message) -> None:
    header = what.header if isinstance(what, Message) else what.message.header
    context.mach.note(f"gns: step 9: hands message {header.id} of node {node} to its port")
    if export.kind is RightKind.SEND_ONCE and isinstance(what, Deliver):
        context.tables.drop_export(number)
        context.mach.send(taken(context, node, what, export.name, MOVE_SEND_ONCE))
        return
    # A reference of its own: the message goes after the handler, which may yet hear that nobody uses the port any more.
    if Translator(context).own(export.name) is PORT_DEAD:
        destroy(context, node, what)
        return
    if isinstance(what, Message):
        here = Header(export.name, MOVE_SEND, header.remote, header.remote_type, header.id, flags=header.flags)
        context.mach.send(what._replace(header=here), context.notices)
    else:
        context.mach.send(taken(context, node, what, export.name, MOVE_SEND), context.notices)
    export.taken[node] = export.taken.get(node, 0) + 1
    if export.taken[node] == TOLD_EVERY:
        del export.taken[node]
        context.say(node, Taken(number, TOLD_EVERY))


def accepted(context: Context, name: PortName) -> None:
    """The queue of a port has taken the message handed over last."""
    number = context.tables.numbers.get(name)
    if number is None:
        return
    export = context.tables.exports[number]
    if export.waiting is None:
        return
    while export.waiting:
        node, what = export.waiting.popleft()
        if not isinstance(what, Flush):
            _hand_over(context, node, number, export, what)
            return
        if name in context.tables.proxies:
            _flush_queue(context, name, what)
    export.waiting = None
    rights.forget_unused(context, number, export)
