"""Rights between a node and the network: what a task's right becomes for another node, and what that node makes of it."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.message import (
    MAKE_SEND_ONCE,
    PORT_DEAD,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    Carried,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
)
from machemu.abi.port import QLIMIT_DEFAULT, QLIMIT_MAX
from machemu.abi.types import ByteOrder
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.sim.state import PortName
from machemu.user.mach import rights
from machemu.user.message import DEAD_NAME, Header, Item, Message, items, living
from masix.gns import memory
from masix.gns.context import Context
from masix.gns.convert import convert
from masix.gns.ports import FOUND, Account, Coming, Export, Leaving, Pledge, Proxy
from masix.gns.wire import DEAD, NULL, Deliver, Home, Homed, NetRight, OnceUnused, RightKind

SENT: Final = {PORT_RECEIVE: PORT_RECEIVE, PORT_SEND: PORT_SEND, PORT_SEND_ONCE: MAKE_SEND_ONCE}
"""How a right is sent that came to another node so: receive and send rights are moved, send-once rights made of their proxy."""


class Once(int):
    """The name of a send-once right that is moved to its task; others are made of their proxies."""


class Translator:
    """Of one network server, for one handler."""

    def __init__(
        self,
        context: Context,
        account: Account = FOUND,
        proxies: Mapping[PortName, PortName] | None = None,
        sends_onces: bool = False,
    ) -> None:
        """account: of what is kept of the rights that it is given. proxies: of the send-once rights among them (`proxies_of`).

        sends_onces: a send-once right to a port that has moved to where the right goes is one to the port itself there.
        passed: the proxies of such ports.
        """
        self._context = context
        self._account = account
        self._mach = context.mach
        self._node = context.node
        self._tables = context.tables
        self._proxies = proxies or {}
        self.passed: set[PortName] = set()
        self._sends_onces = sends_onces

    # From a task to the network: the server owns the right, and gives it away

    def give_all(self, message: Message, node: int) -> Message:
        """A message with its body's rights given, receive rights last: they go under the numbers by which others know them."""
        names = [name for name, disposition in rights(message) if disposition == PORT_RECEIVE]
        statuses = self._mach.receive_statuses(names)
        limits = {name: status.qlimit for name, status in zip(names, statuses, strict=True)}

        def give(right: object | None, disposition: int) -> object | None:
            return right if disposition == PORT_RECEIVE and right in limits else self.give(right, disposition, node)

        def give_receive(right: object | None, _: int) -> object | None:
            return self._give_receive(right, node, limits[right]) if isinstance(right, int) else right

        return replaced(replaced(message, give), give_receive)

    def _give_once(self, right: PortName, node: int) -> NetRight:
        name = self._proxies.get(right, 0)
        proxy = self._tables.proxies.get(name)
        if self._sends_onces and proxy is not None and _has_moved_to(proxy, node):
            self._mach.forget_onces([right])
            self.passed.add(name)
            return NetRight(RightKind.SEND_ONCE, node, proxy.number)
        if proxy is None or proxy.kind is not RightKind.SEND_ONCE:
            number = self._tables.add_export(RightKind.SEND_ONCE, right, self._account)
            self._tables.exports[number].give(node)
            return NetRight(RightKind.SEND_ONCE, self._node, number)
        home, number = proxy.node, proxy.number
        if home not in (node, self._node):
            return NetRight(RightKind.SEND_ONCE, home, number, self.pledge(right, node, home, RightKind.SEND_ONCE))
        if home == self._node:
            self._tables.exports[number].pass_on(home, node)
        self.forget_once(right, name)
        return NetRight(RightKind.SEND_ONCE, home, number)

    def forget_once(self, right: PortName, name: PortName) -> None:
        """A send-once right to a port of another node is not used by this one. name: of the proxy, 0 where that is gone."""
        if name:
            self._tables.drop_proxy(name)
            self._mach.destroy_receive(name)
        self._mach.deallocate(right)

    def _give_receive(self, name: PortName, node: int, limit: int) -> NetRight:
        """What a receive right is for another node. limit: of its queue."""
        token = self._tables.add_leaving(Leaving(name, node, self._account))
        known = self._tables.numbers.get(name)
        hops = 0 if known is None else self._tables.exports[known].hops
        return NetRight(RightKind.RECEIVE, self._node, token, limit=limit, hops=hops)

    def give(self, right: object | None, disposition: int, node: int) -> NetRight:
        """What a send or send-once right that came in a message is for another node."""
        if right is None:
            return NULL
        if right is PORT_DEAD or not isinstance(right, int):
            return DEAD
        if disposition == PORT_SEND_ONCE:
            return self._give_once(right, node)
        proxy = self._tables.proxies.get(right)
        if proxy is None:
            return NetRight(RightKind.SEND, self._node, self.export(right, node))
        home, number = proxy.stands_for()[-1]
        if home == self._node:
            self._mach.deallocate(right)
            self._tables.exports[number].give(node)
        elif home == node:
            self._mach.deallocate(right)
        else:
            return NetRight(RightKind.SEND, home, number, self.pledge(right, node, home, RightKind.SEND))
        return NetRight(RightKind.SEND, home, number)

    def export(self, name: PortName, node: int) -> int:
        """Gives a node a right to the port of a send right, which is kept, or given up where there is one already: the number."""
        number = self._tables.numbers.get(name)
        if number is None:
            number = self._tables.add_export(RightKind.SEND, name, self._account)
            self.watch_death(name)
        else:
            self._mach.deallocate(name)
        self._tables.exports[number].give(node)
        return number

    def watch_death(self, name: PortName) -> None:
        """Asks to be told when a port is dead; at once, if it is dead already."""
        self._mach.notify(name, MACH_NOTIFY_DEAD_NAME.request.id, self._context.notices, 1)

    def pledge(self, name: PortName, to: int, home: int, kind: RightKind) -> int:
        """Keeps a right to a proxy until `home` knows that node `to` has one to its port."""
        return self._tables.add_pledge(Pledge(name, kind, to, home, self._account))

    # From the network to a task

    def take(self, right: NetRight, node: int) -> object | None:
        """The name of what a right that came from a node is here, to be sent to a task with the disposition of `SENT`.

        Of a send right the server has a user reference more, which it moves away.
        """
        if right.kind is RightKind.NULL:
            return None
        if right.kind is RightKind.SEND and right.node == self._node:
            export = self._tables.exports.get(right.number)
            known = export is not None and export.kind is RightKind.SEND and node in export.given
            return self.own(export.name) if export is not None and known else PORT_DEAD
        if right.kind is RightKind.SEND:
            return self._take_send(right, node)
        if right.kind is not RightKind.SEND_ONCE:
            return PORT_DEAD
        if right.node == self._node:
            export = self._tables.exports.get(right.number)
            if export is None or node not in export.given:
                return PORT_DEAD
            if export.kind is RightKind.SEND:
                return self._take_own_once(export, node) if self._sends_onces else PORT_DEAD
            export.pass_on(node, self._node)
        elif right.node != node:
            self._context.claim(right.node, right.number, node, right.pledge)
        return self._new_proxy(Proxy(RightKind.SEND_ONCE, right.node, right.number, self._account))

    def _take_own_once(self, export: Export, node: int) -> object:
        """A node's send-once right to a port that has come here."""
        once = self._tables.take_once(export, node)
        if not once and (export.name in self._tables.proxies or export.name in self._tables.coming):
            (once,) = self._mach.make_onces([export.name])
        return Once(once) if once else PORT_DEAD

    def settled(self, message: Message) -> tuple[Message, Mapping[int, int]]:
        """A message whose rights have been taken, and how each kind of them is sent: of send-once rights either all are made as
        they go, or all have been before."""
        is_moved = False
        proxies: list[PortName] = []

        def look(right: object | None, disposition: int) -> object | None:
            nonlocal is_moved
            is_moved |= isinstance(right, Once)
            if disposition == PORT_SEND_ONCE and living(right) and not isinstance(right, Once):
                proxies.append(living(right))
            return right

        def make(right: object | None, disposition: int) -> object | None:
            if disposition != PORT_SEND_ONCE or not living(right):
                return right
            return int(right) if isinstance(right, Once) else next(made)

        replaced(message, look)
        if not is_moved:
            return message, SENT
        made = iter(self._mach.make_onces(proxies))
        return replaced(message, make), SENT | {PORT_SEND_ONCE: PORT_SEND_ONCE}

    def _take_send(self, right: NetRight, node: int) -> PortName:
        names = self._tables.by_number.get((right.node, right.number))
        name = names[0] if names else self._new_proxy(Proxy(RightKind.SEND, right.node, right.number, self._account))
        proxy = self._tables.proxies[name]
        if (proxy.node, proxy.number) == (right.node, right.number):
            proxy.count += 1
        else:
            assert proxy.target is not None
            proxy.target = (right.node, right.number, proxy.target[2] + 1)
        if right.node != node:
            self._context.claim(right.node, right.number, node, right.pledge)
        return self.renew(name)

    def make_idle(self, node: int, number: int) -> bool:
        """Makes a proxy that nobody has a right to yet; False where there is one."""
        if (node, number) in self._tables.by_number:
            return False
        self._new_proxy(Proxy(RightKind.SEND, node, number, self._account))
        return True

    def renew(self, name: PortName) -> PortName:
        """One more send right to a proxy, to be moved away."""
        self._tables.proxies[name].is_unused = False
        self._mach.make_send(name)
        self.watch(name)
        return name

    def own(self, name: PortName) -> object:
        """One more user reference of a port of this node, to be moved away; PORT_DEAD where its death has not been told yet."""
        try:
            return self._mach.copy_send(name)
        except KernError:
            return PORT_DEAD

    def _new_proxy(self, proxy: Proxy) -> PortName:
        name = self._tables.spares.pop() if self._tables.spares else self._context.new_port()
        self._tables.add_proxy(name, proxy)
        return name

    def new_homes(self, node: int, rights: Sequence[NetRight]) -> list[PortName]:
        """The ports whose receive rights a task here gets; the server that they came from sends to them before.

        Such a port is the proxy by which tasks here know it, if there is one: send and receive right of a port have one name.
        """
        known: dict[PortName, NetRight] = {}
        names = []
        for right in rights:
            name = self._known(node, right.number)
            names.append(0 if name in known else name)
            known[name] = right
        fresh = iter(self._mach.allocate_ports(names.count(0)))
        names = [name or next(fresh) for name in names]
        exported = [name for name in names if name not in self._tables.numbers]
        for name in exported:
            self._tables.add_export(RightKind.SEND, self._mach.make_send(name), self._account)
        self._mach.notify_all(MACH_NOTIFY_DEAD_NAME.request.id, [(name, 1, self._context.notices) for name in exported])
        for name, right in zip(names, rights, strict=True):
            limit = min(right.limit, QLIMIT_MAX)
            if limit != QLIMIT_DEFAULT or name in known:
                self._mach.call(MACH_PORT_SET_QLIMIT, self._mach.task_self(), name, limit)
            number = self._tables.numbers[name]
            export = self._tables.exports[number]
            export.give(node)
            export.hops = right.hops
            export.waiting = deque() if export.waiting is None else export.waiting
            self._tables.coming[name] = Coming(node, right.number, number)
        tell_homed(self._context, names)
        return names

    def _known(self, node: int, number: int) -> PortName:
        """The proxy that becomes the port itself, 0 for none."""
        for name, proxy in self._tables.proxies_for(node, number):
            if name not in self._tables.coming and not proxy.is_idle():
                proxy.is_unused = False
                return name
        return 0

    def watch(self, name: PortName) -> None:
        """Asks to be told when nobody here has a send right to a proxy port any more."""
        proxy = self._tables.proxies[name]
        if proxy.is_watched:
            return
        proxy.is_watched = True
        made = self._mach.receive_status(name).mscount
        self._mach.notify(name, MACH_NOTIFY_NO_SENDERS.request.id, proxy.watcher or name, made)


def _has_moved_to(proxy: Proxy, node: int) -> bool:
    """Whether a port is at a node, as far as is known, and all that was sent to it goes there."""
    return proxy.kind is RightKind.SEND and proxy.node == node and proxy.target is None


def proxies_of(context: Context, names: Iterable[PortName]) -> dict[PortName, PortName]:
    """The proxies of those of these send-once rights that are to ports of other nodes."""
    once = list(names) if context.tables.onces or context.tables.watchers else []
    return dict(zip(once, context.mach.receivers(once), strict=True))


def tell_homed(context: Context, names: Sequence[PortName]) -> None:
    """Tells the old home of ports that come here of the new one, of each once it has all that tasks here have sent so far."""
    homes: dict[int, list[Home]] = {}
    for name in names:
        coming, proxy = context.tables.coming.get(name), context.tables.proxies.get(name)
        if coming is None or coming.is_told:
            continue
        if proxy is not None:
            hold(context, name, proxy)
            if proxy.is_streaming or proxy.target:
                continue
        coming.is_told = True
        homes.setdefault(coming.node, []).append(Home(coming.token, coming.number))
    for node, several in homes.items():
        context.say(node, Homed(tuple(several)))


def hold(context: Context, name: PortName, proxy: Proxy, is_held: bool = True) -> None:
    """Takes no messages from a proxy's queue, or does again."""
    if is_held != proxy.is_held:
        proxy.is_held = is_held
        context.mach.move_member(name, 0 if is_held else context.ports)


def replaced(message: Message, change: Callable[[object | None, int], object | None]) -> Message:
    """A message with each of its body's rights changed; change: what becomes of a right, which has this disposition."""
    carried: list[Carried] = []
    for item in message.carried:
        if isinstance(item, CarriedPort):
            carried.append(item._replace(port=change(item.port, item.disposition)))
        elif isinstance(item, CarriedPorts):
            carried.append(item._replace(ports=tuple(change(port, item.disposition) for port in item.ports)))
        else:
            carried.append(item)
    return message._replace(carried=tuple(carried))


def take_all(translator: Translator, message: Message, order: ByteOrder, node: int) -> Message:
    """A message of another node's with its rights taken, and descriptors that say how they are sent."""
    come = []

    def take(right: object | None, disposition: int) -> object | None:
        assert isinstance(right, NetRight)
        if right.kind is not RightKind.RECEIVE or right.node != node:
            return translator.take(right, node)
        come.append(right)
        return right

    taken = replaced(message, take)
    homes = iter(translator.new_homes(node, come))
    whole = replaced(taken, lambda right, _: next(homes) if isinstance(right, NetRight) else right)
    whole, sent = translator.settled(whole)
    body = bytearray(message.body)
    for item in items(message.body, order) if message.complex else ():
        if item.is_right:
            set_disposition(body, item, sent[item.descriptor.name], order)
    carried = tuple(
        item if isinstance(item, CarriedMemory) else item._replace(disposition=sent[item.disposition]) for item in whole.carried
    )
    return whole._replace(body=bytes(body), carried=carried)


def set_disposition(body: bytearray, item: Item, disposition: int, order: ByteOrder) -> None:
    """Makes a descriptor say how its rights are sent."""
    kind = item.descriptor._replace(name=disposition)
    struct.pack_into(order.prefix + "I", body, item.start, kind.word(order))
    if kind.longform:
        struct.pack_into(order.prefix + "H", body, item.start + 4, disposition)


def taken(context: Context, node: int, what: Deliver, account: Account) -> Message:
    """A message of another node's as if it had come from a task here, with its rights: other messages may be about those."""
    translator = Translator(context, account, sends_onces=True)
    message = convert(what.message, what.order, context.mach.order)
    answer = translator.take(what.answer, node)
    header = Header(0, 0, 0, 0, message.header.id, flags=message.header.flags)
    if answer is PORT_DEAD:
        # One that died under way was a send right: a send-once right is one to its proxy port.
        died_before = what.answer.kind is RightKind.DEAD and what.answer.number == PORT_SEND_ONCE
        header = header._replace(remote=DEAD_NAME, remote_type=PORT_SEND_ONCE if died_before else PORT_SEND)
    elif isinstance(answer, int):
        remote_type = MAKE_SEND_ONCE if what.answer.kind is RightKind.SEND_ONCE else PORT_SEND
        header = header._replace(remote=int(answer), remote_type=PORT_SEND_ONCE if isinstance(answer, Once) else remote_type)
    return take_all(translator, message, context.mach.order, node)._replace(header=header)


def to_port(message: Message, name: PortName, disposition: int) -> Message:
    """A message that has come, to be sent to where this right leads."""
    header = message.header
    here = Header(name, disposition, header.remote, header.remote_type, header.id, flags=header.flags)
    return message._replace(header=here)


def without(message: Message, gone: Set[PortName]) -> Message:
    """A message still to go to its task, when these ports have gone: receive rights and send-once rights of them are dead."""

    def left(right: object | None, disposition: int) -> object | None:
        return PORT_DEAD if disposition in (MAKE_SEND_ONCE, PORT_RECEIVE) and right in gone else right

    header = message.header
    if left(header.remote, header.remote_type) is PORT_DEAD:
        header = header._replace(remote=DEAD_NAME, remote_type=PORT_SEND_ONCE)
    if left(header.local, header.local_type) is PORT_DEAD:
        header = header._replace(local=DEAD_NAME, local_type=PORT_SEND_ONCE)
    return replaced(message, left)._replace(header=header)


def destroy(context: Context, node: int, what: Deliver | Message) -> None:
    """The port died while the message was under way: its rights come, and go at once."""
    message = taken(context, node, what, FOUND) if isinstance(what, Deliver) else what
    memory.destroyed(context, node, message)
    give_up(context, message)


def give_up(context: Context, message: Message) -> None:
    """Destroys the rights that a message was to bring to a task here."""
    for name, disposition in rights(message):
        if disposition == MAKE_SEND_ONCE:
            # A node that was lost in the meantime has taken its proxies with it.
            if name in context.tables.proxies:
                proxy = context.tables.drop_proxy(name)
                context.mach.destroy_receive(name)
                context.say(proxy.node, OnceUnused(proxy.number))
        elif disposition == PORT_RECEIVE and name in context.tables.coming:
            # It goes as soon as it has come, with its requests: who asked is told.
            context.tables.coming[name].is_wanted = False
            context.tables.coming[name].for_port = 0
        elif disposition == PORT_RECEIVE:
            context.mach.destroy_receive(name)
        else:
            context.mach.deallocate(name)
