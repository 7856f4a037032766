"""Programs in tasks: where the parts of an executable go, and where its first thread begins."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from machemu.abi.types import ByteOrder
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.formats.elf import parse_image
from machemu.formats.stack import build_stack
from machemu.sim.state import U8, U32, state

ADDRESSES: Final = 1 << 32
STACK_SIZE: Final = 1 << 16
I386_REGS_SEGS_STATE: Final = 5
EIP, UESP = 12, 15
"""The words of that flavor that say where a thread goes on and where its stack is."""
M68K_THREAD_STATE, M68K_EXCEPTION_FRAME = 1, 3
A7: Final = 15


@state
class Part(NamedTuple):
    """Whole pages of a task's memory. data: what is written there, from its begin on; zeros follow."""

    address: U32
    size: U32
    data: bytes
    protection: U8


def architecture(order: ByteOrder) -> str:
    """Of the machines that there are: each byte order has one."""
    return "i386" if order is ByteOrder.LITTLE else "m68k"


def parts(path: str, data: bytes, order: ByteOrder, page_size: int) -> tuple[int, list[Part]]:
    """The entry of an executable, and its memory. UserError for what is none for this machine."""
    image = parse_image(path, data, ADDRESSES, page_size, architecture(order))
    found = []
    for segment in image.segments:
        lead = segment.address % page_size
        content = bytes(lead) + segment.data
        content = content.ljust(_whole(len(content), page_size), b"\0")
        found.append(Part(segment.address - lead, _whole(lead + segment.size, page_size), content, segment.protection))
    return image.entry, found


def first_stack(top: int, order: ByteOrder, page_size: int, arguments: Sequence[str]) -> tuple[int, Part]:
    """The stack pointer, and the pages below `top` that hold the arguments."""
    pointer, data = build_stack(top, order, arguments)
    address = pointer - pointer % page_size
    return pointer, Part(address, top - address, bytes(pointer - address) + data, VM_PROT_READ | VM_PROT_WRITE)


def begin(order: ByteOrder, entry: int, pointer: int) -> tuple[tuple[int, dict[int, int]], ...]:
    """By flavor of a thread's state, in order, which words have to be what for it to begin."""
    if order is ByteOrder.LITTLE:
        return ((I386_REGS_SEGS_STATE, {EIP: entry, UESP: pointer}),)
    first, second = struct.unpack(">2I", struct.pack(">HIH", 0, entry, 0))
    return (M68K_THREAD_STATE, {A7: pointer}), (M68K_EXCEPTION_FRAME, {0: first, 1: second})


def _whole(size: int, page_size: int) -> int:
    return -(-size // page_size) * page_size
