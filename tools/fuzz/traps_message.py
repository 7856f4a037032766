"""Messages to the kernel as bytes: a routine's arguments behind their descriptors, as a client's stub would write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from machemu.abi.message import MSGH_BITS_COMPLEX, TypeDescriptor, msgh_bits
from machemu.abi.types import ByteOrder
from machemu.mig.codec import COUNTED, EITHER, FIXED, Type

PIECE_MAX: Final = 0x2000


@dataclass
class Rights:
    """Names with what becomes of them; one, or an array's."""

    names: Sequence[int]
    disposition: int


@dataclass
class Body:
    """A body that grows. memory: where what goes out of line may lie; writes: what must be put there."""

    order: ByteOrder
    memory: int
    data: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    is_complex: bool = False

    def add(self, kind: Type, value: Any) -> None:
        """An argument: an integer, a tuple of a struct, bytes, a list of elements, or Rights."""
        name = kind.send if kind.send >= 0 else kind.receive
        if isinstance(value, Rights):
            name = value.disposition
            number = len(value.names)
            data = struct.pack(f"{self.order.prefix}{number}I", *value.names)
            self.is_complex = True
        else:
            data, number = self._data(kind, value)
        inline = kind.form in (FIXED, COUNTED) or (kind.form == EITHER and number <= kind.limit)
        descriptor = TypeDescriptor(name, kind.size, number, inline, kind.longform)
        if kind.longform:
            self.data += struct.pack(self.order.prefix + "IHHI", descriptor.word(self.order), name & 0xFFFF, kind.size, number)
        else:
            self.data += struct.pack(self.order.prefix + "I", descriptor.word(self.order))
        if inline:
            self.data += data + bytes(-len(data) % 4)
        else:
            self._out_of_line(data)

    def _data(self, kind: Type, value: Any) -> tuple[bytes, int]:
        if isinstance(value, bytes):
            if kind.form == FIXED:
                return value.ljust(kind.size * kind.number // 8, b"\0"), kind.number
            return value, len(value)
        values = [value] if kind.form == FIXED else list(value)
        words = [word for each in values for word in (each if isinstance(each, tuple) else (each,))]
        code = kind.format[-1].upper()
        mask = (1 << 8 * struct.calcsize("=" + code)) - 1
        return struct.pack(f"{self.order.prefix}{len(words)}{code}", *(word & mask for word in words)), kind.number * len(values)

    def _out_of_line(self, data: bytes) -> None:
        self.is_complex = True
        data = data[:PIECE_MAX]
        self.data += struct.pack(self.order.prefix + "I", self.memory if data else 0)
        if data:
            self.writes.append((self.memory, data))
            self.memory += len(data) + -len(data) % 16

    def message(self, remote: tuple[int, int], local: tuple[int, int], msgh_id: int) -> bytes:
        """The message. remote, local: names and dispositions, 0 and 0 for none."""
        bits = msgh_bits(remote[1], local[1], MSGH_BITS_COMPLEX if self.is_complex else 0)
        words = (bits, 24 + len(self.data), remote[0], local[0], 0, msgh_id & 0xFFFFFFFF)
        return struct.pack(self.order.prefix + "6I", *words) + bytes(self.data)
