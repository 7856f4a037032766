"""The agreement by which a view ends: one value, once, though coordinators crash and are falsely suspected.

Single-decree Paxos among the view's members, with Chandra and Toueg's rotating coordinator: ballot b belongs to member (b - 1)
mod n. It is safe whatever the failure detector says, and ends once the detector is right about one member and a quorum is up. A
promise carries what its member has received, so that the first phase is the view's flush as well (Schiper and Sandoz).
"""

from __future__ import annotations

from machemu.sim.state import state
from masix.groups.wire import Promise


@state
class Agreement:
    """One member's part."""

    __slots__ = (
        "accepted",
        "accepted_ballot",
        "accepts",
        "attempts",
        "ballot",
        "me",
        "promised",
        "promises",
        "proposal",
        "rounds",
        "seen",
        "size",
    )
    size: int  # members
    me: int  # this one's index

    # As one who is asked:
    promised: int  # the highest ballot answered; 0 while the view is whole
    accepted_ballot: int  # that of the value accepted last, 0 for none
    accepted: bytes  # that value
    seen: int  # the highest ballot heard of

    # As the coordinator:
    ballot: int  # that which it coordinates, or 0
    promises: dict[int, Promise]  # who answered it, as the next
    accepts: dict[int, None]
    proposal: bytes | None  # its value in the second phase
    rounds: int  # ballots begun here
    attempts: int  # times that the present phase was sent

    def __init__(self, size: int, me: int) -> None:
        self.size = size
        self.me = me
        self.promised = 0
        self.accepted_ballot = 0
        self.accepted = b""
        self.seen = 0
        self.rounds = 0
        self.abandon()

    def abandon(self) -> None:
        """This member coordinates no longer."""
        self.ballot = 0
        self.promises = {}
        self.accepts = {}
        self.proposal = None
        self.attempts = 0

    def start(self) -> int:
        """Begins a ballot of this member's own, above all that it knows of."""
        self.abandon()
        above = max(self.seen, self.promised)
        self.ballot = above + 1 + (self.me - above) % self.size
        self.rounds += 1
        return self.ballot

    def prepare(self, ballot: int) -> bool:
        """Promises to accept nothing below `ballot`, if nothing higher was promised."""
        self.seen = max(self.seen, ballot)
        if ballot < self.promised:
            return False
        self.promised = ballot
        if self.ballot != ballot:
            self.abandon()
        return True

    def accept(self, ballot: int, value: bytes) -> bool:
        """Accepts a value, if nothing higher was promised."""
        if not self.prepare(ballot):
            return False
        self.accepted_ballot, self.accepted = ballot, value
        return True

    def refused(self, ballot: int) -> bool:
        """Somebody has promised `ballot`; whether that ends what this member coordinates."""
        self.seen = max(self.seen, ballot)
        if not 0 < self.ballot < ballot:
            return False
        self.abandon()
        return True

    def propose(self, value: bytes) -> None:
        """Goes on to the second phase, this member's own acceptance first."""
        self.accept(self.ballot, value)
        self.proposal = value
        self.accepts = {self.me: None}
        self.attempts = 0

    def bound(self) -> bytes | None:
        """The value that a ballot with these promises must propose, if any."""
        last = max(self.promises.values(), key=lambda promise: promise.accepted_ballot)
        return last.accepted if last.accepted_ballot else None
