"""One member of one group inside a view: broadcast, delivery and repair. `group` adds how views come and go.

The channel below may lose what is in it when a peer is lost: nothing here relies on any one packet's arrival. What was lost is
seen from the members' STATUS, and sent again: who waits for others' asks them in its own.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final, Protocol

from machemu.sim.state import state
from masix.groups import orders, wire
from masix.groups.agreement import Agreement
from masix.groups.detector import Detector
from masix.groups.reliable import Reliable
from masix.groups.view import Member, Order, View
from masix.groups.wire import MULTICAST_MAX, GroupPacketKind, Head, PacketError, packet

ACK_DELAY: Final = 1_000_000
"""Nanoseconds for which an acknowledgement waits for others to go with it."""
BUSY: Final = 40_000_000
IDLE: Final = 10_000_000_000
"""Nanoseconds between two STATUS while something is not settled, and otherwise."""
SEVERAL: Final = 8
"""Members of a view from which on the first is longer: so each one has no more STATUS to take in a second than in such a view."""
CROWD: Final = 32
"""And from which on the other is longer: a STATUS has a number for each member, so that their bytes are as its square."""
RESEND: Final = 20_000_000
"""Nanoseconds after which what a member does not acknowledge is sent to it again."""
STALL: Final = 2_000_000_000
"""Nanoseconds after which a member that takes nothing has to go, though its node sends heartbeats."""
PENDING_MAX: Final = 256
"""Messages of this member's own that are not delivered yet."""
PAYLOAD_MAX: Final = 60 << 10


class Network(Protocol):
    """What groups run over.

    `send` reaches a node through a channel that is reliable, ordered and exactly once as long as both live and neither is lost
    to the other. `multicast` may reach any other node, once, more often or never. `now`: virtual time in nanoseconds. Neither
    calls back.
    """

    @property
    def now(self) -> int: ...

    def send(self, node: int, data: bytes) -> None: ...

    def multicast(self, data: bytes) -> None: ...


class Application(Protocol):
    """What a group delivers to: a state class. It may call `broadcast` and `leave` in return."""

    def deliver(self, origin: Member, payload: bytes) -> None: ...

    def installed(self, view: View) -> None: ...

    def snapshot(self) -> bytes:
        """The state after all deliveries so far: what a member that joins begins with."""

    def restore(self, snapshot: bytes) -> None: ...


@state
class Standing(Enum):
    """JOINING: outside, and asking to be let in. MEMBER: in a view. LEFT: outside, and content."""

    JOINING = auto()
    MEMBER = auto()
    LEFT = auto()


@state
class Lag:
    """number: the first of this member's messages that another one lacks, 0: none. since: when that was first seen.

    resent: when it was last sent again, or seen. Nanoseconds.
    """

    __slots__ = ("number", "resent", "since")
    number: int
    resent: int
    since: int

    def __init__(self) -> None:
        self.number = self.since = self.resent = 0


@state
class Broadcast:
    """A member's part in a group: messages to all members, in an order that all agree on."""

    __slots__ = (
        "agreement",
        "application",
        "ask_at",
        "busy",
        "decision",
        "detector",
        "flight",
        "handover",
        "highest",
        "index",
        "issued",
        "joiners",
        "lags",
        "lasts",
        "layer",
        "leavers",
        "leaving",
        "me",
        "network",
        "newcomers",
        "number",
        "order",
        "pending",
        "standing",
        "reason_since",
        "reliable",
        "retry_at",
        "settled",
        "status_at",
        "suspects",
        "told_at",
        "view",
    )
    TRANSIENT = ("network",)
    number: int  # the group's
    me: Member  # this member
    order: Order
    standing: Standing
    busy: bool
    application: Application
    detector: Detector  # tells who is suspected
    network: Network

    # The view:
    view: View
    highest: int  # the last one installed
    index: int  # where in it this member is
    reliable: Reliable
    layer: orders.Layer
    agreement: Agreement  # on its end
    decision: tuple[int, bytes]  # the number and end of the view before

    # What is broadcast:
    pending: deque[bytes]  # payloads that wait for the window or a view
    flight: deque[tuple[int, bytes]]  # those sent in a view and not delivered, with their numbers
    issued: int  # how many were broadcast here
    settled: int  # how many of those are delivered
    lasts: dict[Member, int]  # of each origin its last message delivered

    # What the members tell, by index:
    suspects: list[int]
    leavers: list[bool]
    lags: list[Lag]

    # Who comes and goes:
    joiners: dict[int, int]  # who asks to be let in, by node
    newcomers: dict[Member, None]  # members of this view that have not yet said that they got `handover`
    handover: bytes  # the state for them
    leaving: bool  # this member is to leave
    reason_since: int | None  # since when the view has had a reason to end

    # When something is due:
    retry_at: int
    status_at: int
    told_at: int  # when the last STATUS was told
    ask_at: int  # from when on a STATUS asks for the others', since something has not been settled for as long; 0 for not

    def __init__(self, number: int, me: Member, order: Order, application: Application, detector: Detector) -> None:
        self.number = number
        self.me = me
        self.order = order
        self.application = application
        self.detector = detector
        self.standing = Standing.JOINING
        self.leaving = False
        self.busy = False
        self.highest = 0
        self.lasts = {}
        self.pending = deque()
        self.flight = deque()
        self.issued = 0
        self.settled = 0
        self.joiners = {}
        self.decision = (0, b"")
        self.status_at = 0
        self.told_at = 0
        self.begin(View(0, (me,), 1))

    def begin(self, view: View) -> None:
        """Enters a view that this member is in, as all that `lasts` counts is delivered."""
        self.view = view
        self.index = view.members.index(self.me)
        size = len(view.members)
        self.reliable = Reliable(size, self.index, tuple(self.lasts.get(member, 0) for member in view.members))
        self.layer = orders.layer(self.order, size, self.index)
        self.agreement = Agreement(size, self.index)
        self.suspects = [0] * size
        self.leavers = [False] * size
        self.lags = [Lag() for _ in view.members]
        self.reason_since = None
        self.retry_at = 0
        self.ask_at = 0
        self.handover = b""
        self.newcomers = {}

    # What the owner calls

    def broadcast(self, payload: bytes) -> int | None:
        """Sends to all members, oneself too. None: not taken, as too much waits already or this member leaves.

        The returned count is reached by `settled` once the payload is delivered here, or part of a state that came with a new
        view.
        """
        if len(payload) > PAYLOAD_MAX:
            raise ValueError(f"{len(payload)} bytes are more than {PAYLOAD_MAX}")
        if self.leaving or len(self.pending) + len(self.flight) >= PENDING_MAX:
            return None
        self.issued += 1
        self.pending.append(payload)
        self.advance()
        return self.issued

    def leave(self) -> None:
        """Leaves for good, once all that was broadcast here is delivered.

        One that is outside still has to be let in: the others may have done so without its knowledge, and count on it.
        """
        self.leaving = True
        self.status_at = 0

    @property
    def frozen(self) -> bool:
        """The view is about to end: nothing is sent, taken or delivered in it any more."""
        return self.agreement.promised > 0

    @property
    def blocked(self) -> bool:
        """Nothing is delivered here for now: outside, or in a view that has not ended yet (for long only without a quorum)."""
        return self.standing is not Standing.MEMBER or self.frozen

    # Sending

    def to(self, node: int, kind: GroupPacketKind, body: bytes, view: int | None = None) -> None:
        view = self.view.number if view is None else view
        self.network.send(node, packet(kind, self.number, self.me.incarnation, view, body))

    def to_members(self, kind: GroupPacketKind, body: bytes) -> None:
        """To each other member through its channel."""
        for member in self.view.members:
            if member != self.me:
                self.to(member.node, kind, body)

    def multicast(self, kind: GroupPacketKind, body: bytes = b"") -> None:
        view = self.view.number if self.standing is Standing.MEMBER else 0
        self.network.multicast(packet(kind, self.number, self.me.incarnation, view, body))

    def _send_own(self, body: bytes) -> int:
        number = self.reliable.send(body)
        self.layer.arrived(self.index, body)
        data = wire.number(number) + body
        if wire.HEAD.size + len(data) <= MULTICAST_MAX:
            self.multicast(GroupPacketKind.DATA, data)
        else:
            self.to_members(GroupPacketKind.DATA, data)
        self.acknowledge()
        return number

    def acknowledge(self, delay: int = ACK_DELAY) -> None:
        """Tells this member's STATUS soon."""
        self.status_at = min(self.status_at, self.network.now + delay)

    def tell(self) -> None:
        """Multicasts this member's STATUS.

        What is not settled for a while is a reason to ask for the others': no more often than a member would tell its own, or
        all would ask each other without a pause; and not while the view is about to end, which delivers what is left.
        """
        leaving = self.leaving and not self.pending and not self.flight
        for member in range(len(self.view.members)):
            self._lacking(member)
        suspects = self.suspected()
        busy = bool(self.frozen or self.leaving or self.newcomers or suspects or not self.reliable.settled())
        now = self.network.now
        due = 0 < self.ask_at <= now
        asks = busy and due and not self.frozen
        status = wire.Status(leaving, asks, tuple(self.reliable.received), suspects)
        self.leavers[self.index] = leaving
        self.multicast(GroupPacketKind.STATUS, wire.write_status(status))
        pause = self._shared(BUSY) if busy else IDLE * max(CROWD, len(self.view.members)) ** 2 // CROWD**2
        self.told_at = now
        if not busy or due or not self.ask_at:
            self.ask_at = now + pause if busy else 0
        self.status_at = self.ask_at if busy else now + pause

    def _shared(self, pause: int) -> int:
        """A pause between two STATUS of one member, where many tell theirs."""
        return pause * max(SEVERAL, len(self.view.members)) // SEVERAL

    def suspected(self) -> int:
        """The members, a bit each, that are suspected here or have lacked the same message for STALL nanoseconds."""
        late = self.network.now - STALL
        return sum(
            1 << index
            for index, (member, lag) in enumerate(zip(self.view.members, self.lags, strict=True))
            if self.detector.suspects(member) or (lag.number and lag.since < late)
        )

    # Delivery

    def advance(self) -> None:
        """Sends and delivers whatever can be. What the application broadcasts meanwhile is sent when the delivery is over."""
        if self.busy:
            return
        self.busy = True
        while self.standing is Standing.MEMBER and not self.frozen and self._step():
            pass
        self.busy = False

    def _step(self) -> bool:
        moved = False
        while self.pending and self.reliable.room(len(self.pending[0])):
            payload = self.pending.popleft()
            self.flight.append((self._send_own(self.layer.stamp(payload)), payload))
            moved = True
        if self.reliable.room(0, reserved=0) and (own := self.layer.own()) is not None:
            self._send_own(own)
            moved = True
        for sender, _, body in self.reliable.stable():
            self.deliver(self.layer.take(sender, body))
            moved = True
        return moved

    def deliver(self, found: list[orders.Delivery]) -> None:
        for sender, payload in found:
            if sender == self.index:
                self.flight.popleft()
                self.settled += 1
            self.application.deliver(self.view.members[sender], payload)

    # Receiving inside a view

    def receive_data(self, sender: int, body: bytes) -> None:
        if self.frozen or sender == self.index:
            return
        number, message = wire.data(body)
        before = self.reliable.received[sender]
        for news in self.reliable.accept(sender, number, message):
            self.layer.arrived(sender, news)
        gap = number > before + 1 and self.reliable.received[sender] == before
        self.acknowledge(0 if gap else ACK_DELAY)
        self.advance()

    def receive_status(self, sender: int, body: bytes) -> None:
        status = wire.read_status(body)
        if len(status.received) != len(self.view.members):
            raise PacketError("it is of another view's size")
        if status.asks:
            self.acknowledge(max(ACK_DELAY, self.told_at + self._shared(RESEND) - self.network.now))
        self.suspects[sender] = status.suspects
        self.leavers[sender] = status.leaving
        self.newcomers.pop(self.view.members[sender], None)
        if not self.newcomers:
            self.handover = b""
        self.reliable.told(sender, status.received)
        if not self.frozen:
            self._repair(sender)
        self.advance()

    def _lacking(self, member: int) -> list[tuple[int, bytes]]:
        """What a member is not known to have of this one's messages; keeps its lag."""
        lacking = self.reliable.lacking(member)
        lag, first = self.lags[member], lacking[0][0] if lacking else 0
        if lag.number != first:
            lag.number, lag.since, lag.resent = first, self.network.now, self.network.now
        return lacking

    def _repair(self, member: int) -> None:
        """Sends again what a member has been lacking for RESEND nanoseconds."""
        lacking, lag, now = self._lacking(member), self.lags[member], self.network.now
        if lacking and now - lag.resent >= RESEND:
            lag.resent = now
            for number, message in lacking:
                self.to(self.view.members[member].node, GroupPacketKind.DATA, wire.number(number) + message)

    def sender(self, node: int, head: Head) -> int | None:
        """The index of who sent a packet of this view, if it is one and its sender is a member."""
        member = Member(node, head.incarnation)
        if self.standing is Standing.MEMBER and head.view == self.view.number and member in self.view.members:
            return self.view.members.index(member)
        return None
