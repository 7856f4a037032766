"""What becomes of ports that several nodes know: who has rights to them, where they move, and their end."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from typing import Final

from machemu.abi.message import MOVE_SEND_ONCE
from machemu.sim.state import PortName
from machemu.user.message import Message
from masix.gns.context import Context
from masix.gns.ports import EVERYBODY, Export, Pledge, Proxy, Way, less
from masix.gns.translate import Translator, destroy, hold, tell_homed, without
from masix.gns.wire import Claim, Died, Flush, Flushed, Moved, NetRight, OnceUnused, Passed, RightKind, Unclaimed, Unused

WINDOW: Final = 32
"""Messages of one node for one port that may be under way: so many wait at the other side when its queue is full. More are those
alone behind which a receive right has waited for LATE_NS."""
LATE_NS: Final = 15_000_000_000
"""How long a message for a port that has moved on waits for receive rights that it brings; after how long of a full queue or
window it is looked whether messages with such rights wait for it."""

# Rights of other nodes to ports of this one


def claimed(context: Context, node: int, payload: Claim) -> None:
    """Another node has a right more to a port of ours: from a third one, or as the port was made known."""
    export = context.tables.exports.get(payload.number)
    if export is None:
        context.say(node, Died(payload.number))
    elif export.kind is RightKind.SEND_ONCE:
        export.pass_on(payload.via, node)
        _forget_unheld(context, payload.number, export)
    else:
        export.give(node)
        if context.tables.is_elsewhere(export.name) and context.tables.way is not Way.REDIRECTION:
            tell_moved(context, payload.number, export, node)
    if payload.pledge and payload.via:
        context.say(payload.via, Passed(payload.pledge))


def passed(context: Context, node: int, payload: Passed) -> None:
    pledge = context.tables.pledges.get(payload.pledge)
    if pledge is None or pledge.home != node:
        return
    if pledge.kind is RightKind.SEND_ONCE:
        context.tables.drop_pledge(payload.pledge)
        (proxy,) = context.mach.receivers([pledge.name])
        Translator(context).forget_once(pledge.name, proxy)
    else:
        _take_back(context, payload.pledge, pledge)


def _take_back(context: Context, number: int, pledge: Pledge) -> None:
    """A pledge is needed no more. What has waited for the last one of a port at a node is given back."""
    context.tables.drop_pledge(number)
    owed = context.tables.owed.pop(pledge.name, [])
    for each in owed:
        give_back(context, pledge.name, *each)
    context.mach.deallocate(pledge.name)


def give_back(context: Context, name: PortName, home: int, number: int, times: int) -> None:
    """This node has no rights to a port of another any more. That learns of it once it knows all to whom they were pledged."""
    if any(pledge.name == name and pledge.home == home for pledge in context.tables.pledges.values()):
        context.tables.owed.setdefault(name, []).append((home, number, times))
    else:
        context.say(home, Unused(number, times))


def unclaimed(context: Context, node: int, payload: Unclaimed) -> None:
    """A node has lost the home of rights that it was given here, and nobody will tell that they are known there."""
    for number, pledge in list(context.tables.pledges.items()):
        if number <= payload.pledge and (pledge.to, pledge.home) == (node, payload.home):
            _take_back(context, number, pledge)


def unused(context: Context, node: int, payload: Unused) -> None:
    """A node has given back rights that it had to a port of ours."""
    export = context.tables.exports.get(payload.number)
    if export is None or export.kind is not RightKind.SEND or node not in export.given:
        return
    export.given[node] -= payload.times
    if export.given[node] <= 0:
        _forget(context, payload.number, export, node)


def once_unused(context: Context, node: int, payload: OnceUnused) -> None:
    export = context.tables.exports.get(payload.number)
    if export is None or node not in export.given:
        return
    if export.kind is RightKind.SEND_ONCE:
        less(export.given, node)
        _forget_unheld(context, payload.number, export)
    elif once := context.tables.take_once(export, node):
        context.mach.deallocate(once)


def _forget_unheld(context: Context, number: int, export: Export) -> None:
    """A send-once right that no node has any more goes unused."""
    if not export.given:
        context.tables.drop_export(number)
        context.mach.deallocate(export.name)


def _forget(context: Context, number: int, export: Export, node: int) -> None:
    """A node knows a port of ours no more. What it sent before still waits for room. Its send-once rights went unused."""
    del export.given[node]
    _drop_onces(context, export, node)
    forget_unused(context, number, export)


def forget_unused(context: Context, number: int, export: Export) -> None:
    """A port of ours that no node knows, and for which nothing waits, is ours alone again."""
    if not export.given and not export.waiting and export.name not in context.tables.coming:
        _drop_onces(context, export)
        context.tables.drop_export(number)
        context.mach.deallocate(export.name)


def _drop_onces(context: Context, export: Export, node: int | None = None) -> None:
    context.mach.give_up((once, MOVE_SEND_ONCE) for once in context.tables.drop_onces(export, node))


def port_died(context: Context, name: PortName) -> None:
    """A port of this node that others know is dead; the kernel has given a user reference for the news."""
    number = context.tables.numbers.get(name)
    if number is not None:
        _drop_onces(context, context.tables.exports[number])
        export = context.tables.drop_export(number)
        for node in export.given:
            if node != EVERYBODY:
                context.say(node, Died(number))
        destroy_waiting(context, export)
        context.mach.deallocate(name)
    context.mach.deallocate(name)


def destroy_waiting(context: Context, export: Export) -> None:
    """What waits for a port goes with it."""
    while export.waiting:
        node, what = context.tables.next_waiting(export)
        if isinstance(what, Flush):
            context.say(what.origin, Flushed(what.home, what.port))
        else:
            destroy(context, node, what)


# Rights of this node to ports of others


def no_senders(context: Context, name: PortName, count: int) -> None:
    """Nobody here can send to the proxy any more, unless a right was made after the count."""
    proxy = context.tables.proxies[name]
    proxy.is_watched = False
    if name in context.tables.coming:
        return
    if context.mach.receive_status(name).mscount != count:
        Translator(context).watch(name)
    else:
        unused_here(context, name)


def unused_here(context: Context, name: PortName) -> None:
    """A proxy that nobody can send to goes, once its queue is empty, and what it sent to where its port was has arrived. Else the
    new home would give up the send-once right of a message that comes by the old one."""
    proxy = context.tables.proxies[name]
    status = context.mach.receive_status(name)
    is_followed = proxy.is_streaming or proxy.target is not None
    # Of a port that was always ours nobody else has send-once rights.
    proxy.is_unused = is_followed or bool(status.msgcount or (proxy.watcher and status.sorights))
    if not proxy.is_unused:
        drop(context, name)
        _give_back(context, proxy)


def drop(context: Context, name: PortName) -> None:
    """A proxy goes, with what waits in its queue: whoever still has a right to it has a dead name."""
    proxy = context.tables.drop_proxy(name)
    if proxy.watcher:
        del context.tables.watchers[proxy.watcher]
        context.mach.destroy_receive(proxy.watcher)
    context.mach.destroy_receive(name)


def _give_back(context: Context, proxy: Proxy) -> None:
    """Tells the nodes that know of a proxy's rights that they are gone."""
    context.say(proxy.node, Unused(proxy.number, proxy.count))
    if proxy.target:
        context.say(proxy.target[0], Unused(*proxy.target[1:]))


def regulate(context: Context, name: PortName, proxy: Proxy) -> None:
    """Takes messages from a proxy's queue, or lets them wait there."""
    is_full = proxy.under_way >= WINDOW or context.is_full(proxy.node)
    is_waiting = proxy.is_streaming or proxy.is_paused or proxy.target is not None
    hold(context, name, proxy, is_waiting or is_full or name in context.tables.coming)
    if proxy.under_way >= WINDOW:
        context.streams.full.setdefault(name, context.mach.now() + LATE_NS)
    else:
        context.streams.full.pop(name, None)


def has_room(context: Context, node: int) -> None:
    """Messages to a node that waited since it was full may go."""
    for name, proxy in list(context.tables.proxies.items()):
        if proxy.is_held and proxy.node == node:
            regulate(context, name, proxy)


def died(context: Context, node: int, number: int) -> None:
    """A port of another node is dead. Of one that has moved only the place where it is now can say so."""
    once = context.tables.onces.get((node, number))
    if once is not None:
        drop(context, once)
        are_gone(context, {once})
    for name, proxy in context.tables.proxies_for(node, number):
        if name in context.tables.coming:
            continue
        if proxy.stands_for()[-1] != (node, number):
            _arrive(context, name, proxy)
            continue
        drop(context, name)
        if proxy.target:
            context.say(proxy.node, Unused(proxy.number, proxy.count))


def are_gone(context: Context, gone: Set[PortName]) -> None:
    """Messages of other nodes that are still to go to tasks bring no send-once rights of these proxies any more."""
    for export in context.tables.exports.values() if context.tables.waiting else ():
        if export.waiting:
            export.waiting = deque(
                (of, without(what, gone) if isinstance(what, Message) else what) for of, what in export.waiting
            )
    context.mach.revise(lambda message: without(message, gone))


# Receive rights that move


def tell_moved(context: Context, number: int, export: Export, node: int) -> None:
    """Tells a node that has rights to a port of ours where it is now."""
    home, there = context.tables.proxies[export.name].stands_for()[-1]
    pledge = 0
    if home != node:
        pledge = Translator(context).pledge(context.mach.copy_send(export.name), node, home, RightKind.SEND)
    context.say(node, Moved(number, NetRight(RightKind.SEND, home, there, pledge)))


def moved(context: Context, node: int, payload: Moved) -> None:
    """A port that we know is elsewhere now: messages go there once those on their way have arrived."""
    right = payload.right
    place = node, payload.number
    known = context.tables.proxies_for(*place)
    proxies = [(name, proxy) for name, proxy in known if proxy.stands_for()[-1] == place and not proxy.is_idle()]
    proxies = [(name, proxy) for name, proxy in proxies if name not in context.tables.coming]
    context.claim(right.node, right.number, node, right.pledge)
    for _ in proxies[1:]:
        context.say(right.node, Claim(right.number))
    if not proxies:
        context.say(right.node, Unused(right.number, 1))
    for name, proxy in proxies:
        context.tables.leave(name, proxy)
        if proxy.target:
            give_back(context, name, *proxy.target)
        elif not proxy.is_streaming:
            context.say(node, Flush(payload.number, context.node, node, payload.number))
        proxy.target = right.node, right.number, 1
        proxy.is_paused = False
        context.tables.enter(name, proxy)
        regulate(context, name, proxy)


def flushed(context: Context, payload: Flushed) -> None:
    """All that was sent to a port before it moved has arrived."""
    for name, proxy in context.tables.proxies_for(payload.home, payload.port):
        if proxy.target and (proxy.node, proxy.number) == (payload.home, payload.port):
            give_back(context, name, proxy.node, proxy.number, proxy.count)
            _arrive(context, name, proxy)


def _arrive(context: Context, name: PortName, proxy: Proxy) -> None:
    """A proxy stands for where its port has moved from now on."""
    assert proxy.target is not None
    context.tables.leave(name, proxy)
    (proxy.node, proxy.number, proxy.count), proxy.target = proxy.target, None
    proxy.under_way = 0
    proxy.is_paused = False
    context.tables.enter(name, proxy)
    regulate(context, name, proxy)
    tell_homed(context, [name])
    if proxy.is_unused:
        unused_here(context, name)


def lost(context: Context, node: int) -> None:
    """A node is gone: its ports are dead, and its rights to ours."""
    tables = context.tables
    gone: set[PortName] = set()
    for name, proxy in list(tables.proxies.items()):
        if proxy.stands_for()[-1][0] == node:
            gone.add(name)
            drop(context, name)
            if proxy.node != node:
                context.say(proxy.node, Unused(proxy.number, proxy.count))
        elif proxy.node == node:
            _arrive(context, name, proxy)
        elif proxy.target and not proxy.is_streaming:
            # What was to come back may have been lost with it.
            context.say(proxy.node, Flush(proxy.number, context.node, proxy.node, proxy.number))
    are_gone(context, gone)
    for number, export in list(tables.exports.items()):
        export.ahead.pop(node, None)
        _drop_onces(context, export, node)
        if node in export.given:
            _forget(context, number, export, node)
    for token, leaving in list(tables.leaving.items()):
        if leaving.node == node:
            tables.drop_leaving(token)
            context.mach.destroy_receive(leaving.name)
    for via, home in list(tables.claims):
        if node in (via, home):
            last = tables.claims.pop((via, home))
            if via != node:
                context.say(via, Unclaimed(node, last))
    for name, owed in tables.owed.items():
        tables.owed[name] = [each for each in owed if each[0] != node]
    for number, pledge in list(tables.pledges.items()):
        if node in (pledge.to, pledge.home):
            _take_back(context, number, pledge)
