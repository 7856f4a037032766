"""The messages of an interface as tables: what the generated modules in `interfaces` consist of. codec.py explains the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import MIG_BAD_ARGUMENTS, MIG_TYPE_ERROR
from machemu.abi.message import Carried
from machemu.abi.types import ByteOrder
from machemu.mig.codec import (
    COUNTED,
    EITHER,
    FIXED,
    OUT_OF_LINE,
    POLYMORPHIC,
    Codec,
    OutOfLine,
    Packed,
    PolyPort,
    Type,
    Values,
    make_codec,
)

__all__ = [
    "COUNTED",
    "EITHER",
    "FIXED",
    "OUT_OF_LINE",
    "POLYMORPHIC",
    "RETCODE",
    "Message",
    "OutOfLine",
    "Packed",
    "PolyPort",
    "Routine",
    "Type",
    "Values",
    "table",
]


class Message:
    """A message's id, its arguments' names, and its codec in either byte order."""

    __slots__ = ("_codecs", "id", "names", "types")

    def __init__(self, msgh_id: int, items: tuple[tuple[str, Type], ...]) -> None:
        self.id = msgh_id
        self.names = tuple(item[0] for item in items)
        self.types = tuple(item[1] for item in items)
        self._codecs: dict[ByteOrder, Codec] = {}

    def unpack(self, order: ByteOrder, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values:
        """The arguments of a request. Nothing is consumed: the caller owns what `carried` holds, also after a failure.

        KernError(MIG_BAD_ARGUMENTS) where size, complex bit or a descriptor is not what the definition says.
        """
        values = self._codec(order).unpack(body, carried, complex_bit)
        if values is None:
            raise KernError(MIG_BAD_ARGUMENTS)
        return values

    def pack(self, order: ByteOrder, values: Sequence[Any]) -> Packed:
        """The body and what it carries; the message is complex exactly where that is not empty. The message owns the rights."""
        return self._codec(order).pack(values)

    def matches(self, order: ByteOrder, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        """As `unpack`, with None for a message of another shape."""
        return self._codec(order).unpack(body, carried, complex_bit)

    def _codec(self, order: ByteOrder) -> Codec:
        codec = self._codecs.get(order)
        if codec is None:
            codec = self._codecs[order] = make_codec(self.types, order)
        return codec


class Routine:
    """One routine of a subsystem. `reply` is None for a simpleroutine; otherwise its first value is RetCode."""

    __slots__ = ("name", "reply", "request")

    def __init__(self, name: str, request: Message, reply: Message | None) -> None:
        self.name = name
        self.request = request
        self.reply = reply

    def unpack_reply(self, order: ByteOrder, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values:
        """What the routine answered, without RetCode; nothing is consumed.

        KernError(RetCode) where that is not 0, KernError(MIG_TYPE_ERROR) for what is no reply to it.
        """
        if self.reply is None:
            raise InvariantError(f"{self.name} has no reply")
        values = self.reply.matches(order, body, carried, complex_bit)
        if values is None:
            values = None if complex_bit else RETCODE.matches(order, body, (), False)
            if values is None or values[0] == 0:
                raise KernError(MIG_TYPE_ERROR)
        if values[0] != 0:
            raise KernError(values[0])
        return values[1:]


_RETCODE_TYPE: Final = Type(2, 2, 32, 1, "i")
RETCODE: Final = Message(0, (("RetCode", _RETCODE_TYPE),))
"""The reply of a routine without results, and of every routine that fails."""


def table(*routines: Routine) -> dict[int, Routine]:
    """A subsystem's routines by request id."""
    return {routine.request.id: routine for routine in routines}
