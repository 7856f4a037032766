"""The rights of a name space that moves, a part of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.sim.state import U32, PortName, state
from machemu.user.mach import Mach
from machemu.user.message import UNNAMED

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
class Arrived:
    """Rights that have come for a task, and the receive rights of those that come with it. Kept until it goes on."""

    __slots__ = ("is_filled", "parts", "receives")
    is_filled: bool  # it has its name space
    parts: dict[U32, Piece]  # what has come, but the receive rights, and is not used
    receives: list[PortName]

    def __init__(self) -> None:
        self.is_filled = False
        self.parts = {}
        self.receives = []

    def take(self) -> Piece:
        """All but the receive rights, which are the caller's."""
        parts, self.parts = self.parts, {}
        pieces = [parts[part] for part in sorted(parts)]
        return Piece((), *[tuple(name for piece in pieces for name in piece[kind]) for kind in range(1, 4)])

    def comes_again(self, mach: Mach, part: int, piece: Piece) -> None:
        """A part whose sender has not heard that it came. Send rights that came before may have died since. KERN_INVALID_ARGUMENT
        where it is another part."""
        before = self.parts.get(part)
        if before is not None:
            if len(before.sends) != len(piece.sends):
                raise KernError(KERN_INVALID_ARGUMENT)
            pairs = list(zip(before.sends, piece.sends, strict=True))
            self.parts[part] = before._replace(sends=tuple([old if new in UNNAMED else new for old, new in pairs]))
            piece = piece._replace(sends=tuple([new if new in UNNAMED else old for old, new in pairs]))
        piece.give_up(mach)


def pieces_of(*kinds: Sequence[PortName]) -> Iterator[Piece]:
    """Rights of the four kinds, so many in a piece as a message may have."""
    each = [(kind, name) for kind, names in enumerate(kinds) for name in names]
    for at in range(0, len(each), PIECE):
        some = each[at : at + PIECE]
        yield Piece(*[tuple(name for its, name in some if its == kind) for kind in range(len(kinds))])
