"""Receive rights that move to another node, with their queue and their notification requests: there is one home at any time.

The old home keeps the right until the new one has a port for it; what it is asked to notify, and what waits in its queue, then
goes there before the message that brought the right goes to its task. Of a right whose old home is lost before there is nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.message import MOVE_SEND_ONCE, PORT_SEND_ONCE
from machemu.abi.port import PortStatus
from machemu.mig.interfaces.mach_port import MACH_PORT_REQUEST_NOTIFICATION
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.mig.runtime import PolyPort, Routine
from machemu.sim.state import PortName, Right
from machemu.user.message import living
from masix.gns import forward, rights, traffic
from masix.gns.context import Context
from masix.gns.ports import EVERYBODY, Coming, Export, Leaving, Proxy, Way
from masix.gns.translate import Once, Translator, proxies_of
from masix.gns.wire import Flush, Given, GivenUp, Home, Homed, NetRight, Onces, Request, RightKind, Unused

NOBODY: Final = Request(0)
ONCES_MAX: Final = 255
"""Nodes whose send-once rights to a port are told."""
NEVER: Final = (1 << 32) - 1
"""The count of send rights made from which on their lack is told at once."""


# The old home


class Left(NamedTuple):
    """A receive right that went to another node under `token`, and is that node's port `number` now. status: of its port here.
    onces: where the send-once rights to it are."""

    token: int
    number: int
    leaving: Leaving
    status: PortStatus
    onces: tuple[Onces, ...]

    def is_known(self) -> bool:
        """Whether somebody here can still send to it, or something waits in its queue."""
        return bool(self.status.srights or self.status.msgcount or self.status.sorights)


def homed(context: Context, node: int, payload: Homed) -> None:
    """Another node has ports for receive rights that we gave away: what belongs to them goes there; who knows them is told."""
    homes: list[tuple[Home, Leaving]] = []
    for home in payload.homes:
        leaving = context.tables.leaving.get(home.token)
        if leaving is not None and leaving.node == node:
            context.tables.drop_leaving(home.token)
            homes.append((home, leaving))
    statuses = context.mach.receive_statuses([leaving.name for _, leaving in homes])
    gone = [_left(context, home, leaving, status) for (home, leaving), status in zip(homes, statuses, strict=True)]
    passed: set[PortName] = set()
    no_senders = _take_requests(context, MACH_NOTIFY_NO_SENDERS, [each for each in gone if each.status.nsrequest], passed)
    destroyed = [each for each in gone if each.status.pdrequest]
    port_destroyed = _take_requests(context, MACH_NOTIFY_PORT_DESTROYED, destroyed, passed)
    _make_proxies(context, [each for each in gone if each.is_known()])
    given, waiting = [], []
    for each in gone:
        requests = no_senders.get(each.token, NOBODY), port_destroyed.get(each.token, NOBODY)
        is_whole = not each.status.msgcount and not _is_waited_for(context, each.leaving.name)
        given.append(Given(each.number, is_whole, not each.is_known(), *requests, each.onces))
        if not is_whole:
            waiting.append(each)
        elif not each.is_known():
            context.mach.destroy_receive(each.leaving.name)
    if given:
        context.say(node, GivenUp(tuple(given)))
    forward.passed(context, passed)
    for each in waiting:
        _flush(context, each)


def _left(context: Context, home: Home, leaving: Leaving, status: PortStatus) -> Left:
    """The new home makes the send-once rights that this one has had for other nodes' messages."""
    number = context.tables.numbers.get(leaving.name)
    export = None if number is None else context.tables.exports[number]
    held = {} if export is None else {node: len(onces) for node, onces in export.onces.items() if node != leaving.node}
    if export is not None:
        ours = context.tables.drop_onces(export)
        context.mach.forget_onces(ours)
        status = status._replace(sorights=status.sorights - len(ours))
    counts = {**held, 0: held.get(0, 0) + status.sorights}
    onces = [Onces(node, count) for node, count in counts.items() if count]
    return Left(*home, leaving, status, tuple(onces[-ONCES_MAX:]))


def _take_requests(context: Context, notification: Routine, asked: list[Left], passed: set[PortName]) -> dict[int, Request]:
    """Takes back what ports are asked to notify, by the ports' tokens. passed: gets the proxies of ports that are told where they
    are, and of which the rights have been given up for that."""
    taken = context.mach.exchange_requests(notification.request.id, [(each.leaving.name, 0, 0) for each in asked])
    proxies = proxies_of(context, filter(None, map(living, taken)))
    requests = {}
    for each, right in zip(asked, taken, strict=True):
        translator = Translator(context, each.leaving.account, proxies, sends_onces=True)
        given = translator.give(right, PORT_SEND_ONCE, each.leaving.node)
        requests[each.token] = Request(given.number, 0 if given.node == context.node else given.node, given.pledge)
        passed |= translator.passed
    return requests


def _make_proxies(context: Context, gone: list[Left]) -> None:
    """Ports whose receive rights have moved to another node are proxies for where they are."""
    tables = context.tables
    watchers = context.mach.allocate_ports(len(gone))
    watched = []
    for each, watcher in zip(gone, watchers, strict=True):
        name = each.leaving.name
        proxy = Proxy(RightKind.SEND, each.leaving.node, each.number, each.leaving.account)
        proxy.count = 1
        proxy.passing = each.status.msgcount
        proxy.watcher = watcher
        proxy.is_watched = bool(each.status.srights)
        proxy.is_unused = not proxy.is_watched
        tables.watchers[watcher] = name
        tables.add_proxy(name, proxy)
        if proxy.is_watched:
            watched.append((name, each.status.mscount, watcher))
    context.mach.move_members([*(each.leaving.name for each in gone), *watchers], context.ports)
    context.mach.notify_all(MACH_NOTIFY_NO_SENDERS.request.id, watched)
    for each in gone:
        number = tables.numbers.get(each.leaving.name)
        if number is not None and tables.way is not Way.REDIRECTION:
            export = tables.exports[number]
            for other in export.given:
                if other != EVERYBODY:
                    rights.tell_moved(context, number, export, other)


def _is_waited_for(context: Context, name: PortName) -> bool:
    """Whether messages of other nodes wait for room in a port's queue."""
    number = context.tables.numbers.get(name)
    return number is not None and context.tables.exports[number].waiting is not None


def _flush(context: Context, gone: Left) -> None:
    """The new home is told when all that waits here has been sent there."""
    name = gone.leaving.name
    number = context.tables.numbers.get(name)
    flush = Flush(number or 0, gone.leaving.node, context.node, gone.token)
    if number is None:
        traffic.flush_queue(context, name, flush, gone.status)
    else:
        traffic.flush(context, gone.leaving.node, flush)


# The new home


def given_up(context: Context, node: int, payload: GivenUp) -> None:
    """The old home has given up receive rights: what their ports are to notify, and which of them have come whole."""
    found = [(each, _coming(context, node, each.number)) for each in payload.rights]
    rights_of = {coming.number: (each, coming) for each, coming in found if coming is not None and not coming.is_given_up}
    context.stock(sum(bool(each.no_senders.number) + bool(each.port_destroyed.number) for each, _ in rights_of.values()))
    for each, coming in rights_of.values():
        translator = Translator(context, context.tables.exports[coming.number].account, sends_onces=True)
        coming.is_given_up = True
        coming.no_senders = _asked_for(translator, node, each.no_senders, coming, MACH_NOTIFY_NO_SENDERS)
        coming.port_destroyed = _asked_for(translator, node, each.port_destroyed, coming, MACH_NOTIFY_PORT_DESTROYED)
        _make_onces(context, node, coming, each.onces)
        if each.is_unused:
            rights.unused(context, node, Unused(each.number, 1))
    _have_come(context, [coming for each, coming in rights_of.values() if each.is_whole])


def _make_onces(context: Context, node: int, coming: Coming, told: tuple[Onces, ...]) -> None:
    """Send-once rights to a port that comes, for messages of other nodes, as many as those have."""
    export = context.tables.exports[coming.number]
    name = export.name
    for each in told:
        count = min(each.rights, context.tables.room_for_onces(export)) if each.node != context.node else 0
        context.tables.add_onces(export, each.node or node, context.mach.make_onces([name] * count))


def _asked_for(translator: Translator, node: int, request: Request, coming: Coming, notification: Routine) -> Right:
    """The proxy of a send-once right by which a port of a node was asked to notify; 0 for none, and for one to a port here, which
    is kept as such."""
    right = NetRight(RightKind.SEND_ONCE, request.node or node, request.number, request.pledge)
    taken = translator.take(right, node) if request.number else None
    if isinstance(taken, Once):
        coming.onces[notification.request.id] = int(taken)
        return 0
    return living(taken)


def _coming(context: Context, node: int, number: int) -> Coming | None:
    """The receive right of this port of ours, if it is still to come from a node."""
    export = context.tables.exports.get(number)
    coming = None if export is None else context.tables.coming.get(export.name)
    return coming if coming is not None and coming.node == node else None


def has_come(context: Context, node: int, payload: Flush) -> bool:
    """Whether this says that all has come that belongs to a receive right: then that can go to its task."""
    coming = _coming(context, node, payload.number)
    if coming is None or (payload.origin, payload.home, payload.port) != (context.node, node, coming.token):
        return False
    _have_come(context, [coming])
    return True


def _have_come(context: Context, several: list[Coming]) -> None:
    """All has come that belongs to receive rights: they can go to their tasks."""
    tables = context.tables
    named = [(tables.exports[each.number].name, each) for each in several]
    plain = [(name, each) for name, each in named if name not in tables.proxies and not tables.exports[each.number].waiting]
    for name, coming in plain:
        del tables.coming[name]
        tables.exports[coming.number].waiting = None
        rights.forget_unused(context, coming.number, tables.exports[coming.number])
    _ask(context, plain)
    for name, coming in named:
        if name not in tables.coming:
            continue
        export = tables.exports[coming.number]
        del tables.coming[name]
        if name in tables.proxies:
            _come_home(context, name, export)
        traffic.fill(context, coming.number, export)
        _ask(context, [(name, coming)])
    for name, coming in named:
        if coming.is_wanted:
            _release(context, coming)
        else:
            context.mach.destroy_receive(name)


def _ask(context: Context, come: list[tuple[PortName, Coming]]) -> None:
    """Makes the requests that ports come with. It takes the server's own right to one for no sender: that is given up before."""
    for notification, sync, requests in (
        (MACH_NOTIFY_NO_SENDERS, NEVER, [(name, each.no_senders) for name, each in come]),
        (MACH_NOTIFY_PORT_DESTROYED, 0, [(name, each.port_destroyed) for name, each in come]),
    ):
        asked = [(name, sync, proxy) for name, proxy in requests if proxy in context.tables.proxies]
        context.mach.notify_all(notification.request.id, asked)
        for name, coming in come:
            if once := coming.onces.pop(notification.request.id, 0):
                _ask_once(context, name, notification, sync, once)


def _ask_once(context: Context, name: PortName, notification: Routine, sync: int, once: PortName) -> None:
    """As `_ask`, where a port here is told."""
    mach = context.mach
    values = (name, notification.request.id, sync, PolyPort(once, MOVE_SEND_ONCE))
    try:
        (previous,) = mach.call(MACH_PORT_REQUEST_NOTIFICATION, mach.task_self(), *values)
    except KernError:  # who was to be told has died
        mach.deallocate(once)
    else:
        mach.give_up([(living(previous), MOVE_SEND_ONCE)] if living(previous) else [])


def _come_home(context: Context, name: PortName, export: Export) -> None:
    """A proxy is the port itself from now on: what tasks here have sent to it comes behind what has come from elsewhere."""
    proxy = context.tables.drop_proxy(name)
    if proxy.count:
        rights.give_back(context, name, proxy.node, proxy.number, proxy.count)
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
        context.mach.give_up((once, MOVE_SEND_ONCE) for once in coming.onces.values())
        export = tables.exports[coming.number]
        rights.destroy_waiting(context, export)
        rights.forget_unused(context, coming.number, export)
        if name not in tables.proxies:
            context.mach.destroy_receive(name)
    for coming in gone.values():
        _release(context, coming)
