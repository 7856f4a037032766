"""The rights of a name space that moves, a part of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.sim.state import U32, PortName, Right, SendRight, state
from machemu.user.mach import Mach
from machemu.user.message import UNNAMED, Caller

PIECE: Final = 1000
"""Rights in a message; network servers bound them."""


@state
class Piece(NamedTuple):
    """Rights that go together in one message."""

    receives: tuple[PortName, ...]
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]

    def give_up(self, mach: Mach) -> None:
        kinds = MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE, MOVE_SEND_ONCE
        mach.give_up((name, kind) for names, kind in zip(self, kinds, strict=True) for name in names)


@state
class Going(NamedTuple):
    """Rights that go. controls: of the tasks whose they are; made: what is to have them; pieces: those that go next, of which the
    first one has the number `part`. lasts: this manager keeps all but send-once rights, until the other one has them. ahead: only
    copies of send rights go."""

    caller: Caller
    controls: tuple[SendRight, ...]
    there: Right
    made: Right
    pieces: tuple[Piece, ...]
    part: U32
    lasts: bool
    ahead: bool = False


@state
class Extracted(NamedTuple):
    """What has been taken out of a name space. receives: of those that last. has_gone: all of it."""

    words: bytes
    receives: tuple[PortName, ...]
    number_of_receives: U32  # of those and others
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]
    has_gone: bool = False


@state
class Special(NamedTuple):
    """The special ports of a task that goes, and its threads', as `_special` gives them. clients: those which are the name
    server's; candidates: those which may be. first: the right to the first of the tasks that go."""

    names: tuple[PortName, ...]
    candidates: tuple[PortName, ...]
    clients: tuple[PortName, ...]
    first: Right


@state
class Filling(NamedTuple):
    """What the other node's manager is to make of the rights that have come there."""

    first: Right
    receives: U32
    words: bytes
    kinds: tuple[U32, ...]
    special: tuple[PortName, ...]  # the names among them that are given up, unless they went


@state
class Coming(NamedTuple):
    """A name space that comes. sends: with what is bound here; distant: those that may lead to other nodes; kinds: theirs."""

    caller: Caller
    made: Right
    words: bytes
    receives: tuple[PortName, ...]
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]
    distant: tuple[PortName, ...]
    kinds: tuple[U32, ...]


@state
class Arrived:
    """Rights that have come for a task, and the receive rights of those that come with it. Kept until it goes on."""

    __slots__ = ("is_filled", "parts", "receives")
    is_filled: bool  # it has its name space
    parts: dict[U32, Piece]  # what has come, and is not used
    receives: list[PortName]  # those that are next, once one of the tasks has its name space

    def __init__(self) -> None:
        self.is_filled = False
        self.parts = {}
        self.receives = []

    def take(self) -> Piece:
        """All that is not used, which is the caller's."""
        parts, self.parts = self.parts, {}
        rights = [tuple(name for part in sorted(parts) for name in parts[part][kind]) for kind in range(4)]
        return Piece(*rights)

    def take_receives(self, count: int) -> tuple[PortName, ...]:
        """So many receive rights of the next task, which are the caller's; fewer where there are not as many."""
        for part in sorted(self.parts):
            self.receives += self.parts[part].receives
            self.parts[part] = self.parts[part]._replace(receives=())
        its, self.receives = tuple(self.receives[:count]), self.receives[count:]
        return its

    def comes_again(self, mach: Mach, part: int, piece: Piece) -> None:
        """A part that went ahead, or of which its sender has not heard that it came whole. Send rights that came before may have
        died since, and receive rights on their way. KERN_INVALID_ARGUMENT where it is another part."""
        before = self.parts.get(part)
        if before is not None:
            if len(before.sends) != len(piece.sends) or (before.receives and len(before.receives) != len(piece.receives)):
                raise KernError(KERN_INVALID_ARGUMENT)
            sends, old_sends = merged(piece.sends, before.sends)
            receives, more_receives = merged(before.receives, piece.receives) if before.receives else ((), piece.receives)
            is_known = bool(before.onces or before.requests)
            onces, requests = before[2:] if is_known else piece[2:]
            self.parts[part] = Piece(receives, sends, onces, requests)
            piece = Piece(more_receives, old_sends, *(piece[2:] if is_known else ((), ())))
        piece.give_up(mach)


def merged(first: Sequence[PortName], second: Sequence[PortName]) -> tuple[tuple[PortName, ...], tuple[PortName, ...]]:
    """Of each pair the first one, or the second where that is no right; and the other ones."""
    pairs = list(zip(first, second, strict=True))
    kept = tuple([two if one in UNNAMED else one for one, two in pairs])
    return kept, tuple([one if one in UNNAMED else two for one, two in pairs])


def pieces_of(*kinds: Sequence[PortName]) -> Iterator[Piece]:
    """Rights of the four kinds, so many in a piece as a message may have."""
    each = [(kind, name) for kind, names in enumerate(kinds) for name in names]
    for at in range(0, len(each), PIECE):
        some = each[at : at + PIECE]
        yield Piece(*[tuple(name for its, name in some if its == kind) for kind in range(len(kinds))])
