"""Messages between tasks and the network: from a proxy port to its port's node, and there into the port's queue."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    PORT_DEAD,
    PORT_RECEIVE,
    PORT_SEND_ONCE,
)
from machemu.abi.port import PortStatus
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_SEND_ONCE
from machemu.sim.state import PortName
from machemu.user.mach import rights as rights_of
from machemu.user.message import Message
from masix.gns import circles, forward, memory, rights, streams
from masix.gns.context import Context
from masix.gns.ports import WAITING_MAX, Export, Proxy, bytes_of
from masix.gns.translate import Translator, destroy, taken, to_port
from masix.gns.wire import Deliver, Flush, Flushed, OnceUnused, RightKind, Taken

HOPS_MAX: Final = 64
"""How often servers send a receive right on that no task has received."""
TOLD_EVERY: Final = 8
"""After so many messages a sender is told that they have gone into the queue."""


def proxied(context: Context, name: PortName, message: Message) -> None:
    """A message has come to a proxy port: it is sent on now, or once its memory has gone."""
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
    goes_round = _goes_round(context, proxy, message)
    context.mach.note(f"gns: step 7: message {header.id} is for node {proxy.node} port {proxy.number}")
    if proxy.node == context.node:
        deliver(context, context.node, proxy.number, proxy.kind, message)
        forward.went(context, name, proxy, header)
    elif why := "its receive rights go round" if goes_round else forward.why_not(context, proxy, message):
        forward.refuse(context, proxy, message, why)
        if proxy.kind is RightKind.SEND:
            forward.done(context, name, proxy, header)
    elif (read := streams.read(context.mach, message)) is not None:
        forward.forward(context, name, proxy, read)
    else:
        streams.begin(context, name, proxy, message)


def _goes_round(context: Context, proxy: Proxy, message: Message) -> bool:
    """Whether a message brings receive rights that servers send on and on, after a port that moves and that nobody receives from.

    Two such rights, each in a message for the other's port, would go round for ever. On one node the kernel makes no such circle.
    """
    is_passing = proxy.passing > 0
    proxy.passing -= is_passing
    numbers = (context.tables.numbers.get(name) for name, kind in rights_of(message) if kind == MOVE_RECEIVE)
    ports = [context.tables.exports[number] for number in numbers if number is not None]
    for port in ports:
        port.hops = min(port.hops, HOPS_MAX) + 1 if is_passing else 0
    return any(port.hops > HOPS_MAX for port in ports)


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
    if isinstance(what, Deliver) and not memory.is_complete(context, node, what):
        context.mach.note(f"gns: node {node} sends nonsense: a message without its memory")
        destroy(context, node, what)
        return
    if export is None or node not in export.given or (kind is RightKind.SEND and export.kind is not kind):
        destroy(context, node, what)
        return
    if isinstance(what, Deliver):
        account = export.account if export.kind is RightKind.SEND_ONCE else (context.node, number)
        is_room = context.tables.has_room(what.message, account)
        what = taken(context, node, what, account)
        if kind is RightKind.SEND_ONCE:
            what = what._replace(header=what.header._replace(local_type=PORT_SEND_ONCE))
        if not is_room:
            _give_up(context, node, number, export, what, forward.FULL)
            return
        what = memory.placed(context, node, what) or what
    if export.waiting is None:
        export.waiting = deque()
        if _hand_over(context, node, number, export, what):
            hand_over_next(context, export.name, number, export)
    elif export.name in context.tables.coming and context.tables.coming[export.name].node == node:
        # All that the old home has comes now, though nobody receives.
        _count(context, node, number, export)
        _spend_once(context, node, export, what)
        context.tables.wait(export, 0, what)
    elif context.tables.waiting + bytes_of(what) > WAITING_MAX:
        _give_up(context, node, number, export, what, "too much waits for full queues")
    else:
        context.tables.wait(export, node, what)
        _look_later(context, number, export)


def flush(context: Context, node: int, payload: Flush) -> None:
    """Answers, or asks where the port is now, once all that was sent before is on its way there."""
    export = context.tables.exports.get(payload.number)
    if export is None or export.name not in context.tables.proxies:
        context.say(payload.origin, Flushed(payload.home, payload.port))
    elif export.waiting is None:
        flush_queue(context, export.name, payload)
    else:
        context.tables.wait(export, node, payload)


def flush_queue(context: Context, name: PortName, payload: Flush, status: PortStatus | None = None) -> None:
    """As `flush`, of a port that has moved on: all that was sent before is in its queue, or goes there after this handler.

    status: where it is known.
    """
    proxy = context.tables.proxies[name]
    status = status or context.mach.receive_status(name)
    before = max(status.msgcount, proxy.passing)
    if before or proxy.flushes or proxy.is_streaming:
        proxy.flushes.append((status.seqno + before, payload))
    else:
        context.say(proxy.node, payload._replace(number=proxy.number))


def _awaits(context: Context, number: int, export: Export, message: Message) -> bool:
    """Whether receive rights that a message brings have not come yet; then it is handed over by the last of them."""
    coming = context.tables.coming
    awaited = [name for name, kind in rights_of(message) if kind == PORT_RECEIVE and name in coming] if coming else []
    for name in awaited:
        coming[name].for_port = number
    export.awaits = len(awaited)
    return bool(awaited)


def _hand_over(context: Context, node: int, number: int, export: Export, message: Message) -> bool:
    """Whether the next message may follow at once; else it waits for room, or for what this one brings."""
    if _awaits(context, number, export, message):
        context.tables.wait(export, node, message, first=True)
        context.arrivals.late.setdefault(number, context.mach.now() + rights.LATE_NS)
        return False
    context.arrivals.late.pop(number, None)
    placed = memory.placed(context, node, message)
    if placed is None:
        context.tables.wait(export, node, message, first=True)
        context.arrivals.short.setdefault(number, context.mach.now())
        return False
    context.arrivals.short.pop(number, None)
    context.mach.note(f"gns: step 9: hands message {message.header.id} of node {node} to its port")
    if export.kind is RightKind.SEND_ONCE:
        context.tables.drop_export(number)
        context.mach.send(to_port(placed, export.name, MOVE_SEND_ONCE))
        return False
    once = _once(context, node, export) if placed.header.local_type == PORT_SEND_ONCE else None
    # A reference of its own: the message goes after the handler, which may yet hear that nobody uses the port any more.
    if once is None and Translator(context).own(export.name) is PORT_DEAD:
        destroy(context, node, placed)
        return False
    if export.name in context.tables.proxies:
        proxy = context.tables.proxies[export.name]
        proxy.passing = max(proxy.passing, context.mach.receive_status(export.name).msgcount) + 1
    if once is None:
        context.mach.send(to_port(placed, export.name, MOVE_SEND), context.notices)
    else:
        context.mach.send(to_port(placed, *once))
    _count(context, node, number, export)
    _look_later(context, number, export)
    return once is not None


def _once(context: Context, node: int, export: Export) -> tuple[PortName, int] | None:
    """The send-once right by which a message of a node goes to a port, and its disposition; None where there is none. Of a port
    that has moved on it is made here, and its new home has one for it."""
    if export.name in context.tables.proxies or export.name in context.tables.coming:
        return export.name, MAKE_SEND_ONCE
    once = context.tables.take_once(export, node)
    return (once, MOVE_SEND_ONCE) if once else None


def _look_later(context: Context, number: int, export: Export) -> None:
    """Looks after a while whether messages that wait for a full queue bring the receive rights that it waits for."""
    if circles.brought(export):
        context.arrivals.late.setdefault(number, context.mach.now() + rights.LATE_NS)


def fill(context: Context, number: int, export: Export) -> None:
    """A port's receive right has come: what waits goes into its queue before anybody can receive or send there.

    What was sent by a send-once right goes by one; so does what is more than the queue takes, since there is always room for it,
    and counts as sent by a send right then.
    """
    status = context.mach.receive_status(export.name)
    room = status.qlimit - status.msgcount
    while export.waiting:
        node, what = context.tables.next_waiting(export)
        if isinstance(what, Flush):
            context.say(what.origin, Flushed(what.home, what.port))
            continue
        placed = None if _awaits(context, number, export, what) else memory.placed(context, node, what)
        is_once = what.header.local_type == PORT_SEND_ONCE
        kind = COPY_SEND if room > 0 and not is_once else MAKE_SEND_ONCE
        if placed is None or not context.mach.put(to_port(placed, export.name, kind)):
            context.tables.wait(export, node, placed or what, first=True)
            break
        if kind != COPY_SEND and not is_once:
            context.mach.count_last_as_sent(export.name)
        if node:
            _spend_once(context, node, export, what)
        _count(context, node, number, export)
        room -= 1
    _keep_onces(context, export)
    hand_over_next(context, export.name, number, export)


def _spend_once(context: Context, node: int, export: Export, message: Message) -> None:
    """A message goes by a send-once right that is made for it here, in the place of the one that there was for its node's."""
    if message.header.local_type == PORT_SEND_ONCE and (once := context.tables.take_once(export, node)):
        context.mach.forget_onces([once])


def _keep_onces(context: Context, export: Export) -> None:
    """The receive right goes to its task: messages that have waited here since before go by send-once rights made now."""
    messages = [what for node, what in export.waiting or () if not node and isinstance(what, Message)]
    marked = sum(message.header.local_type == PORT_SEND_ONCE for message in messages)
    context.tables.add_onces(export, 0, context.mach.make_onces([export.name] * marked))


def _count(context: Context, node: int, number: int, export: Export) -> None:
    """A node's message for a port is under way no more; 0: of one that has been told."""
    if not node:
        return
    export.taken[node] = export.taken.get(node, 0) + 1
    if export.taken[node] == TOLD_EVERY:
        del export.taken[node]
        context.say(node, Taken(number, TOLD_EVERY))


def _give_up(context: Context, node: int, number: int, export: Export, message: Message, why: str) -> None:
    """A message that cannot be taken in goes as one to a dead port."""
    context.mach.note(f"gns: message {message.header.id} of node {node} is destroyed: {why}")
    destroy(context, node, message)
    if export.kind is RightKind.SEND_ONCE:
        context.tables.drop_export(number)
        context.mach.deallocate(export.name)
        return
    if message.header.local_type == PORT_SEND_ONCE and (once := context.tables.take_once(export, node)):
        context.mach.deallocate(once)
    _count(context, node, number, export)


def accepted(context: Context, name: PortName) -> None:
    """The queue of a port has taken the message handed over last."""
    number = context.tables.numbers.get(name)
    if number is not None and context.tables.exports[number].waiting is not None:
        hand_over_next(context, name, number, context.tables.exports[number])


def expired(context: Context) -> None:
    """Hands over what waited for frames; what has waited for too long is destroyed, or goes on."""
    _give_up_late(context)
    _let_rights_through(context)
    for number, since in list(context.arrivals.short.items()):
        del context.arrivals.short[number]
        export = context.tables.exports.get(number)
        if export is None or not export.waiting:
            continue
        node, what = context.tables.next_waiting(export)
        assert isinstance(what, Message)
        if context.mach.now() < since + memory.PATIENCE_NS:
            context.arrivals.short[number] = since
            if _hand_over(context, node, number, export, what):
                hand_over_next(context, export.name, number, export)
            continue
        _give_up(context, node, number, export, what, "there is no room for it")
        if export.kind is RightKind.SEND:
            hand_over_next(context, export.name, number, export)


def _give_up_late(context: Context) -> None:
    """Destroys what waits for itself: receive rights, each in a message for another's port, if all of these have moved on; and
    those that go to the port whose queue they wait for."""
    now = context.mach.now()
    for number, due in list(context.arrivals.late.items()):
        if now < due:
            continue
        del context.arrivals.late[number]
        export = context.tables.exports.get(number)
        if export is None or not export.waiting:
            continue
        if export.name not in context.tables.proxies:
            if not export.awaits and (name := circles.closing(context, export)):
                context.mach.note(f"gns: a receive right for port {number} is destroyed: that of the port itself waits for it")
                rights.are_gone(context, {name})
                context.mach.destroy_receive(name)
            _look_later(context, number, export)
        elif export.awaits:
            node, what = context.tables.next_waiting(export)
            assert isinstance(what, Message)
            export.awaits = 0
            _give_up(context, node, number, export, what, "its receive rights do not come")
            hand_over_next(context, export.name, number, export)


def _let_rights_through(context: Context) -> None:
    """Sends on what waits long behind a full window, up to a message with receive rights: room may wait for one of those."""
    for name, due in list(context.streams.full.items()):
        if context.mach.now() < due:
            continue
        del context.streams.full[name]
        proxy = context.tables.proxies.get(name)
        if proxy is not None and not proxy.is_streaming and not proxy.target and name not in context.tables.coming:
            proxy.under_way -= min(proxy.under_way, circles.up_to_rights(context, name, proxy))
            rights.regulate(context, name, proxy)


def hand_over_next(context: Context, name: PortName, number: int, export: Export) -> None:
    """The next message that waits for a port is handed over, if its receive right has come."""
    if name in context.tables.coming:
        return
    while export.waiting:
        node, what = context.tables.next_waiting(export)
        if not isinstance(what, Flush):
            if not _hand_over(context, node, number, export, what):
                return
        elif name in context.tables.proxies:
            flush_queue(context, name, what)
        else:
            context.say(what.origin, Flushed(what.home, what.port))
    export.waiting = None
    rights.forget_unused(context, number, export)
