"""The generic network server of a node: other nodes' ports as ports of this one.

A task sends to a proxy port, whose receive right is the network server's; what comes there goes to the server of the port's
node, which sends it on. Rights that travel are turned into numbers and back (translate.py), bytes into the other machine's
order (convert.py); traffic.py carries messages, rights.py sees to rights and the ends and moves of ports, names.py finds
services. A link carries what the servers say: reliably and in order between two nodes, and to all of them for the resolution of
names.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from machemu.abi.errors import UserError
from machemu.abi.message import COPY_SEND, MACH_MSG_SUCCESS, MOVE_SEND, MOVE_SEND_ONCE
from machemu.mig.interfaces.mach_migrate import TASK_SET_FORWARDS
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import Right, state
from machemu.user.heritage import SuccessiveServer
from machemu.user.kit import Answer, HostServer, Legacy, Part, answered, notified, serves
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from machemu.user.notifications import DeadName, MsgAccepted, NoSenders
from machemu.user.own import AREA_SIZE, WORD_AREA
from masix.gns import memory, moves, pauses, rights, streams, succession, traffic
from masix.gns.codec import WireError, decode
from masix.gns.context import NAME, Context, Link
from masix.gns.directory import Directory
from masix.gns.large import RETRY_NS, Arrivals, Streams
from masix.gns.link import EthernetLink
from masix.gns.liveness import Liveness
from masix.gns.names import Names
from masix.gns.pauses import Pauses
from masix.gns.ports import PortTables, Way
from masix.gns.protocols import Protocols
from masix.gns.translate import give_up
from masix.gns.wire import (
    GROUPS,
    Begun,
    Claim,
    Clash,
    Deliver,
    Died,
    Dropped,
    Flush,
    Flushed,
    Found,
    Gathering,
    GivenUp,
    Homed,
    Introduced,
    Known,
    Lay,
    Left,
    Moved,
    OnceUnused,
    Passed,
    Pause,
    Paused,
    Payload,
    Refused,
    Resolve,
    Stored,
    Taken,
    Unclaimed,
    Unused,
)
from masix.interfaces import acs, gns, gns_protocol
from masix.net.ip import NodeNumber
from masix.transport.entropy import Entropy
from masix.transport.transport import Transport

STOCK: Final = 16
"""Proxy ports that a server which prepares has ready."""
REGISTER_NS: Final = 50_000_000
"""How long it waits before it tries again to register its name."""
WAYS: Final = {way.name.lower(): way for way in Way}
FIRST_NS: Final = 100_000_000
"""Who starts in the first of these of a cluster's time is the first incarnation."""
INCARNATION_NS: Final = 1 << 16
INCARNATIONS: Final = 1 << 31
"""Ports are numbered from the time of the start on, in the first of these units, modulo the second: who gives fewer than 15,000
rights a second to other nodes never meets a number of his last incarnation."""


@state
class Gns(SuccessiveServer):
    """The network server of a node."""

    __slots__ = (
        "arrivals", "directory", "link", "liveness", "loop", "names", "node", "pauses", "protocols", "register_at",
        "registration", "streams", "tables",
    )  # fmt: skip
    message_max = AREA_SIZE - WORD_AREA
    reads_memory = False
    comes_back = True
    node: NodeNumber  # its number
    link: Link
    loop: deque[tuple[NodeNumber, bytes]]  # what it says to itself
    tables: PortTables  # the ports that it stands for
    streams: Streams  # large messages that go
    arrivals: Arrivals  # and those that come
    names: Names  # how services are found
    directory: Directory | None  # the replicated one, or None
    liveness: Liveness  # probes of others
    registration: Right  # of its name, 0 until the name server has answered
    register_at: int | None  # when it tries again to register
    protocols: Protocols  # what others send and receive beside
    pauses: Pauses  # of ports that are about to move

    def __init__(
        self,
        node: int,
        link: Link,
        announces: bool = False,
        introduces: bool = False,
        prepares: bool = False,
        replicates: bool = False,
        host: bytes = b"",
        way: Way = Way.RECOVERY,
    ) -> None:
        super().__init__()
        self.node = node
        self.link = link
        self.tables = PortTables(STOCK if prepares else 0, way)
        self.directory = Directory(node) if replicates else None
        self.names = Names(announces, introduces, self.directory, host)
        self.protocols = Protocols(node)
        self.pauses = Pauses()
        self.liveness = Liveness()
        self.registration = 0
        self.register_at = None
        self.loop = deque()
        self.streams = Streams()
        self.arrivals = Arrivals()

    def check_saved(self) -> None:
        """ValueError where its parts are not of one node."""
        super().check_saved()
        nodes = [self.node, self.protocols.node] + ([] if self.directory is None else [self.directory.endpoint.me.node])
        if len({*nodes}) != 1:
            raise ValueError("its parts are of different nodes")

    @classmethod
    def on_node(
        cls,
        node: int,
        seed: int,
        key: bytes,
        host: str = "",
        *,
        announces: bool = False,
        introduces: bool = False,
        prepares: bool = False,
        replicates: bool = False,
        messages: str = "recovery",
    ) -> Gns:
        """The network server of a node of a cluster. seed: another one at each start; key: the cluster's. host: the node's name.

        announces: a node that answers who has a name multicasts it, too. introduces: it multicasts all that it has before anybody
        asks, and all servers make proxy ports for that. prepares: proxy ports are made when there is nothing else to do, and used
        again. replicates: all servers that do hold the names of all of them. messages: a Way, in small letters, for those under
        way to ports of this node that move.
        """
        if messages not in WAYS:
            raise UserError(f"messages = {messages!r}: write one of {', '.join(WAYS)}")
        link = EthernetLink(Transport(node, key, Entropy(seed.to_bytes(32, "big"))))
        return cls(node, link, announces, introduces, prepares, replicates, host.encode(), WAYS[messages])

    def attach(self) -> None:
        """Makes again what is not saved."""
        self.link.attach()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        _prepare(mach)
        self._register(mach)
        context = self.context(mach)
        began_before = mach.now() >= FIRST_NS
        # Numbers of another incarnation are not given again: who has not heard of its end may still ask for them.
        self.tables.last = mach.now() // INCARNATION_NS % INCARNATIONS if began_before else 0
        self.link.start(context)
        self.names.start(context, began_before)
        if self.directory is not None:
            self.directory.start(context)
        self._settle(context)

    # Succession

    def refuses(self, other: HostServer | None) -> str:
        if isinstance(other, Gns) and (self.directory is None) is not (other.directory is None):
            return "whether a network server replicates cannot change while it runs: stop it, and start another"
        return super().refuses(other)

    def keeps(self, predecessor: HostServer) -> None:
        assert isinstance(predecessor, Gns)
        predecessor.names.announces, predecessor.names.introduces = self.names.announces, self.names.introduces
        predecessor.tables.stock = self.tables.stock
        predecessor.tables.way = self.tables.way

    def may_leave(self, mach: Mach) -> bool:
        if not succession.is_at_rest(self.context(mach)):
            mach.alarm(min(at for at in (mach.now() + RETRY_NS, mach.deadline()) if at is not None))
            return False
        return (bool(self.registration) or self.register_at is not None) and super().may_leave(mach)

    def legacy(self, mach: Mach) -> Legacy:
        succession.make_ready(self.context(mach))
        return super().legacy(mach)

    def inherited(self, mach: Mach) -> None:
        _prepare(mach)
        context = self.context(mach)
        watched = [*self.tables.numbers, self.registration, *self.protocols.watched()]
        for name in dict.fromkeys(name for name in watched if name):
            mach.notify(name, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        succession.go_on(context)
        mach.note("gns: goes on in the place of another one")
        self._settle(context)

    def _register(self, mach: Mach) -> None:
        """Gives its service the network server's name. Where that is still the one's that was there before, it tries again."""
        self.register_at = None
        port = mach.name_server()
        mach.request(acs.ACS_REGISTER, port, (NAME, 0, PolyPort(self.service, COPY_SEND)), self.notices)

    @answered(acs.ACS_REGISTER, at="notices")
    def _registered(self, context: Context, answer: Answer) -> None:
        mach = context.mach
        self.registration = answer.right
        if self.registration:
            mach.notify(self.registration, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        else:
            self.register_at = mach.now() + REGISTER_NS

    def _name_server_died(self, context: Context) -> None:
        """The name server is another one, which knows no names: neither this server's nor those of the services."""
        context.mach.deallocate(self.registration)
        self.registration = 0
        self._register(context.mach)
        self.names.name_server_died(context)

    def parts(self) -> tuple[Part, ...]:
        parts = (self.link, self, self.protocols, self.pauses, self.names)
        return parts if self.directory is None else (*parts, self.directory)

    def context(self, mach: Mach) -> Context:
        return Context(mach, self, self.node, self.tables, self.link, self.loop, self.streams, self.arrivals)

    def receive(self, mach: Mach, message: Message) -> None:
        context = self.context(mach)
        self.handle(mach, message, context)
        self._settle(context)

    def other(self, mach: Mach, message: Message) -> None:
        if message.header.local in self.tables.proxies:
            self.liveness.stirred(mach.now())
            traffic.proxied(self.context(mach), message.header.local, message)
        else:
            super().other(mach, message)

    def expired(self, mach: Mach) -> None:
        context = self.context(mach)
        if self.register_at is not None and mach.now() >= self.register_at:
            self._register(mach)
        self.link.tick(mach)
        self.names.expired(context)
        self.liveness.expired(context)
        streams.expired(context)
        memory.expired(context)
        traffic.expired(context)
        if self.directory is not None:
            self.directory.expired(context)
        while self.tables.is_short():
            self.tables.spares.append(context.new_port())
        self._settle(context)

    @serves(gns_protocol.GNS_PROTOCOL_REGISTER)
    def _register_protocol(self, context: Context, request: Message, *values: Any) -> None:
        self.protocols.register(context, request, *values)

    @serves(gns.GNS_HOMES)
    def _homes(self, context: Context, request: Message, rights: Sequence[Any]) -> tuple[Any, ...]:
        names = list(map(living, rights))
        proxies = [self.tables.proxies.get(name) for name in names]
        nodes = [self.node if proxy is None else proxy.stands_for()[-1][0] for proxy in proxies]
        context.mach.give_up((name, MOVE_SEND) for name in names if name)
        return (OutOfLine(struct.pack(f"{context.mach.order.prefix}{len(nodes)}I", *nodes), 4 * len(nodes)),)

    @serves(gns.GNS_PAUSE)
    def _pause(self, context: Context, request: Message, tasks: Sequence[Any], privilege: Any) -> tuple[Any, ...] | None:
        return self.pauses.begin(context, request, tasks, privilege)

    @property
    def watchers(self) -> dict[int, int]:
        """Where the kernel tells of proxies that were ports of this node, and which."""
        return self.tables.watchers

    @notified(NoSenders, at="watchers")
    def _unused(self, context: Context, notice: NoSenders) -> None:
        rights.no_senders(context, self.watchers[notice.port], notice.mscount)

    @notified(DeadName)
    def _died(self, context: Context, notice: DeadName) -> None:
        self.protocols.died(context.mach, notice.name)
        if notice.name == self.registration:
            self._name_server_died(context)
        rights.port_died(context, notice.name)

    @notified(MsgAccepted)
    def _accepted(self, context: Context, notice: MsgAccepted) -> None:
        traffic.accepted(context, notice.name)

    def _settle(self, context: Context) -> None:
        """What has come is dealt with, and the alarm is set to whatever comes first."""
        while (event := self._next_event(context)) is not None:
            node, data = event
            self.liveness.hear(node, context.mach.now())
            if data is None:
                self.liveness.lost(node)
                context.mach.note(f"gns: node {node} is lost")
                self.names.lost(context, node)
                streams.lost(context, node)
                memory.lost(context, node)
                moves.lost(context, node)
                rights.lost(context, node)
                self.pauses.paused(context, node, 0)
                if self.directory is not None:
                    self.directory.lost(context, node)
            elif data.startswith(GROUPS):
                if self.directory is not None:
                    self.directory.receive(context, node, data[len(GROUPS) :])
            else:
                self._arrived(context, node, data)
        while (emptied := self.link.next_with_room()) is not None:
            rights.has_room(context, emptied)
        now = context.mach.now()
        times = (
            self.names.next_timer(),
            self.link.next_timer(),
            None if self.directory is None else self.directory.next_timer(),
            self.liveness.at,
            self.register_at,
            now if self.tables.is_short() else None,
            self.streams.next_timer(now),
            self.arrivals.next_timer(now),
        )
        context.mach.alarm(min([time for time in times if time is not None], default=None))

    def _next_event(self, context: Context) -> tuple[int, bytes | None] | None:
        while (unverified := self.link.next_unverified()) is not None:
            self.names.heard_unverified(context, unverified)
        return self.loop.popleft() if self.loop else self.link.next_event()

    def _arrived(self, context: Context, node: int, data: bytes) -> None:
        try:
            payload = decode(data)
        except WireError as error:
            context.mach.note(f"gns: node {node} sends nonsense: {error}")
            return
        match payload:
            case Deliver():
                traffic.deliver(context, node, payload.to.number, payload.to.kind, payload)
            case Taken():
                traffic.have_gone(context, node, payload)
            case Lay():
                memory.part(context, node, payload)
            case Stored():
                streams.stored(context, node, payload)
            case Refused():
                streams.refused(context, node, payload)
            case Dropped():
                memory.forget(context, node, payload.token)
            case Resolve():
                self.names.asked_by(context, node, payload)
            case Found():
                self.names.found(context, node, payload)
            case Known():
                self.names.made_known(context, node, payload)
            case Introduced():
                self.names.introduced(context, node, payload)
            case Left():
                self.names.has_left(context, node, payload)
            case Begun():
                self.names.has_begun(context, node, payload)
            case Clash():
                self.names.clashes(context, payload)
            case Gathering():
                if self.directory is not None:
                    self.directory.gathered(context, payload.group)
            case _:
                self._said_of_rights(context, node, payload)

    def _said_of_rights(self, context: Context, node: int, payload: Payload) -> None:
        match payload:
            case Flush():
                if not moves.has_come(context, node, payload):
                    traffic.flush(context, node, payload)
            case Flushed():
                rights.flushed(context, payload)
            case Claim():
                rights.claimed(context, node, payload)
            case Passed():
                rights.passed(context, node, payload)
            case Unclaimed():
                rights.unclaimed(context, node, payload)
            case Unused():
                rights.unused(context, node, payload)
            case OnceUnused():
                rights.once_unused(context, node, payload)
            case Died():
                self.names.died(context, node, payload.number)
                rights.died(context, node, payload.number)
            case Homed():
                moves.homed(context, node, payload)
            case GivenUp():
                moves.given_up(context, node, payload)
            case Pause():
                pauses.pause(context, node, payload)
            case Paused():
                self.pauses.paused(context, node, payload.token)
            case Moved():
                self.names.died(context, node, payload.number)
                rights.moved(context, node, payload)

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message has gone into its port's queue; with MACH_SEND_WILL_NOTIFY the next one waits for the notification."""
        if code == MACH_MSG_SUCCESS:
            traffic.accepted(self.context(mach), message.header.remote)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message whose destination is dead goes."""
        if message.header.remote_type not in (MOVE_SEND, MOVE_SEND_ONCE):
            super().unsent(mach, message, code)  # a request of its own
            return
        header = message.header
        mach.deallocate(header.remote)
        give_up(self.context(mach), message._replace(header=header._replace(remote=header.local, remote_type=header.local_type)))


def _prepare(mach: Mach) -> None:
    """The task waits for no frame, and what others send to it counts as going to other nodes (TASK_IPC_INFO)."""
    mach.keep_memory()
    mach.call(TASK_SET_FORWARDS, mach.given("host-port"), PolyPort(mach.task_self(), COPY_SEND), True)
