"""The generic network server of a node: other nodes' ports as ports of this one.

A task sends to a proxy port, whose receive right is the network server's; what comes there goes to the server of the port's node,
which sends it on. Rights that travel are turned into numbers and back (translate.py), bytes into the other machine's order
(convert.py). A link carries it all: reliably and in order between two nodes, and to all of them for the resolution of names.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Protocol

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.abi.message import PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE, MsgReturn
from machemu.mig.interfaces.notify import (
    MACH_NOTIFY_DEAD_NAME,
    MACH_NOTIFY_MSG_ACCEPTED,
    MACH_NOTIFY_NO_SENDERS,
    MACH_NOTIFY_SEND_ONCE,
)
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.dispatch import dispatch
from machemu.user.mach import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_SEND, MOVE_SEND_ONCE, Mach, rights
from machemu.user.message import Header, Message
from masix.gns.convert import convert
from masix.gns.ethernet import Entropy, EthernetLink
from masix.gns.ports import Export, PortTables, Proxy
from masix.gns.protocols import Protocols
from masix.gns.translate import Translator, give_all, take_all
from masix.gns.transport import Transport
from masix.gns.wire import (
    NULL,
    Claim,
    Deliver,
    Died,
    Found,
    Homed,
    Kind,
    Known,
    NetRight,
    OnceUnused,
    Payload,
    Resolve,
    Taken,
    Unused,
    WireError,
    decode,
    encode,
)
from masix.interfaces import acs, gns

NAME: Final = b"gns"
SUCCESS: Final = int(MsgReturn.MACH_MSG_SUCCESS)
NOBODY: Final = int(KernReturn.KERN_INVALID_NAME)
RESOLVE_NS: Final = 200_000_000
"""How long an answer to a multicast is waited for."""
TRIES: Final = 3
WINDOW: Final = 32
"""Messages of one node for one port that may be under way at most: so many wait at the other side when its queue is full."""
KNOWN_MAX: Final = 1024
EVERYBODY: Final = 0
"""In Export.given: the port was made known."""
TOLD_EVERY: Final = 8
"""After so many messages a sender is told that they have gone into the queue."""


class Link(Protocol):
    """What carries the server's messages; data, saved with it."""

    def attach(self) -> None:
        """Makes again what is not saved."""

    def start(self, mach: Mach, ports: int) -> None:
        """Opens the network; what it receives from goes into the port set."""

    def owns(self, message: Message) -> bool:
        """Whether a message that came to one of the server's ports is the link's."""

    def receive(self, mach: Mach, message: Message) -> None: ...

    def send(self, mach: Mach, node: int, data: bytes) -> None: ...

    def multicast(self, mach: Mach, data: bytes) -> None: ...

    def tick(self, mach: Mach) -> None: ...

    def next_timer(self) -> int | None: ...

    def next_event(self) -> tuple[int, bytes | None] | None:
        """What came next from another node, in order: a message; or None, where the node is gone or begun anew: what it knew it
        knows no more."""


@state
class Query:
    """A name that is being looked for. clients: the requests' headers; time: when it is asked again; tries: how often yet."""

    __slots__ = ("clients", "name", "time", "tries")

    def __init__(self, name: bytes, time: int) -> None:
        self.name = name
        self.clients: list[Header] = []
        self.time = time
        self.tries = TRIES


@state
class Gns:
    """node: this node's number. tables: the ports that it stands for. cache: proxies by the names they were found under.

    announces: whether what one node asked for is made known to all (an optimisation of the paper's fourth step); known: services
    of other nodes that were made known, by name.
    queries: names that are looked for, by tag. asked: what other nodes want to know, by the port of our name server's answer: the
    node and its tag. protocols: what others send and receive beside. service, notices, ports: its own ports, and the set of all
    that it receives from.
    """

    __slots__ = (
        "announces", "asked", "cache", "known", "link", "node", "notices", "ports", "protocols", "queries", "service", "tables",
        "tags",
    )  # fmt: skip

    def __init__(self, node: int, link: Link) -> None:
        self.node = node
        self.link = link
        self.tables = PortTables()
        self.protocols = Protocols(node)
        self.cache: dict[bytes, int] = {}
        self.known: dict[bytes, tuple[int, int]] = {}
        self.announces = False
        self.queries: dict[int, Query] = {}
        self.asked: dict[int, tuple[int, Resolve]] = {}
        self.tags = 0
        self.service = 0
        self.notices = 0
        self.ports = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes) -> Gns:
        """The network server of a node of a cluster. seed: another one at each start; key: the cluster's."""
        return cls(node, EthernetLink(Transport(node, key, Entropy(seed.to_bytes(32, "big")))))

    def attach(self) -> None:
        """Makes again what is not saved."""
        self.link.attach()

    def start(self, mach: Mach) -> None:
        self.ports = mach.allocate_port_set()
        self.service = mach.make_send(mach.allocate_port())
        self.notices = mach.allocate_port()
        for port in (self.service, self.notices):
            mach.move_member(port, self.ports)
        mach.serve(self.ports)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (NAME, 0, PolyPort(self.service, COPY_SEND)), self.notices)
        self.link.start(mach, self.ports)
        self.protocols.start(self.ports, self.notices)
        self._settle(mach)

    def receive(self, mach: Mach, message: Message) -> None:
        port = message.header.local
        if self.link.owns(message):
            self.link.receive(mach, message)
        elif port == self.service:
            own = {gns.GNS_RESOLVE.request.id: (gns.GNS_RESOLVE, self._resolve)}
            dispatch(mach, message, own | self.protocols.service_routines)
        elif self.protocols.owns(port):
            self.protocols.receive(mach, message)
        elif port in self.tables.proxies:
            self._proxied(mach, port, self.tables.proxies[port], message)
        elif port in self.asked:
            self._found_here(mach, port, message)
        else:
            self._notified(mach, message)
        self._settle(mach)

    def expired(self, mach: Mach) -> None:
        now = mach.now()
        self.link.tick(mach)
        for tag, query in list(self.queries.items()):
            if query.time <= now:
                self._ask_again(mach, tag, query)
        self._settle(mach)

    def _settle(self, mach: Mach) -> None:
        """What the link brought is dealt with, and the alarm is set to whatever comes first."""
        while (event := self.link.next_event()) is not None:
            node, data = event
            if data is None:
                self._lost(mach, node)
            else:
                self._arrived(mach, node, data)
        times = [query.time for query in self.queries.values()]
        timer = self.link.next_timer()
        mach.alarm(min([*times, *([timer] if timer is not None else [])], default=None))

    def _say(self, mach: Mach, node: int, payload: Payload) -> None:
        self.link.send(mach, node, encode(payload))

    def _translator(self, mach: Mach) -> Translator:
        return Translator(
            mach, self.node, self.tables, self.ports, self.notices, lambda node, homed: self._say(mach, node, homed)
        )

    # Names

    def _resolve(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...] | None:
        if name in self.cache:
            mach.note(f"gns: {name.decode('latin-1')} is cached: its proxy port is given at once")
            return (PolyPort(self.cache[name], MAKE_SEND),)
        if name in self.known:
            return self._claim(mach, name)
        query = next((query for query in self.queries.values() if query.name == name), None)
        if query is None:
            self.tags += 1
            query = self.queries[self.tags] = Query(name, mach.now())
            self._ask_again(mach, self.tags, query)
        query.clients.append(request.header)
        return None

    def _claim(self, mach: Mach, name: bytes) -> tuple[Any, ...]:
        """The proxy for a service that was made known: its node is told, and nobody asked."""
        node, number = self.known.pop(name)
        mach.note(f"gns: {name.decode('latin-1')} is known to be node {node} port {number}: nobody is asked")
        self._say(mach, node, Claim(number))
        proxy = self._translator(mach).take(NetRight(Kind.SEND, node, number), node)
        assert isinstance(proxy, int)
        self.cache[name] = proxy
        return (PolyPort(proxy, MOVE_SEND),)

    def _claimed(self, mach: Mach, node: int, number: int) -> None:
        """Another node uses a port of ours from now on, if it was made known."""
        export = self.tables.exports.get(number)
        if export is not None and EVERYBODY in export.given:
            export.given[node] = export.given.get(node, 0) + 1
        else:
            self._say(mach, node, Died(number))

    def _ask_again(self, mach: Mach, tag: int, query: Query) -> None:
        if not query.tries:
            del self.queries[tag]
            for client in query.clients:
                mach.answer(client, None, NOBODY)
            return
        query.tries -= 1
        query.time = mach.now() + RESOLVE_NS
        mach.note(f"gns: step 3: multicasts who has {query.name.decode('latin-1')}")
        self.link.multicast(mach, encode(Resolve(tag, query.name)))

    def _asked(self, mach: Mach, node: int, question: Resolve) -> None:
        """Another node looks for a name: our name server may know it."""
        answer = mach.allocate_port()
        mach.move_member(answer, self.ports)
        self.asked[answer] = node, question
        mach.request(acs.ACS_LOOK_UP_HERE, mach.given("name-server"), (question.name[:79],), answer)

    def _found_here(self, mach: Mach, port: int, message: Message) -> None:
        node, question = self.asked.pop(port)
        mach.destroy_receive(port)
        try:
            (right,) = acs.ACS_LOOK_UP_HERE.unpack_reply(mach.order, message.body, message.carried, message.complex)
        except KernError:
            mach.destroy(message)
            return
        given = self._translator(mach).give(right, message.carried[0].disposition, node)  # type: ignore[union-attr]
        mach.note(f"gns: step 4: answers node {node} with node {given.node} port {given.number}")
        self._say(mach, node, Found(question.tag, given))
        if self.announces and given.node == self.node and EVERYBODY not in self.tables.exports[given.number].given:
            # Named services are known for as long as they live: the name server has a right to them, too.
            self.tables.exports[given.number].given[EVERYBODY] = 1
            self.link.multicast(mach, encode(Known(given.number, question.name)))

    def _found(self, mach: Mach, node: int, answer: Found) -> None:
        query = self.queries.pop(answer.tag, None)
        name = self._translator(mach).take(answer.right, node)
        if not isinstance(name, int):
            return
        if query is not None:
            mach.note(f"gns: step 5: keeps that, and makes proxy port {name} for it")
            if name in self.tables.proxies:
                self.cache[query.name] = name
            for client in query.clients:
                mach.answer(client, gns.GNS_RESOLVE, 0, (mach.copy_send(name),))
        mach.deallocate(name)

    # From tasks to the network

    def _proxied(self, mach: Mach, port: int, proxy: Proxy, message: Message) -> None:
        header = message.header
        if proxy.kind is Kind.SEND and header.local_type == PORT_SEND_ONCE:
            # Only notifications use the send-once rights that we make of such a port.
            (count,) = MACH_NOTIFY_NO_SENDERS.request.unpack(mach.order, message.body, message.carried, message.complex)
            self._no_senders(mach, port, proxy, count)
            return
        if proxy.kind is Kind.SEND_ONCE:
            self.tables.drop_proxy(port)
            mach.destroy_receive(port)
            if header.id == MACH_NOTIFY_SEND_ONCE.request.id and not message.body and not header.remote:
                self._say(mach, proxy.node, OnceUnused(proxy.number))
                return
        self._forward(mach, proxy, message)

    def _forward(self, mach: Mach, proxy: Proxy, message: Message) -> None:
        translator = self._translator(mach)
        header = message.header
        answer = translator.give(header.remote, header.remote_type, proxy.node) if header.remote else NULL
        given = give_all(message, lambda right, disposition: translator.give(right, disposition, proxy.node))
        to = NetRight(proxy.kind, proxy.node, proxy.number)
        mach.note(f"gns: step 7: message {header.id} is for node {to.node} port {to.number}")
        mach.note(f"gns: step 8: sends it to the network server of node {to.node}")
        self._say(mach, proxy.node, Deliver(to, answer, mach.order, given))
        proxy.under_way += 1
        if proxy.under_way == WINDOW and proxy.kind is Kind.SEND:
            mach.move_member(header.local, 0)

    def _have_gone(self, mach: Mach, port: int, proxy: Proxy, times: int) -> None:
        """Messages of ours have gone into the queue that they were for."""
        if proxy.under_way >= WINDOW > proxy.under_way - times:
            mach.move_member(port, self.ports)
        proxy.under_way = max(0, proxy.under_way - times)

    def _no_senders(self, mach: Mach, port: int, proxy: Proxy, count: int) -> None:
        """Nobody here can send to the proxy any more, unless a right was made after the count."""
        translator = self._translator(mach)
        proxy.is_watched = False
        if translator.made(port) != count:
            translator.watch(port)
            return
        self._drop(mach, port)
        self._say(mach, proxy.node, Unused(proxy.number, proxy.count))

    def _drop(self, mach: Mach, port: int) -> None:
        """A proxy goes: whoever still has a right to it has a dead name."""
        self.tables.drop_proxy(port)
        for name in [name for name, cached in self.cache.items() if cached == port]:
            del self.cache[name]
        mach.destroy_receive(port)

    # From the network to tasks

    def _arrived(self, mach: Mach, node: int, data: bytes) -> None:
        try:
            payload = decode(data)
        except WireError as error:
            mach.note(f"gns: node {node} sends nonsense: {error}")
            return
        if isinstance(payload, Deliver):
            self._deliver(mach, node, payload)
        elif isinstance(payload, Resolve):
            self._asked(mach, node, payload)
        elif isinstance(payload, Found):
            self._found(mach, node, payload)
        elif isinstance(payload, Known):
            if len(self.known) < KNOWN_MAX:
                self.known[payload.name] = node, payload.number
        elif isinstance(payload, Claim):
            self._claimed(mach, node, payload.number)
        elif isinstance(payload, Unused):
            self._unused(mach, node, payload)
        elif isinstance(payload, Died):
            name = self.tables.by_number.get((node, payload.number))
            if name is not None:
                self._drop(mach, name)
        elif isinstance(payload, OnceUnused):
            export = self.tables.exports.get(payload.number)
            if export is not None and export.kind is Kind.SEND_ONCE and node in export.given:
                del self.tables.exports[payload.number]
                mach.deallocate(payload.number)
        elif isinstance(payload, Homed):
            self._homed(mach, node, payload)
        elif (name := self.tables.by_number.get((node, payload.number))) is not None:
            self._have_gone(mach, name, self.tables.proxies[name], payload.times)

    def _deliver(self, mach: Mach, node: int, deliver: Deliver) -> None:
        export = self.tables.exports.get(deliver.to.number)
        if export is None or node not in export.given or deliver.to.kind is not export.kind:
            self._destroy(mach, node, deliver)
        elif export.waiting is None:
            export.waiting = deque()
            self._hand_over(mach, node, export, deliver)
        elif sum(sender == node for sender, _ in export.waiting) < WINDOW:
            export.waiting.append((node, deliver))

    def _destroy(self, mach: Mach, node: int, deliver: Deliver) -> None:
        """The port died while the message was under way: its rights come, and go at once."""
        self._give_up(mach, self._taken(mach, node, deliver, 0, 0))

    def _hand_over(self, mach: Mach, node: int, export: Export, deliver: Deliver) -> None:
        mach.note(f"gns: step 9: hands message {deliver.message.header.id} of node {node} to its port")
        if export.kind is Kind.SEND_ONCE:
            del self.tables.exports[deliver.to.number]
            mach.send(self._taken(mach, node, deliver, deliver.to.number, MOVE_SEND_ONCE))
        else:
            mach.send(self._taken(mach, node, deliver, deliver.to.number, COPY_SEND), self.notices)
            export.taken[node] = export.taken.get(node, 0) + 1
            if export.taken[node] == TOLD_EVERY:
                del export.taken[node]
                self._say(mach, node, Taken(deliver.to.number, TOLD_EVERY))

    def _taken(self, mach: Mach, node: int, deliver: Deliver, to: int, disposition: int) -> Message:
        """A message of another node's as a task here gets it."""
        translator = self._translator(mach)
        message = convert(deliver.message, deliver.order, mach.order)
        answer = translator.take(deliver.answer, node)
        header = Header(to, disposition, 0, 0, message.header.id)
        if isinstance(answer, int):
            local_type = MAKE_SEND_ONCE if deliver.answer.kind is Kind.SEND_ONCE else PORT_SEND
            header = header._replace(local=answer, local_type=local_type)
        return take_all(message, mach.order, lambda right: translator.take(right, node))._replace(header=header)

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message has gone into its port's queue; with MACH_SEND_WILL_NOTIFY the next one waits for the notification."""
        if code == SUCCESS:
            self._accepted(mach, message.header.remote)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message whose destination is dead goes."""
        if message.header.remote_type in (MOVE_SEND, MOVE_SEND_ONCE):
            mach.deallocate(message.header.remote)
        self._give_up(mach, message)

    def _give_up(self, mach: Mach, message: Message) -> None:
        """Destroys what a message was to bring to a task here."""
        header = message.header
        held = rights(message._replace(header=header._replace(remote=header.local, remote_type=header.local_type)))
        for name, disposition in held:
            if disposition == MAKE_SEND_ONCE:
                proxy = self.tables.drop_proxy(name)
                mach.destroy_receive(name)
                self._say(mach, proxy.node, OnceUnused(proxy.number))
            elif disposition == PORT_RECEIVE:
                mach.destroy_receive(name)
            else:
                mach.deallocate(name)

    # What becomes of ports

    def _notified(self, mach: Mach, message: Message) -> None:
        notification = message.header.id
        if notification == MACH_NOTIFY_DEAD_NAME.request.id:
            (name,) = MACH_NOTIFY_DEAD_NAME.request.unpack(mach.order, message.body, message.carried, message.complex)
            self.protocols.died(mach, name)
            export = self.tables.exports.pop(name, None)
            if export is not None:
                for node in export.given:
                    if node != EVERYBODY:
                        self._say(mach, node, Died(name))
                for node, deliver in export.waiting or ():
                    self._destroy(mach, node, deliver)
                mach.deallocate(name)
            mach.deallocate(name)
        elif notification == MACH_NOTIFY_MSG_ACCEPTED.request.id:
            (name,) = MACH_NOTIFY_MSG_ACCEPTED.request.unpack(mach.order, message.body, message.carried, message.complex)
            self._accepted(mach, name)
        else:
            mach.destroy(message)

    def _accepted(self, mach: Mach, name: int) -> None:
        export = self.tables.exports.get(name)
        if export is None or export.waiting is None:
            return
        if not export.waiting:
            export.waiting = None
            return
        node, deliver = export.waiting.popleft()
        self._hand_over(mach, node, export, deliver)

    def _unused(self, mach: Mach, node: int, payload: Unused) -> None:
        export = self.tables.exports.get(payload.number)
        if export is not None and export.given.get(node) == payload.times:
            self._forget(mach, payload.number, export, node)

    def _forget(self, mach: Mach, name: int, export: Export, node: int) -> None:
        """A node knows a port of ours no more."""
        del export.given[node]
        if not export.given:
            del self.tables.exports[name]
            mach.deallocate(name)

    def _homed(self, mach: Mach, node: int, payload: Homed) -> None:
        """The new home of a receive right that we gave away: what waits in its queue can follow."""
        if self.tables.leaving.get(payload.token) != node:
            return
        del self.tables.leaving[payload.token]
        proxy = Proxy(Kind.SEND, node, payload.number)
        proxy.count = 1
        self.tables.add_proxy(payload.token, proxy)
        mach.move_member(payload.token, self.ports)
        self._translator(mach).watch(payload.token)

    def _lost(self, mach: Mach, node: int) -> None:
        """A node is gone: its ports are dead, and its rights to ours."""
        mach.note(f"gns: node {node} is lost")
        self.known = {name: place for name, place in self.known.items() if place[0] != node}
        for name, proxy in list(self.tables.proxies.items()):
            if proxy.node == node:
                self._drop(mach, name)
        for name, export in list(self.tables.exports.items()):
            if node in export.given:
                self._forget(mach, name, export, node)
        for name, home in list(self.tables.leaving.items()):
            if home == node:
                del self.tables.leaving[name]
                mach.destroy_receive(name)


@state
class AnnouncingGns(Gns):
    """A network server that tells all what one asked for."""

    __slots__ = ()

    def __init__(self, node: int, link: Link) -> None:
        super().__init__(node, link)
        self.announces = True
