"""Uniform reliable FIFO broadcast inside one view.

Each member's messages are numbered. Every member tells the others how many of each sender's it has received without a gap, and
a message is handed up once a quorum of the view has it: the agreement that ends the view hears a quorum, so it learns of every
message that anybody, even one that crashed right after, has handed up. Because these acknowledgements are counts, a sender's
order comes with them, and no layer of its own has to make it.
"""

from __future__ import annotations

from typing import Final

from machemu.sim.state import state
from masix.groups.wire import Message, Vector

WINDOW: Final = 32
WINDOW_BYTES: Final = 128 << 10
"""Messages and bytes of one sender that some member may not have received yet; then the sender waits."""
RESERVED: Final = 4
"""Messages of the window that only the protocol's own may use."""
AHEAD: Final = 4 * WINDOW
"""Messages of one sender that are kept at most; the sender may know of acknowledgements that got lost on their way to here."""


@state
class Reliable:
    """Messages of a view's members, each delivered to all or sent again."""

    __slots__ = ("bodies", "floor", "half", "handed", "me", "rows", "size", "waiting")
    size: int  # members of the view
    me: int  # this one's index
    half: tuple[int, ...]  # exactly half of the members, when all others are known to be dead

    # By sender:
    bodies: list[dict[int, bytes]]  # by number: what has not been received by all
    floor: list[int]  # the last number that all members have
    handed: list[int]  # the last number that was handed up

    rows: list[list[int]]  # by member, of each sender the last number without a gap before it, as far as it is known here
    waiting: int  # bytes of this member's own messages that not all have

    def __init__(self, size: int, me: int, base: Vector) -> None:
        self.size = size
        self.me = me
        self.half = ()
        self.bodies = [{} for _ in base]
        self.rows = [list(base) for _ in base]
        self.floor = list(base)
        self.handed = list(base)
        self.waiting = 0

    @property
    def received(self) -> list[int]:
        return self.rows[self.me]

    def room(self, size: int, reserved: int = RESERVED) -> bool:
        """Whether this member may send a message of `size` bytes now."""
        unstable = self.received[self.me] - self.floor[self.me]
        return unstable + reserved < WINDOW and (not unstable or self.waiting + size <= WINDOW_BYTES)

    def send(self, body: bytes) -> int:
        """Enters a message of this member's own; the number under which it is to be sent to the others."""
        number = self.received[self.me] + 1
        self.waiting += len(body)
        self.accept(self.me, number, body)
        return number

    def accept(self, sender: int, number: int, body: bytes) -> list[bytes]:
        """Takes a message, in any order, any number of times; those that are now received without a gap before them."""
        received, bodies = self.received, self.bodies[sender]
        if not received[sender] < number <= self.floor[sender] + AHEAD or number in bodies:
            return []
        bodies[number] = body
        news = []
        while received[sender] + 1 in bodies:
            received[sender] += 1
            news.append(bodies[received[sender]])
        return news

    def told(self, member: int, row: Vector) -> None:
        """`member` has received `row`. What is older than what is known already changes nothing."""
        mine = self.rows[member]
        for sender in range(self.size):
            if row[sender] > mine[sender]:
                mine[sender] = row[sender]
                self._settle(sender)

    def _settle(self, sender: int) -> None:
        """Forgets what all members have and this one has handed up."""
        floor = min(self.handed[sender], *(row[sender] for row in self.rows))
        bodies = self.bodies[sender]
        while self.floor[sender] < floor:
            self.floor[sender] += 1
            body = bodies.pop(self.floor[sender])
            if sender == self.me:
                self.waiting -= len(body)

    def stable(self) -> list[Message]:
        """What can be handed up by now and was not before, each sender's in order."""
        found: list[Message] = []
        for sender in range(self.size):
            if self.received[sender] > self.handed[sender]:
                found += self._hand(sender, min(self.received[sender], self._level(sender)))
        return found

    def _level(self, sender: int) -> int:
        """The last message of a sender that a quorum has: more than half, or that half which alone is left alive."""
        column = sorted((row[sender] for row in self.rows), reverse=True)
        level = column[self.size // 2]
        if self.half:
            level = max(level, min(self.rows[member][sender] for member in self.half))
        return level

    def _hand(self, sender: int, level: int) -> list[Message]:
        found = []
        while self.handed[sender] < level:
            self.handed[sender] += 1
            found.append((sender, self.handed[sender], self.bodies[sender][self.handed[sender]]))
        if found:
            self._settle(sender)
        return found

    def lacking(self, member: int) -> list[tuple[int, bytes]]:
        """Number and body of this member's own messages that `member` is not known to have."""
        first = self.rows[member][self.me] + 1
        return [(number, self.bodies[self.me][number]) for number in range(first, self.received[self.me] + 1)]

    def settled(self) -> bool:
        """All that was received here was received by all, as far as is known here."""
        return not any(self.bodies)

    def unstable(self) -> tuple[Message, ...]:
        """All that was received without a gap and that some member may lack."""
        return tuple(
            (sender, number, body)
            for sender, bodies in enumerate(self.bodies)
            for number, body in sorted(bodies.items())
            if number <= self.received[sender]
        )

    def covers(self, cut: Vector, messages: tuple[Message, ...]) -> bool:
        """With `messages`, this member has all up to `cut` and nothing beyond it was handed up."""
        given = {(sender, number) for sender, number, _ in messages}
        return all(
            self.handed[sender] <= last
            and all((sender, number) in given for number in range(self.received[sender] + 1, last + 1))
            for sender, last in enumerate(cut)
        )

    def flush(self, cut: Vector, messages: tuple[Message, ...]) -> list[Message]:
        """The view's rest, up to `cut`, which this member and `messages` cover. Nothing may be sent or accepted afterwards."""
        for sender, number, body in messages:
            if number > self.received[sender]:
                self.bodies[sender][number] = body
        return [
            (sender, number, self.bodies[sender][number])
            for sender, last in enumerate(cut)
            for number in range(self.handed[sender] + 1, last + 1)
        ]
