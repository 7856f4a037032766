"""How a group's views come and go: virtual synchrony in the primary partition.

A view has a reason to end when a member is suspected or takes nothing, when one wants to leave, or somebody wants to join. The
first member that is not suspected then coordinates an agreement on the next view and on what is delivered before it; one that
answers stops in the view. The agreement needs a quorum of the view, so that of a network in parts one at most goes on; what is
in the others waits, learns that the group went on without it, and joins again.

A quorum is more than half of the view, or half of it when the other half is known to be dead: a node that restarts tells so. Two
such quorums never both act: each pair either shares a member, or one half died before the other one counted.

Nothing is kept on disks. Where no quorum of the last view is up the group has ended, and its owners may found another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from machemu.sim.state import state
from masix.groups import wire
from masix.groups.broadcast import Broadcast, Standing
from masix.groups.view import Member, View
from masix.groups.wire import GroupPacketKind, Head, PacketError, Promise, State, Value

RETRY: Final = 150_000_000
"""Nanoseconds after which a coordinator asks those again that have not answered."""
ATTEMPTS: Final = 3
"""Times that a member that is not suspected is asked before the view ends without it."""
PATIENCE: Final = 400_000_000
"""Nanoseconds that a member leaves to each one before it; more with each ballot of its own."""
JOIN_RETRY: Final = 250_000_000
LASTS_MAX: Final = 4096
"""Origins, past ones too, whose last message is remembered."""


PAST: Final = (GroupPacketKind.HEARTBEAT, GroupPacketKind.STATUS, GroupPacketKind.PREPARE, GroupPacketKind.ACCEPT)
"""What shows that its sender is in a view that may be over."""


@state
class Group(Broadcast):
    """A member that can come and go."""

    __slots__ = ()

    def found(self, members: tuple[Member, ...]) -> None:
        """Begins as one of a new group's members; each of them has to be given the same."""
        self.standing = Standing.MEMBER
        self._enter(View(1, members, len(members)))

    def deadline(self) -> int | None:
        """When `tick` is due, in nanoseconds; None: not at all."""
        return None if self.standing is Standing.LEFT else self.status_at

    def tick(self) -> None:
        """What has to be done by now is done."""
        now = self.network.now
        if self.standing is Standing.JOINING and now >= self.status_at:
            self.multicast(GroupPacketKind.JOIN)
            self.status_at = now + JOIN_RETRY
        elif self.standing is Standing.MEMBER:
            if now >= self.status_at:
                self.tell()
            if self.agreement.ballot and now >= self.retry_at:
                self._again()
            self.changed()

    def changed(self) -> None:
        """The detector's mind, or the time: ends the view if it has a reason to end and it is this member's turn."""
        if self.standing is not Standing.MEMBER:
            return
        living = tuple(index for index, member in enumerate(self.view.members) if not self.detector.dead(member))
        self.reliable.half = living if 2 * len(living) == len(self.view.members) else ()
        self.advance()
        now = self.network.now
        if self.agreement.ballot:
            self._prepared()
        elif not self._reason():
            self.reason_since = None
        else:
            if self.reason_since is None:
                self.reason_since = now
                self.acknowledge()
            turn = self._before() + self._answered_another()
            if now >= self.reason_since + PATIENCE * turn * (1 + self.agreement.rounds):
                self._start()

    def receive(self, node: int, head: Head, body: bytes) -> None:
        """A packet of this group's. PacketError: it was none, and nothing has changed."""
        if head.kind is GroupPacketKind.JOIN:
            self._receive_join(Member(node, head.incarnation))
        elif head.kind is GroupPacketKind.STATE:
            self._receive_state(Member(node, head.incarnation), head.view, body)
        elif head.kind is GroupPacketKind.GONE:
            about = wire.one_number(body)
            if self.standing is Standing.MEMBER and about == self.view.number < head.view:
                self._outside()
        elif (sender := self.sender(node, head)) is not None:
            self._receive_member(head.kind, sender, body)
        elif head.kind in PAST:
            self._receive_past(node, head)

    def _receive_member(self, kind: GroupPacketKind, sender: int, body: bytes) -> None:
        """A packet of this view's from another member of it."""
        match kind:
            case GroupPacketKind.DATA:
                self.receive_data(sender, body)
            case GroupPacketKind.STATUS:
                self.receive_status(sender, body)
                self.changed()
            case GroupPacketKind.PREPARE:
                self._receive_prepare(sender, wire.ballot(body))
            case GroupPacketKind.PROMISE:
                self._receive_promise(sender, wire.read_promise(body))
            case GroupPacketKind.REFUSE:
                if self.agreement.refused(wire.ballot(body)):
                    self.reason_since = self.network.now
            case GroupPacketKind.ACCEPT:
                self._receive_accept(sender, *wire.read_accept(body))
            case GroupPacketKind.ACCEPTED:
                if wire.ballot(body) == self.agreement.ballot and self.agreement.proposal is not None:
                    self.agreement.accepts[sender] = None
                    self._accepted()
            case GroupPacketKind.DECIDE:
                self._install(body)

    def _receive_past(self, node: int, head: Head) -> None:
        """Somebody is in a view that is over: one of those who know tells how it ended, or that it ended long ago.

        A member of this view, which has only not heard of it yet, hears that from who does know; it must not go outside.
        """
        ended, value = self.decision
        member = Member(node, head.incarnation)
        if head.kind is GroupPacketKind.STATUS and self.standing is Standing.MEMBER and self._before():
            return
        if 0 < head.view == ended:
            self.to(node, GroupPacketKind.DECIDE, value, ended)
        elif self.standing is Standing.MEMBER and head.view < self.view.number and member not in self.view.members:
            self.to(node, GroupPacketKind.GONE, wire.number(head.view))

    # Why and by whom a view is ended

    def first(self) -> Member:
        """The first member of the view that is not suspected; this one in the end."""
        return next(member for member in self.view.members if member == self.me or not self.detector.suspects(member))

    def _before(self) -> int:
        """How many members before this one are not suspected."""
        return sum(not self.detector.suspects(member) for member in self.view.members[: self.index])

    def _answered_another(self) -> bool:
        promised = self.agreement.promised
        return promised > 0 and (promised - 1) % len(self.view.members) != self.index

    def _reason(self) -> bool:
        trusted = [index for index, member in enumerate(self.view.members) if not self.detector.suspects(member)]
        return (
            self.frozen
            or self.suspected() > 0
            or any(self.leavers)
            or any(self.suspects[index] for index in trusted)
            or bool(self._candidates())
        )

    def _candidates(self) -> list[Member]:
        """Who asks to join and can."""
        asking = [Member(node, incarnation) for node, incarnation in self.joiners.items()]
        return [member for member in asking if member not in self.view.members and not self.detector.suspects(member)]

    def _quorum(self, members: Iterable[int]) -> bool:
        size = len(self.view.members)
        inside = set(members)
        rest = [member for index, member in enumerate(self.view.members) if index not in inside]
        return len(inside) * 2 > size or (len(inside) * 2 == size and all(map(self.detector.dead, rest)))

    # The coordinator's part

    def _start(self) -> None:
        agreement = self.agreement
        ballot = agreement.start()
        agreement.prepare(ballot)
        agreement.promises[self.index] = self._promise()
        self.retry_at = self.network.now + RETRY
        self.to_members(GroupPacketKind.PREPARE, wire.number(ballot))
        self._prepared()

    def _again(self) -> None:
        """Asks those that have not answered once more."""
        agreement = self.agreement
        agreement.attempts += 1
        self.retry_at = self.network.now + RETRY
        asked, body, answers = GroupPacketKind.PREPARE, wire.number(agreement.ballot), set(agreement.promises)
        if agreement.proposal is not None:
            asked, body, answers = GroupPacketKind.ACCEPT, body + agreement.proposal, set(agreement.accepts)
        for index, member in enumerate(self.view.members):
            if index not in answers:
                self.to(member.node, asked, body)

    def _prepared(self) -> None:
        """Goes on once a quorum has answered, and all who are not suspected or were asked often enough."""
        agreement = self.agreement
        if agreement.proposal is not None or not self._quorum(agreement.promises):
            return
        missing = [member for index, member in enumerate(self.view.members) if index not in agreement.promises]
        if agreement.attempts < ATTEMPTS and not all(map(self.detector.suspects, missing)):
            return
        bound = agreement.bound()
        proposal = bound if bound is not None else wire.write_value(self._value())
        agreement.propose(proposal)
        self.retry_at = self.network.now + RETRY
        self.to_members(GroupPacketKind.ACCEPT, wire.number(agreement.ballot) + proposal)
        self._accepted()

    def _value(self) -> Value:
        """The next view, of those that promised, and all messages that one of these has received and another may lack.

        Of two that do not hear each other the younger has to go; those that leave may, unless nobody could then let others in.
        """
        promises, members = self.agreement.promises, self.view.members
        alive = [index for index in sorted(promises) if not self.detector.dead(members[index])]
        apart = [(one, other) for one in alive for other in alive if promises[one].suspects >> other & 1]
        near = [index for index in alive if all(index != max(pair) for pair in apart)]
        # Only for a link of its own is one that answered left out, and only if that leaves the group as strong as it must be.
        alive = near if self._quorum(near) else alive
        joiners = self._candidates()
        stay = [index for index in alive if not self.leavers[index]] or (alive if joiners else [])
        nodes = {members[index].node for index in stay}
        join = [member for member in joiners if member.node not in nodes]
        # So few that the elders among any quorum of the next view have its state; a single elder has to take the risk.
        room = min(max(1, len(stay) - 1), wire.MEMBERS_MAX - len(stay)) if stay else 0
        cut = tuple(map(max, zip(*(promise.received for promise in promises.values()), strict=True)))
        low = tuple(map(min, zip(*(promises[index].received for index in stay), strict=True))) if stay else cut
        missing = {
            (sender, number): body
            for promise in promises.values()
            for sender, number, body in promise.messages
            if low[sender] < number <= cut[sender]
        }
        messages = tuple((*place, missing[place]) for place in sorted(missing))
        return Value(len(stay), tuple(members[index] for index in stay) + tuple(join[:room]), cut, messages)

    def _accepted(self) -> None:
        if self._quorum(self.agreement.accepts):
            value = self.agreement.accepted
            self.to_members(GroupPacketKind.DECIDE, value)
            self._install(value)

    def _receive_promise(self, sender: int, promise: Promise) -> None:
        self._fits(promise.received, promise.messages)
        if promise.accepted_ballot:
            self._read(promise.accepted)
        agreement = self.agreement
        if agreement.proposal is None and promise.ballot == agreement.ballot:
            agreement.promises[sender] = promise
            self._prepared()

    # Every member's part

    def _promise(self) -> Promise:
        agreement, reliable = self.agreement, self.reliable
        accepted = agreement.accepted_ballot, agreement.accepted
        return Promise(agreement.promised, *accepted, self.suspected(), tuple(reliable.received), reliable.unstable())

    def _owned(self, sender: int, ballot: int) -> None:
        if (ballot - 1) % len(self.view.members) != sender:
            raise PacketError(f"ballot {ballot} is another member's")

    def _receive_prepare(self, sender: int, ballot: int) -> None:
        self._owned(sender, ballot)
        if self._answers(sender, self.agreement.prepare(ballot)):
            self.to(self.view.members[sender].node, GroupPacketKind.PROMISE, wire.write_promise(self._promise()))

    def _receive_accept(self, sender: int, ballot: int, value: bytes) -> None:
        self._owned(sender, ballot)
        self._read(value)
        if self._answers(sender, self.agreement.accept(ballot, value)):
            self.to(self.view.members[sender].node, GroupPacketKind.ACCEPTED, wire.number(ballot))

    def _answers(self, sender: int, willing: bool) -> bool:
        """Refuses a coordinator where a higher ballot was promised; else gives it time."""
        if not willing:
            self.to(self.view.members[sender].node, GroupPacketKind.REFUSE, wire.number(self.agreement.promised))
            return False
        self.reason_since = self.network.now
        self.acknowledge()
        return True

    def _fits(self, vector: wire.Vector, messages: tuple[wire.Message, ...]) -> None:
        size = len(self.view.members)
        if len(vector) != size or any(sender >= size for sender, _, _ in messages):
            raise PacketError("it is of another view's size")

    def _read(self, body: bytes) -> Value:
        value = wire.read_value(body)
        self._fits(value.cut, value.messages)
        return value

    def _install(self, body: bytes) -> None:
        """The view is over: delivers its rest and goes into the next one, or outside."""
        value = self._read(body)
        if self.me not in value.members:
            self.decision = (self.view.number, body)
            self._outside()
            return
        if not self.reliable.covers(value.cut, value.messages):
            raise PacketError("it leaves out messages that this member lacks")
        self.decision = (self.view.number, body)
        self.busy = True
        for sender, _, message in self.reliable.flush(value.cut, value.messages):
            self.deliver(self.layer.take(sender, message))
        self.deliver(self.layer.finish())
        self.busy = False
        self.lasts |= dict(zip(self.view.members, value.cut, strict=True))
        for index, member in enumerate(self.view.members):
            if member not in value.members and not self.leavers[index] and self.detector.knows(member):
                self.detector.lost(member.node)
        self._enter(View(self.view.number + 1, value.members, value.elders))

    def _enter(self, view: View) -> None:
        """Goes into a view; gives the state to those that join, if this member is the first of the elders."""
        incarnations = {member.node: member.incarnation for member in view.members}
        known = {member: last for member, last in self.lasts.items() if member.incarnation >= incarnations.get(member.node, 0)}
        spare = [member for member in known if member not in view.members][: max(0, len(known) - LASTS_MAX)]
        self.lasts = {member: last for member, last in known.items() if member not in spare}
        self.pending.extendleft(payload for _, payload in reversed(self.flight))
        self.flight.clear()
        self.highest = view.number
        self.begin(view)
        for member in view.members:
            if member != self.me:
                self.detector.watch(member, self.network.now)
            self.joiners.pop(member.node, None)
        if self.index < view.elders < len(view.members):
            state = State(view.elders, view.members, self.lasts, self.application.snapshot())
            self.handover = wire.write_state(state)
            self.newcomers = dict.fromkeys(view.members[view.elders :])
            if self.index == 0:
                for member in self.newcomers:
                    self.to(member.node, GroupPacketKind.STATE, self.handover)
        self.application.installed(view)
        self.acknowledge(0)
        self.advance()

    def _outside(self) -> None:
        """The group went on without this member, which asks to be let in after a while: what put it out may do so again."""
        self.standing = Standing.LEFT if self.leaving else Standing.JOINING
        self.begin(View(0, (self.me,), 1))
        self.status_at = self.network.now + JOIN_RETRY

    def _receive_join(self, member: Member) -> None:
        if self.standing is not Standing.MEMBER or self.detector.suspects(member):
            return
        if member in self.newcomers and not self._before():
            self.to(member.node, GroupPacketKind.STATE, self.handover)
        elif member not in self.view.members and self.detector.knows(member):
            self.joiners[member.node] = member.incarnation
            self.changed()

    def _receive_state(self, donor: Member, number: int, body: bytes) -> None:
        """Joins; a member that has left meanwhile does so too, only to leave in order."""
        given = wire.read_state(body)
        if self.standing is Standing.MEMBER or number <= self.highest:
            return
        if self.me not in given.members or donor not in given.members[: given.elders]:
            raise PacketError("it is not for this member")
        self.application.restore(given.state)
        self.standing = Standing.MEMBER
        self.lasts = given.lasts
        covered = given.lasts.get(self.me, 0)
        while self.flight and self.flight[0][0] <= covered:
            self.flight.popleft()
            self.settled += 1
        self._enter(View(number, given.members, given.elders))
