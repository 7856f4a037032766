"""Which ports a network server stands for: those of its own node that others know, and those of others that its node knows.

A number names a port, or a right that is under way, between network servers. One is never given twice by a server: names
of ports come again, and what is said of the last one may still be on its way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from machemu.abi.message import Carried, CarriedMemory, CarriedPort, CarriedPorts
from machemu.sim.state import U8, U16, U31, U32, PortName, Receive, ReceiveRight, Right, SendOnceRight, SendRight, state
from machemu.user.message import Message
from masix.gns.wire import Flush, RightKind
from masix.net.ip import NodeNumber

KEPT_MAX: Final = 1 << 17
"""Ports and rights that a server stands for. A task has 1 << 18 names, which a large message may fill while it is received."""
SHARE: Final = 8
"""An account has at most this part of what is left: 1 / SHARE, and for rights in bodies half of that, more than a message brings
to a server that keeps nothing yet."""

Account = tuple[U16, U31]
"""The port, by node and number, whose messages brought something that is kept: a message does not tell which task sent it, and
all tasks of a node share the proxy of a port. What comes by a right to an answer is of the account of the message that brought
that right."""
EVERYBODY: Final = 0
"""In Export.given: the port was made known."""
FOUND: Final[Account] = (0, 0)
"""Of what was found by its name."""

WAITING_MAX: Final = 64 << 20
"""Bytes of messages that wait for full queues at a server, as many as the kernel has room for in queues."""
LARGE: Final = 64 << 10
"""A message with more bytes of memory comes when these are in place."""
MESSAGE_COST: Final = 256
"""What a message counts beside its bytes."""


@state
class Way(IntEnum):
    """What becomes of messages that are under way to a port which moves. The port's old home decides."""

    REDIRECTION = 0
    """Senders never hear of it, and the old home sends all on."""
    RECOVERY = 1
    """They hear where the port is, and send there, after what was under way has gone on from the old home."""
    PREVENTION = 2
    """They hear before it moves, too, and keep what they send meanwhile."""


@state
class Export:
    """A port of this node that other nodes know by a number."""

    __slots__ = ("account", "ahead", "awaits", "given", "hops", "kind", "name", "onces", "taken", "waiting")
    name: PortName  # of the server's right to it, which is of its kind
    kind: RightKind  # SEND or SEND_ONCE
    account: Account
    hops: U16  # of a port that came here, how often servers had sent its receive right on since a task did
    given: dict[U16, U31]  # how many rights to it each node was given
    ahead: dict[U16, U31]  # of a send-once right: how often a node has passed it on that has not said yet that it has it
    # What came while its queue was full, or its receive right had not come, with its rights, and from which node, 0 where that
    # has been told that the queue has it; None while there is room:
    waiting: deque[tuple[U16, Message | Flush]] | None
    awaits: U31  # so many receive rights of the first of them have not come yet
    taken: dict[U16, U31]  # of each node's messages those that have gone into the queue since it was last told
    # Of a port that came here: its send-once rights, made when it came, for the messages by which others use theirs. By the node
    # where those are, 0 for messages that wait here:
    onces: dict[U16, list[SendOnceRight]]

    def __init__(self, kind: RightKind, name: PortName, account: Account) -> None:
        self.kind = kind
        self.name = name
        self.account = account
        self.hops = 0
        self.given = {}
        self.ahead = {}
        self.taken = {}
        self.onces = {}
        self.waiting = None
        self.awaits = 0

    def annotated(self) -> Iterator[tuple[object, PortName]]:
        yield SendRight if self.kind is RightKind.SEND else SendOnceRight, self.name

    def give(self, node: int) -> None:
        self.given[node] = self.given.get(node, 0) + 1

    def held_onces(self) -> list[PortName]:
        return [once for onces in self.onces.values() for once in onces]

    def pass_on(self, node: int, to: int) -> None:
        """A send-once right goes from one node to another. What two nodes say of it may come in either order."""
        if self.ahead.get(to):
            less(self.ahead, to)
        else:
            self.give(to)
        if self.given.get(node):
            less(self.given, node)
        else:
            self.ahead[node] = self.ahead.get(node, 0) + 1


@state
class Proxy:
    """A port that stands for one of another node: the network server has its receive right."""

    __slots__ = (
        "account", "count", "flushes", "is_held", "is_paused", "is_streaming", "is_unused", "is_watched", "kind", "node",
        "number", "passing", "target", "under_way", "watcher",
    )  # fmt: skip

    # What it stands for:
    kind: RightKind  # SEND, or SEND_ONCE for one message
    node: NodeNumber
    number: U31
    account: Account
    count: U31  # how often it was given here; 0 where it was made in advance and nobody here has had a right to it

    # Where the port has moved to, if it has: node, number, count. Messages wait until those before have arrived there:
    target: tuple[NodeNumber, U31, U31] | None

    # Who can send to it:
    watcher: Receive  # the port that is told when nobody can any more; 0: itself
    is_watched: bool  # the kernel has been asked to tell
    is_unused: bool  # it has told, and what waits in its queue is still to be sent

    # Messages:
    passing: U31  # the first so many of its queue may be those that servers have put there, and no task here
    under_way: int  # those that went to the port and have not gone into its queue, as far as is known
    is_held: bool  # none is taken from its queue now
    is_paused: bool  # its port is about to move
    is_streaming: bool  # one of its queue goes, its memory before it
    # What others want to know of, each when the message before this sequence number has been sent on:
    flushes: list[tuple[U32, Flush]]

    def __init__(self, kind: RightKind, node: int, number: int, account: Account) -> None:
        self.kind = kind
        self.node = node
        self.number = number
        self.account = account
        self.count = 0
        self.target = None
        self.watcher = 0
        self.is_held = False
        self.is_paused = False
        self.is_streaming = False
        self.is_watched = False
        self.is_unused = False
        self.passing = 0
        self.under_way = 0
        self.flushes = []

    def payer(self) -> Account:
        """Whose account what its messages bring is of."""
        return self.account if self.kind is RightKind.SEND_ONCE else (self.node, self.number)

    def is_idle(self) -> bool:
        """Whether it was made in advance, and nobody here has had a right to it: its node knows nothing of it."""
        return self.kind is RightKind.SEND and not self.count

    def stands_for(self) -> list[tuple[int, int]]:
        """The node and number of its port, and of where that has moved to."""
        return [(self.node, self.number), *([self.target[:2]] if self.target else [])]


def less(counts: dict[int, int], key: int) -> None:
    """One less of these; what there is none of is not in it."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def bytes_of(message: Message) -> int:
    """What a message keeps of its server's memory while it waits; memory that is in place is the node's already."""
    memory = sum(item.size for item in message.carried if isinstance(item, CarriedMemory))
    return MESSAGE_COST + len(message.body) + (memory if memory <= LARGE else 0)


def rights_in(item: Carried) -> int:
    """How many rights an item of a message's body brings."""
    return len(item.ports) if isinstance(item, CarriedPorts) else isinstance(item, CarriedPort)


@state
class Leaving(NamedTuple):
    """A receive right that went to another node, whose new home has not told its number yet."""

    name: ReceiveRight
    node: NodeNumber
    account: Account


@state
class Coming:
    """A receive right that comes here, until its old home has given up the port. The message that brings it waits for it."""

    __slots__ = (
        "for_port", "is_given_up", "is_told", "is_wanted", "no_senders", "node", "number", "onces", "port_destroyed", "token",
    )  # fmt: skip
    node: NodeNumber  # the old home
    token: U31  # what that calls it
    is_told: bool  # it knows the new one; not while messages from here are under way to the port by other ways
    is_given_up: bool  # that has given up its requests; what waits in its queue may be still to come
    number: U31  # of the port's export here
    for_port: U31  # the number of the port whose first waiting message brings it, 0 while it is not the first
    is_wanted: bool  # the message is still there
    # The proxies of the send-once rights by which it is asked to notify, 0 for none:
    no_senders: Right
    port_destroyed: Right
    onces: dict[U32, SendOnceRight]  # by the notification's id, those that are to ports here

    def __init__(self, node: int, token: int, number: int) -> None:
        self.node = node
        self.token = token
        self.is_told = False
        self.is_given_up = False
        self.number = number
        self.for_port = 0
        self.is_wanted = True
        self.no_senders = self.port_destroyed = 0
        self.onces = {}


@state
class Pledge(NamedTuple):
    """A right that is kept until the port's home knows that node `to` has it, too, or a send-once right instead."""

    name: PortName
    kind: RightKind  # SEND or SEND_ONCE
    to: NodeNumber
    home: NodeNumber
    account: Account

    def annotated(self) -> Iterator[tuple[object, PortName]]:
        yield SendRight if self.kind is RightKind.SEND else SendOnceRight, self.name


@state
class PortTables:
    """The ports that a network server stands for."""

    __slots__ = (
        "by_number",
        "charged",
        "claims",
        "coming",
        "exports",
        "last",
        "leaving",
        "numbers",
        "onces",
        "owed",
        "pledges",
        "pooled",
        "proxies",
        "spares",
        "stock",
        "waiting",
        "watchers",
        "way",
    )

    # Of this node, by number:
    exports: dict[U31, Export]
    numbers: dict[Right, U31]  # by name, those of exports of whose end the kernel tells: all of kind SEND, others after a while
    leaving: dict[U31, Leaving]
    pledges: dict[U31, Pledge]
    coming: dict[Receive, Coming]  # by name
    last: U31  # the last number
    waiting: int  # bytes of the messages that wait for full queues
    charged: dict[Account, U31]  # how much each account keeps of all these and those below
    pooled: U31  # how many send-once rights the exports have for others' messages

    # Of others:
    # What is to be given back once nothing is pledged any more, by the name of the right: home, number and times as in Unused.
    owed: dict[Right, list[tuple[NodeNumber, U31, U31]]]
    claims: dict[tuple[NodeNumber, NodeNumber], U31]  # by its giver and its home, the last pledged right that was claimed
    proxies: dict[Receive, Proxy]  # by name
    # Names of the proxies of kind SEND that stand for a port, by node and number:
    by_number: dict[tuple[NodeNumber, U31], list[Receive]]
    onces: dict[tuple[NodeNumber, U31], Receive]  # and the name of the proxy of kind SEND_ONCE
    watchers: dict[Receive, Receive]  # the proxies that ports are told of
    spares: list[Receive]  # ports that can be proxies at once
    stock: U8  # how many of those there are at most
    way: Way  # what becomes of messages under way to ports that leave this node

    def check_saved(self) -> None:
        """ValueError where its tables do not agree."""
        told = {
            export.name: number
            for number, export in self.exports.items()
            if export.kind is RightKind.SEND or export.name in self.numbers
        }
        if self.numbers != told:
            raise ValueError("its exports have other names")
        if self.charged != self.charges():
            raise ValueError("what it keeps is charged wrongly")
        if self.pooled != sum(len(export.held_onces()) for export in self.exports.values()):
            raise ValueError("the rights that it has for others' messages are counted wrongly")
        if any(name not in self.proxies for names in self.by_number.values() for name in names):
            raise ValueError("a proxy that is found by its number is not there")
        if any(name not in self.proxies or self.proxies[name].kind is not RightKind.SEND_ONCE for name in self.onces.values()):
            raise ValueError("a send-once right's proxy is not there")
        if any(name not in self.proxies for name in self.watchers.values()):
            raise ValueError("a proxy that is watched is not there")
        if any(each.number not in self.exports or self.exports[each.number].name != name for name, each in self.coming.items()):
            raise ValueError("a receive right that comes has another name")
        messages = [what for export in self.exports.values() for _, what in export.waiting or () if isinstance(what, Message)]
        if self.waiting != sum(map(bytes_of, messages)):
            raise ValueError("messages that wait are counted wrongly")

    def __init__(self, stock: int = 0, way: Way = Way.RECOVERY) -> None:
        self.exports = {}
        self.numbers = {}
        self.proxies = {}
        self.by_number = {}
        self.onces = {}
        self.leaving = {}
        self.coming = {}
        self.pledges = {}
        self.charged = {}
        self.pooled = 0
        self.claims = {}
        self.owed = {}
        self.watchers = {}
        self.spares = []
        self.stock = stock
        self.way = way
        self.last = 0
        self.waiting = 0

    def is_elsewhere(self, name: PortName) -> bool:
        """Whether a port that other nodes know has moved to another one; one that comes here has not."""
        return name in self.proxies and name not in self.coming

    def is_short(self) -> bool:
        """Whether spares are to be made. Those that come back make the stock full."""
        return 2 * len(self.spares) < self.stock

    def kept(self) -> int:
        """How many ports and rights it stands for."""
        return len(self.exports) + len(self.proxies) + len(self.leaving) + len(self.pledges) + self.pooled

    def charges(self) -> dict[Account, int]:
        """How much each account keeps."""
        tables: tuple[Iterable[Export | Proxy | Leaving | Pledge], ...]
        tables = self.exports.values(), self.proxies.values(), self.leaving.values(), self.pledges.values()
        charges = Counter(kept.account for table in tables for kept in table)
        for export in self.exports.values():
            if export.onces:
                charges[export.account] += len(export.held_onces())
        return dict(charges)

    def has_room(self, message: Message, account: Account) -> bool:
        """Whether what a message brings can be kept, beside what others may bring, and calls where rights have filled a share."""
        share, charged = (KEPT_MAX - self.kept()) // SHARE, self.charged.get(account, 0)
        brought = sum(map(rights_in, message.carried))
        return charged + brought <= share // 2 if brought else charged < share

    def room_for_onces(self, export: Export) -> int:
        """How many send-once rights more a port may have for others' messages."""
        return max(0, (KEPT_MAX - self.kept()) // SHARE // 2 - self.charged.get(export.account, 0))

    def add_onces(self, export: Export, node: int, onces: list[PortName]) -> None:
        if onces:
            export.onces.setdefault(node, []).extend(onces)
            self.pooled += len(onces)
            self._charge(export.account, len(onces))

    def take_once(self, export: Export, node: int) -> PortName:
        """A port's send-once right for a message that came from a node, 0 where there is none.

        That of another node is taken where this one has none left: what was on its way to the last home came by that.
        """
        held = node if node in export.onces else next(iter(export.onces), None)
        if held is None:
            return 0
        once = export.onces[held].pop()
        if not export.onces[held]:
            del export.onces[held]
        self.pooled -= 1
        self._charge(export.account, -1)
        return once

    def drop_onces(self, export: Export, node: int | None = None) -> list[PortName]:
        """Those of a node, or all, which the caller gives up."""
        dropped = [once for held in ([node] if node is not None else [*export.onces]) for once in export.onces.pop(held, [])]
        if dropped:
            self.pooled -= len(dropped)
            self._charge(export.account, -len(dropped))
        return dropped

    def _charge(self, account: Account, count: int = 1) -> None:
        self.charged[account] = self.charged.get(account, 0) + count
        if not self.charged[account]:
            del self.charged[account]

    def next(self) -> int:
        self.last += 1
        return self.last

    def add_export(self, kind: RightKind, name: PortName, account: Account) -> int:
        number = self.next()
        self.exports[number] = Export(kind, name, account)
        self._charge(account)
        if kind is RightKind.SEND:
            self.numbers[name] = number
        return number

    def wait(self, export: Export, node: int, what: Message | Flush, first: bool = False) -> None:
        """A message, or what is to be said when those before have gone, waits for room in a port's queue."""
        assert export.waiting is not None
        self.waiting += bytes_of(what) if isinstance(what, Message) else 0
        (export.waiting.appendleft if first else export.waiting.append)((node, what))

    def next_waiting(self, export: Export) -> tuple[int, Message | Flush]:
        """Takes what has waited longest for room in a port's queue."""
        assert export.waiting
        node, what = export.waiting.popleft()
        self.waiting -= bytes_of(what) if isinstance(what, Message) else 0
        return node, what

    def drop_export(self, number: int) -> Export:
        export = self.exports.pop(number)
        self.numbers.pop(export.name, None)
        self._charge(export.account, -1)
        return export

    def add_leaving(self, leaving: Leaving) -> int:
        """The token is the port's number, if other nodes know it by one: so who has a proxy for it knows which port comes."""
        token = self.numbers.get(leaving.name) or self.next()
        self.leaving[token] = leaving
        self._charge(leaving.account)
        return token

    def drop_leaving(self, token: int) -> None:
        self._charge(self.leaving.pop(token).account, -1)

    def add_pledge(self, pledge: Pledge) -> int:
        number = self.next()
        self.pledges[number] = pledge
        self._charge(pledge.account)
        return number

    def drop_pledge(self, number: int) -> None:
        self._charge(self.pledges.pop(number).account, -1)

    def add_proxy(self, name: PortName, proxy: Proxy) -> None:
        self.proxies[name] = proxy
        self._charge(proxy.account)
        self.enter(name, proxy)

    def enter(self, name: PortName, proxy: Proxy) -> None:
        """Enters a proxy under the ports that it stands for."""
        if proxy.kind is RightKind.SEND_ONCE:
            self.onces[proxy.node, proxy.number] = name
            return
        for place in proxy.stands_for():
            names = self.by_number.setdefault(place, [])
            if name not in names:
                names.append(name)

    def leave(self, name: PortName, proxy: Proxy) -> None:
        """The opposite of `enter`."""
        if proxy.kind is RightKind.SEND_ONCE:
            if self.onces.get((proxy.node, proxy.number)) == name:
                del self.onces[proxy.node, proxy.number]
            return
        for place in proxy.stands_for():
            names = self.by_number.get(place, [])
            if name in names:
                names.remove(name)
            if not names:
                self.by_number.pop(place, None)

    def drop_proxy(self, name: PortName) -> Proxy:
        proxy = self.proxies.pop(name)
        self._charge(proxy.account, -1)
        self.leave(name, proxy)
        return proxy

    def proxies_for(self, node: int, number: int) -> list[tuple[int, Proxy]]:
        return [(name, self.proxies[name]) for name in self.by_number.get((node, number), ())]
