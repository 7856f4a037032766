"""How names of other nodes' services are found: by a multicast, in the steps of the Masix paper, or because their node
made them known before; and how a name that has left is forgotten everywhere.

The name server tells of the names that come and go. A node that answered who has a name tells those whom it answered when the
name leaves; of one that it made known to all it says so by a multicast, several times, since nobody acknowledges a multicast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from machemu.abi.kern_return import KERN_INVALID_NAME
from machemu.abi.message import MAKE_SEND, MOVE_SEND, PORT_SEND
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U8, U16, U31, PortName, Receive, state
from machemu.user.kit import Answer, Part, answered, serves
from machemu.user.message import Caller, Message, living
from masix.gns import codec, rights
from masix.gns.context import NAME, Context
from masix.gns.directory import Directory
from masix.gns.known import KnownServices, Place
from masix.gns.liveness import partners
from masix.gns.ports import EVERYBODY
from masix.gns.translate import Translator
from masix.gns.wire import Alive, Begun, Claim, Clash, Found, Introduced, Known, Left, NetRight, Resolve, RightKind, Unused
from masix.interfaces import acs, acs_client, gns
from masix.net.ip import NodeNumber
from masix.transport.events import Unverified
from masix.transport.transport import MULTICAST_MAX

NOBODY: Final = KERN_INVALID_NAME
RESOLVE_NS: Final = 200_000_000
"""How long an answer to a multicast is waited for."""
TRIES: Final = 3
CLASH_NS: Final = 50_000_000
"""How long after the first answer another one is a clash that is told of."""
LEAVES: Final = 10
LEAVE_NS: Final = 80_000_000
"""How often, and after what time each, all are told that a name has left that was made known, or that this one began anew."""
MS: Final = 1_000_000
INTRODUCED_MAX: Final = 64
"""Services of one node that are introduced; others are found by asking."""
INTRODUCE_FIRST_NS: Final = 50_000_000
INTRODUCE_NS: Final = 2_000_000_000
"""How long after a new service all are introduced again: twice as long each time, up to the second."""
NAME_MAX: Final = 79


@state
class Query:
    """A name that is being looked for."""

    __slots__ = ("clients", "found", "host", "name", "time", "tries")
    name: bytes
    host: bytes  # the only node that is asked, or empty
    clients: list[Caller]  # who asked
    time: int  # when it is asked again, or forgotten
    tries: int  # how often yet
    found: U16  # the node that had it, once one has: others that have it, too, are told of the clash

    def __init__(self, name: bytes, host: bytes, time: int) -> None:
        self.name = name
        self.host = host
        self.found = 0
        self.clients = []
        self.time = time
        self.tries = TRIES


@state
class Names(Part):
    """How services of other nodes are found, and how this node's are forgotten by the others."""

    __slots__ = (
        "announced", "announces", "began", "cache", "directory", "host", "introduce_at", "introduce_every", "introduces", "known",
        "leaving", "port", "queries", "tags", "told",
    )  # fmt: skip
    host: bytes  # this node's name
    announces: bool  # what one node asked for is made known to all (the paper's improvement of step 4)
    introduces: bool  # what is registered is made known to all, which make proxies at once (its improvement of step 8)
    directory: Directory | None  # asked first for any host's names, in the place of `cache` and `known`; or None

    # Of other nodes' services, by name:
    cache: dict[bytes, Place]  # ports that have a proxy here, by `_key`
    known: KnownServices  # made known before anybody asked

    # Names that are looked for:
    queries: dict[U31, Query]  # by tag
    tags: U31  # the last one

    # This node's services, by name:
    port: Receive  # where the name server tells of them, and asks for others'; nobody else has a right to it
    told: dict[bytes, dict[NodeNumber, None]]  # who was answered that a name is here
    announced: dict[bytes, U31]  # the numbers of those that were made known to all
    introduce_at: int | None  # when those are introduced again, if this server introduces and there are any
    introduce_every: int  # how long after that once more
    # How often all are still to be told that a name has left, and when next; under an empty name, that the server has begun anew:
    leaving: dict[bytes, tuple[U8, int]]
    began: int  # when it did

    def __init__(self, announces: bool, introduces: bool, directory: Directory | None, host: bytes) -> None:
        self.host = host
        self.announces = announces
        self.introduces = introduces
        self.directory = directory
        self.port = 0
        self.began = 0
        self.announced = {}
        self.introduce_at = None
        self.introduce_every = 0
        self.cache = {}
        self.known = KnownServices()
        self.leaving = {}
        self.queries = {}
        self.tags = 0
        self.told = {}

    def start(self, context: Context, began_before: bool) -> None:
        """began_before: others may know an earlier incarnation."""
        self.port = context.new_port()
        self._watch(context)
        self.began = context.mach.now()
        if began_before:
            self.leaving[b""] = LEAVES, self.began
            self._tell_all(context)

    def _watch(self, context: Context) -> None:
        """Has the name server tell of the names that are there, and then of those that come and go."""
        mach = context.mach
        mach.request(acs.ACS_WATCH, mach.name_server(), (PolyPort(self.port, MAKE_SEND),))

    def name_server_died(self, context: Context) -> None:
        """Of the names that it had none is there any more, until it is registered anew."""
        own = self.directory.own if self.directory is not None else {}
        for name in [*self.told, *self.announced, *own]:
            self._left(context, None, name)
        self._watch(context)

    # This node's services

    @serves(acs_client.ACS_NAME_ENTERED, at="port")
    def _entered(self, context: Context, request: Message, name: bytes, service: object) -> tuple[Any, ...]:
        """The name server says that a name is there, in the place of any other of that name."""
        self._withdraw(context, name)
        right = living(service)
        is_room = len(self.announced.keys() | self.leaving.keys() | {name}) <= INTRODUCED_MAX
        if right and self.introduces and name != NAME and is_room:
            self._introduce(context, name, right)
        if right and self.directory is not None:
            self.directory.entered(context, name, right)
        elif right:
            context.mach.deallocate(right)
        return ()

    def _introduce(self, context: Context, name: bytes, service: PortName) -> None:
        """A service is made known to all, soon and for as long as it has the name."""
        right = Translator(context).own(service)
        if isinstance(right, int):
            self.announced[name] = Translator(context).export(right, EVERYBODY)
            self.introduce_at, self.introduce_every = context.mach.now(), INTRODUCE_FIRST_NS

    def _introduce_all(self, context: Context) -> None:
        """Multicasts this node's services, as many at a time as there is room for."""
        services = [Known(number, name) for name, number in self.announced.items()][:INTRODUCED_MAX]
        while services:
            count = 1
            while count < len(services) and len(codec.encode(Introduced(tuple(services[: count + 1])))) <= MULTICAST_MAX:
                count += 1
            context.multicast(Introduced(tuple(services[:count])))
            del services[:count]
        self.introduce_at = context.mach.now() + self.introduce_every if self.announced else None
        self.introduce_every = min(2 * self.introduce_every, INTRODUCE_NS)

    @serves(acs_client.ACS_NAME_LEFT, at="port")
    def _left(self, context: Context, request: Message | None, name: bytes) -> tuple[Any, ...]:
        self._withdraw(context, name)
        if self.directory is not None:
            self.directory.left(context, name)
        return ()

    def _withdraw(self, context: Context, name: bytes) -> None:
        """Tells those who may still know a name what has become of it: nothing, or that they have to ask again."""
        nodes = self.told.pop(name, {})
        number = self.announced.pop(name, None)
        if number is not None:
            export = context.tables.exports.get(number)
            nodes |= dict.fromkeys(node for node in (export.given if export else ()) if node != EVERYBODY)
            self.leaving[name] = LEAVES, context.mach.now()
            self._tell_all(context)
            rights.unused(context, EVERYBODY, Unused(number, 1))
        for node in nodes:
            context.say(node, Left(name))

    def _tell_all(self, context: Context) -> None:
        """Multicasts names that have left which were made known to all, and that this server has begun anew."""
        now = context.mach.now()
        for name, (times, at) in list(self.leaving.items()):
            if at <= now:
                context.multicast(Left(name) if name else Begun((now - self.began) // MS))
                if self.introduces and name in self.announced:
                    self.introduce_at = now  # its successor stays known
                if times > 1:
                    self.leaving[name] = times - 1, now + LEAVE_NS
                else:
                    del self.leaving[name]

    # For the tasks of this node

    @serves(gns.GNS_RESOLVE_AT, at="port")
    def _resolve_at(self, context: Context, request: Message, host: bytes, name: bytes) -> tuple[Any, ...] | None:
        if host == self.host:
            context.ask(self._own_found, context.mach.name_server(), (name,), request.caller)
            return None
        return self._resolve(context, request, name, host)

    @serves(gns.GNS_RESOLVE, at="port")
    def _resolve(self, context: Context, request: Message, name: bytes, host: bytes = b"") -> tuple[Any, ...] | None:
        """A right to the service of this name, at once or later. The name server lets few wait."""
        cached, known = self._places(context, name, host)
        proxies = [port for port, proxy in context.tables.proxies_for(*(cached or (EVERYBODY, 0))) if not proxy.is_idle()]
        if proxies:
            context.mach.note(f"gns: {name.decode('latin-1')} is cached: its proxy port is given at once")
            return (PolyPort(Translator(context).renew(proxies[0]), MOVE_SEND),)
        if known is not None:
            return self._claim(context, name, *known)
        wanted = (query for query in self.queries.values() if (query.name, query.host) == (name, host) and not query.found)
        query = next(wanted, None)
        if query is None:
            self.tags += 1
            query = self.queries[self.tags] = Query(name, host, context.mach.now())
            self._ask_again(context, self.tags, query)
        query.clients.append(request.caller)
        return None

    def _places(self, context: Context, name: bytes, host: bytes) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Node and number of a service that may have a proxy here, and of one that was made known."""
        if self.directory is not None and not host:
            place = self.directory.place(name)
            return place, place
        cached, known = self.cache.get(_key(name, host)), None if host else self.known.believed(context, name)
        return cached and cached[:2], known and known[:2]

    @answered(acs.ACS_LOOK_UP_HERE)
    def _own_found(self, context: Context, answer: Answer, caller: Caller) -> None:
        """Our name server's answer, for a task that asked for a name of this very node."""
        context.mach.answer(caller, gns.GNS_RESOLVE_AT, answer.code, answer.results)

    def _claim(self, context: Context, name: bytes, node: int, number: int) -> tuple[Any, ...]:
        """The proxy for a service that was made known: its node is told, and nobody asked."""
        context.mach.note(f"gns: {name.decode('latin-1')} is known to be node {node} port {number}: nobody is asked")
        context.say(node, Claim(number))
        proxy = Translator(context).take(NetRight(RightKind.SEND, node, number), node)
        assert isinstance(proxy, int)
        self.cache[_key(name)] = Place(node, number, node, context.mach.now())
        return (PolyPort(proxy, MOVE_SEND),)

    def _ask_again(self, context: Context, tag: int, query: Query) -> None:
        if not query.tries or query.found:
            del self.queries[tag]
            for client in query.clients:
                context.mach.answer(client, None, NOBODY)
            return
        query.tries -= 1
        query.time = context.mach.now() + RESOLVE_NS
        context.mach.note(f"gns: step 3: multicasts who has {query.name.decode('latin-1')}")
        context.multicast(Resolve(tag, query.name, query.host))

    def expired(self, context: Context) -> None:
        """Asks again for what has not been answered for too long."""
        now = context.mach.now()
        self._tell_all(context)
        self.known.expired(context)
        if self.introduce_at is not None and self.introduce_at <= now:
            self._introduce_all(context)
        for tag, query in list(self.queries.items()):
            if query.time <= now:
                self._ask_again(context, tag, query)

    def next_timer(self) -> int | None:
        """When `expired` is wanted."""
        times = [at for at in (self.introduce_at, self.known.sweep_at) if at is not None]
        if self.queries or self.leaving:
            times += [query.time for query in self.queries.values()] + [at for _, at in self.leaving.values()]
        return min(times, default=None)

    def found(self, context: Context, node: int, answer: Found) -> None:
        """Another node has what was looked for."""
        name = living(Translator(context).take(answer.right, node))
        if not name:
            return
        query = self.queries.get(answer.tag)
        if query is not None and query.found:
            self._clash(context, query, node)
        elif query is not None:
            query.found, query.time = node, context.mach.now() + CLASH_NS
            context.mach.note(f"gns: step 5: keeps that, and makes proxy port {name} for it")
            if name in context.tables.proxies:
                place = Place(answer.right.node, answer.right.number, node, context.mach.now())
                self.cache[_key(query.name, query.host)] = place
            routine = gns.GNS_RESOLVE_AT if query.host else gns.GNS_RESOLVE
            for client in query.clients:
                context.mach.answer(client, routine, 0, (context.mach.copy_send(name),))
            query.clients = []
        context.mach.deallocate(name)

    def _clash(self, context: Context, query: Query, node: int) -> None:
        """Two nodes have answered to one question: both are told."""
        if node == query.found:
            return
        text = query.name.decode("latin-1")
        context.mach.note(f"gns: {text} is a name at node {query.found} and at node {node}: the first is taken")
        context.say(query.found, Clash(query.name, node))
        context.say(node, Clash(query.name, query.found))

    def clashes(self, context: Context, payload: Clash) -> None:
        """A name of ours is another node's, too."""
        context.mach.note(f"gns: the name {payload.name.decode('latin-1')} is also at node {payload.other}")

    def made_known(self, context: Context, node: int, payload: Known) -> None:
        self.known.learn(context, node, payload.number, payload.name)

    def introduced(self, context: Context, node: int, payload: Introduced) -> None:
        """A node makes its services known before anybody asks: proxies are made for them, and a session with the node begins."""
        new = [name for number, name in payload.services if self.known.introduced(context, node, number, name)]
        for name in new:
            if name in self.announced:
                self.clashes(context, Clash(name, node))
        if new:
            context.say(node, Alive())

    def has_left(self, context: Context, node: int, payload: Left) -> None:
        """A node has a service no more that it said it had."""
        self._forget(context, lambda key, place: place.source == node and key.partition(b"\0")[0] == payload.name)

    def has_begun(self, context: Context, node: int, payload: Begun) -> None:
        """A node has nothing more that it said it had before it began anew."""
        then = context.mach.now() - payload.age * MS
        self._forget(context, lambda _, place: place.source == node and place.time < then)

    def died(self, context: Context, node: int, number: int) -> None:
        """A port is dead: it is no name's."""
        self._forget(context, lambda _, place: place[:2] == (node, number))

    def _forget(self, context: Context, which: Callable[[bytes, Place], bool]) -> None:
        for key in [key for key, place in self.cache.items() if which(key, place)]:
            del self.cache[key]
        self.known.forget(context, which)

    def lost(self, context: Context, node: int) -> None:
        """A node is gone, with its services."""
        self._forget(context, lambda _, place: node in (place.node, place.source))
        for nodes in self.told.values():
            nodes.pop(node, None)

    # For other nodes

    def heard_unverified(self, context: Context, unverified: Unverified) -> None:
        """Who asks for a name that is not here needs no handshake, nor one that has begun anew and of which nothing is known: of
        many nodes nearly all are spared that."""
        said = codec.unverified(unverified.payload)
        if isinstance(said, Resolve):
            self._ask_here(context, said, unverified)
        elif said is None or self._depends_on(context, unverified.node):
            context.verify(unverified)

    def _depends_on(self, context: Context, node: int) -> bool:
        """Whether something here is of a node, or the other way round."""
        places = [*self.cache.values(), *self.known.places.values()]
        return any(node in (place.node, place.source) for place in places) or node in partners(context.tables, context.arrivals)

    def asked_by(self, context: Context, node: int, asked: Resolve) -> None:
        """Another node looks for a name."""
        self._ask_here(context, asked, (node, asked))

    def _ask_here(self, context: Context, asked: Resolve, why: tuple[int, Resolve] | Unverified) -> None:
        """Our name server may know a name."""
        if asked.host in (b"", self.host):
            context.ask(self._answered, context.mach.name_server(), (asked.name[:NAME_MAX],), why)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _answered(self, context: Context, answer: Answer, why: tuple[int, Resolve] | Unverified) -> None:
        """Our name server's answer. why: the node that wants to know it, and its question, or one that is not verified."""
        if answer.code:
            return
        (right,) = answer.results
        if isinstance(why, Unverified):
            if living(right):
                context.mach.deallocate(right)
            context.verify(why)
            return
        node, asked = why
        given = Translator(context).give(right, PORT_SEND, node)
        context.mach.note(f"gns: step 4: answers node {node} with node {given.node} port {given.number}")
        context.say(node, Found(asked.tag, given))
        self.told.setdefault(asked.name, {})[node] = None
        if self.announces and given.node == context.node and EVERYBODY not in context.tables.exports[given.number].given:
            # Named services are known for as long as they have the name: the name server has a right to them, too.
            context.tables.exports[given.number].give(EVERYBODY)
            context.multicast(Known(given.number, asked.name))
            self.announced[asked.name] = given.number


def _key(name: bytes, host: bytes = b"") -> bytes:
    """What the cache has a name under: one of any host, or of one alone."""
    return name + b"\0" + host if host else name
