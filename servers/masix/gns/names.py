"""How names of other nodes' services are found: by a multicast, in the steps of the Masix paper, or because a node
announced it before.
"""

from __future__ import annotations

from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_NAME, KERN_RESOURCE_SHORTAGE
from machemu.abi.message import MOVE_SEND, PORT_SEND
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U31, state
from machemu.user.kit import Answer, Part, answered
from machemu.user.message import Caller, Message, living
from masix.gns.context import Context
from masix.gns.directory import Directory
from masix.gns.rights import EVERYBODY
from masix.gns.translate import Translator
from masix.gns.wire import Claim, Found, Known, NetRight, Resolve, RightKind, question
from masix.interfaces import acs, gns
from masix.net.ip import NodeNumber
from masix.transport.events import Unverified

NOBODY: Final = KERN_INVALID_NAME
RESOLVE_NS: Final = 200_000_000
"""How long an answer to a multicast is waited for."""
TRIES: Final = 3
QUERIES_MAX: Final = 256
CLIENTS_MAX: Final = 64
"""Names that are looked for at once, and who waits for one of them."""
KNOWN_MAX: Final = 1024
NAME_MAX: Final = 79


@state
class Query:
    """A name that is being looked for. clients: who asked; time: when it is asked again; tries: how often yet."""

    __slots__ = ("clients", "name", "time", "tries")
    clients: list[Caller]
    name: bytes
    time: int
    tries: int

    def __init__(self, name: bytes, time: int) -> None:
        self.name = name
        self.clients = []
        self.time = time
        self.tries = TRIES


@state
class Names(Part):
    """How services of other nodes are found."""

    __slots__ = ("announces", "cache", "directory", "known", "queries", "tags")
    announces: bool  # what one node asked for is made known to all (the paper's improvement of step 4)
    # Asked first, in the place of `cache` and `known`, which do not hear that a name has left; or None:
    directory: Directory | None

    # Places (node, number) by name:
    cache: dict[bytes, tuple[NodeNumber, U31]]  # of ports that have a proxy here
    known: dict[bytes, tuple[NodeNumber, U31]]  # of services that were made known

    # Names that are looked for:
    queries: dict[U31, Query]  # by tag
    tags: U31  # the last one

    def __init__(self, announces: bool, directory: Directory | None) -> None:
        self.announces = announces
        self.directory = directory
        self.cache = {}
        self.known = {}
        self.queries = {}
        self.tags = 0

    # For the tasks of this node

    def resolve(self, context: Context, request: Message, name: bytes) -> tuple[Any, ...] | None:
        """gns_resolve: a right to the service of this name, at once or later."""
        if self.directory is None:
            cached, place = self.cache.get(name), self.known.get(name)
        else:
            cached = place = self.directory.place(name)
        proxies = context.tables.by_number.get(cached or (EVERYBODY, 0))
        if proxies:
            context.mach.note(f"gns: {name.decode('latin-1')} is cached: its proxy port is given at once")
            return (PolyPort(Translator(context).renew(proxies[0]), MOVE_SEND),)
        if place is not None:
            return self._claim(context, name, *place)
        query = next((query for query in self.queries.values() if query.name == name), None)
        if len(self.queries) >= QUERIES_MAX if query is None else len(query.clients) >= CLIENTS_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        if query is None:
            self.tags += 1
            query = self.queries[self.tags] = Query(name, context.mach.now())
            self._ask_again(context, self.tags, query)
        query.clients.append(request.caller)
        return None

    def _claim(self, context: Context, name: bytes, node: int, number: int) -> tuple[Any, ...]:
        """The proxy for a service that was made known: its node is told, and nobody asked."""
        context.mach.note(f"gns: {name.decode('latin-1')} is known to be node {node} port {number}: nobody is asked")
        context.say(node, Claim(number))
        proxy = Translator(context).take(NetRight(RightKind.SEND, node, number), node)
        assert isinstance(proxy, int)
        self.cache[name] = node, number
        return (PolyPort(proxy, MOVE_SEND),)

    def _ask_again(self, context: Context, tag: int, query: Query) -> None:
        if not query.tries:
            del self.queries[tag]
            for client in query.clients:
                context.mach.answer(client, None, NOBODY)
            return
        query.tries -= 1
        query.time = context.mach.now() + RESOLVE_NS
        context.mach.note(f"gns: step 3: multicasts who has {query.name.decode('latin-1')}")
        context.multicast(Resolve(tag, query.name))

    def expired(self, context: Context) -> None:
        """Asks again for what has not been answered for too long."""
        now = context.mach.now()
        for tag, query in list(self.queries.items()):
            if query.time <= now:
                self._ask_again(context, tag, query)

    def next_timer(self) -> int | None:
        """When `expired` is wanted."""
        return min((query.time for query in self.queries.values()), default=None)

    def found(self, context: Context, node: int, answer: Found) -> None:
        """Another node has what was looked for."""
        name = living(Translator(context).take(answer.right, node))
        if not name:
            return
        query = self.queries.pop(answer.tag, None)
        if query is not None:
            context.mach.note(f"gns: step 5: keeps that, and makes proxy port {name} for it")
            if name in context.tables.proxies:
                self.cache[query.name] = answer.right.node, answer.right.number
            for client in query.clients:
                context.mach.answer(client, gns.GNS_RESOLVE, 0, (context.mach.copy_send(name),))
        context.mach.deallocate(name)

    def made_known(self, node: int, payload: Known) -> None:
        if len(self.known) < KNOWN_MAX:
            self.known[payload.name] = node, payload.number

    def died(self, node: int, number: int) -> None:
        """A port is dead: it is no name's."""
        for places in (self.cache, self.known):
            for name in [name for name, place in places.items() if place == (node, number)]:
                del places[name]

    def lost(self, node: int) -> None:
        """A node is gone, with its services."""
        for places in (self.cache, self.known):
            for name in [name for name, place in places.items() if place[0] == node]:
                del places[name]

    # For other nodes

    def heard_unverified(self, context: Context, unverified: Unverified) -> None:
        """Who asks for a name that is not here needs no handshake: of many nodes nearly all are spared that."""
        asked = question(unverified.payload)
        if asked is None:
            context.verify(unverified)
        else:
            self._ask_here(context, asked.name, unverified)

    def asked_by(self, context: Context, node: int, asked: Resolve) -> None:
        """Another node looks for a name."""
        self._ask_here(context, asked.name, (node, asked))

    def _ask_here(self, context: Context, name: bytes, why: tuple[int, Resolve] | Unverified) -> None:
        """Our name server may know a name."""
        context.ask(self._answered, context.mach.given("name-server"), (name[:NAME_MAX],), why)

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
        if self.announces and given.node == context.node and EVERYBODY not in context.tables.exports[given.number].given:
            # Named services are known for as long as they live: the name server has a right to them, too.
            context.tables.exports[given.number].give(EVERYBODY)
            context.multicast(Known(given.number, asked.name))
