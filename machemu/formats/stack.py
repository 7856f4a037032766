"""The first stack of a boot module (Mach's build_args_and_stack)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from machemu.abi.types import ByteOrder


def build_stack(top: int, order: ByteOrder, arguments: Sequence[str]) -> tuple[int, bytes]:
    """(stack pointer, bytes from there up to `top`): argc, the argument pointers, 0, no environment and its 0, the strings."""
    strings = [argument.encode("utf-8", "surrogateescape") + b"\0" for argument in arguments]
    words = 1 + len(strings) + 1 + 1
    size = -(-(4 * words + sum(map(len, strings))) // 4) * 4
    pointer = top - size
    place = pointer + 4 * words
    addresses = []
    for string in strings:
        addresses.append(place)
        place += len(string)
    head = struct.pack(f"{order.prefix}{words}I", len(strings), *addresses, 0, 0)
    return pointer, (head + b"".join(strings)).ljust(size, b"\0")
