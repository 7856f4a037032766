"""Guests of a few instructions for each architecture: what tests make threads run, and how words lie in their memory."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import Any, Final

from machemu.abi.message import MSG_TYPE_INTEGER_32, TypeDescriptor
from machemu.abi.types import ByteOrder


class Arch(ABC):
    """An architecture. Its code works with one register for results, where traps leave theirs, and changes others as it likes.

    profile: the machine that tests use. page: bytes of a page. user_end: the first address beyond the user's.
    stay: jumps to itself. undefined: an instruction that there is not, with what exception it is. handler: takes a redirected
    trap, counts it and returns; handled: gives that count as the result. where_redirected: in a handler gives the address after
    the trap. dereference: the result becomes the word at the address that it is.
    """

    name: str
    profile: str
    order: ByteOrder
    page: int
    user_end: int
    stay: bytes
    undefined: bytes
    handler: bytes
    handled: bytes
    where_redirected: bytes
    dereference: bytes

    def pack(self, layout: str, *values: object) -> bytes:
        return struct.pack(self.order.prefix + layout, *values)

    def unpack(self, layout: str, data: bytes | bytearray, offset: int = 0) -> tuple[Any, ...]:
        return struct.unpack_from(self.order.prefix + layout, data, offset)

    def item(self, name: int, size: int, number: int, inline: bool = True) -> int:
        """A mach_msg_type_t."""
        return TypeDescriptor(name, size, number, inline).word(self.order)

    @property
    def integer(self) -> int:
        """The mach_msg_type_t of a 32-bit integer."""
        return self.item(MSG_TYPE_INTEGER_32, 32, 1)

    def long_item(self, name: int, size: int, number: int, inline: bool = True) -> bytes:
        """A mach_msg_type_long_t."""
        return self.pack("IHHI", TypeDescriptor(0, 0, 0, inline, True).word(self.order), name, size, number)

    def count(self, address: int) -> bytes:
        """Counts in the word at an address for ever."""
        return self.repeat(self.increment(address))

    @abstractmethod
    def trap(self, number: int, *arguments: int) -> bytes:
        """Makes a trap with constant arguments, and leaves the stack as it was."""

    @abstractmethod
    def bare_trap(self, number: int) -> bytes:
        """Makes a trap whose arguments, and a return address before them, are what the stack pointer points to."""

    @abstractmethod
    def set_stack(self, pointer: int) -> bytes: ...

    @abstractmethod
    def jump(self, address: int) -> bytes: ...

    @abstractmethod
    def load(self, value: int) -> bytes:
        """The result becomes a constant."""

    @abstractmethod
    def fetch(self, address: int) -> bytes:
        """The result becomes the word at an address."""

    @abstractmethod
    def store(self, address: int) -> bytes:
        """The word at an address becomes the result."""

    @abstractmethod
    def increment(self, address: int) -> bytes:
        """Counts in the word at an address."""

    @abstractmethod
    def repeat(self, code: bytes) -> bytes:
        """Runs code over and over."""

    @abstractmethod
    def spend(self, instructions: int) -> bytes:
        """Runs so many instructions, and one or two more."""

    @abstractmethod
    def touch(self, start: int, pages: int) -> bytes:
        """Counts in the first word of each page, and writes the page's address into the second."""

    @abstractmethod
    def check(self, start: int, pages: int, wrong: int) -> bytes:
        """Counts in the first word of each page, and at `wrong` for each whose second word is not its address."""


class I386Arch(Arch):
    name = "i386"
    profile = "pc486dx2-66"
    order = ByteOrder.LITTLE
    page = 4096
    user_end = 0xC0000000
    stay = b"\xeb\xfe"
    undefined = b"\x0f\x0b"
    handler = b"\x43\x83\xc4\x04\xc3"
    handled = b"\x89\xd8"
    where_redirected = b"\x8b\x44\x24\x04"
    dereference = b"\x8b\x00"

    def trap(self, number: int, *arguments: int) -> bytes:
        pushes = b"".join(b"\x68" + self.pack("I", argument & 0xFFFFFFFF) for argument in reversed((0, *arguments)))
        return pushes + self.bare_trap(number) + b"\x81\xc4" + self.pack("I", 4 + 4 * len(arguments))

    def bare_trap(self, number: int) -> bytes:
        return b"\xb8" + self.pack("i", -number) + b"\x9a\0\0\0\0\x07\0"

    def set_stack(self, pointer: int) -> bytes:
        return b"\xbc" + self.pack("I", pointer)

    def jump(self, address: int) -> bytes:
        return b"\x68" + self.pack("I", address) + b"\xc3"

    def load(self, value: int) -> bytes:
        return b"\xb8" + self.pack("I", value)

    def fetch(self, address: int) -> bytes:
        return b"\xa1" + self.pack("I", address)

    def store(self, address: int) -> bytes:
        return b"\xa3" + self.pack("I", address)

    def increment(self, address: int) -> bytes:
        return b"\xff\x05" + self.pack("I", address)

    def repeat(self, code: bytes) -> bytes:
        return code + b"\xe9" + self.pack("i", -len(code) - 5)

    def spend(self, instructions: int) -> bytes:
        return b"\xb9" + self.pack("I", instructions) + b"\xe2\xfe"

    def touch(self, start: int, pages: int) -> bytes:
        return self._pages(start, pages, b"\xff\x03\x89\x5b\x04")

    def check(self, start: int, pages: int, wrong: int) -> bytes:
        return self._pages(start, pages, b"\xff\x03\x39\x5b\x04\x74\x06" + self.increment(wrong))

    def _pages(self, start: int, pages: int, code: bytes) -> bytes:
        """Runs code with the address of each page in ebx, counting down in ecx."""
        code += b"\x81\xc3" + self.pack("I", self.page) + b"\x49"
        return b"\xbb" + self.pack("I", start) + b"\xb9" + self.pack("I", pages) + code + b"\x75" + self.pack("b", -len(code) - 2)


class M68kArch(Arch):
    name = "m68k"
    profile = "mc68040-25"
    order = ByteOrder.BIG
    page = 8192
    user_end = 0xFFFFE000
    stay = b"\x60\xfe"
    undefined = b"\x4a\xfc"
    handler = b"\x52\x82\x58\x8f\x4e\x77"
    handled = b"\x20\x02"
    where_redirected = b"\x20\x2f\x00\x06"
    dereference = b"\x20\x40\x20\x10"

    def trap(self, number: int, *arguments: int) -> bytes:
        pushes = b"".join(b"\x2f\x3c" + self.pack("I", argument & 0xFFFFFFFF) for argument in reversed((0, *arguments)))
        return pushes + self.bare_trap(number) + b"\x4f\xef" + self.pack("h", 4 + 4 * len(arguments))

    def bare_trap(self, number: int) -> bytes:
        return b"\x2f\x3c" + self.pack("i", -number) + b"\x4e\x40"

    def set_stack(self, pointer: int) -> bytes:
        return b"\x2e\x7c" + self.pack("I", pointer)

    def jump(self, address: int) -> bytes:
        return b"\x4e\xf9" + self.pack("I", address)

    def load(self, value: int) -> bytes:
        return b"\x20\x3c" + self.pack("I", value)

    def fetch(self, address: int) -> bytes:
        return b"\x20\x39" + self.pack("I", address)

    def store(self, address: int) -> bytes:
        return b"\x23\xc0" + self.pack("I", address)

    def increment(self, address: int) -> bytes:
        return b"\x52\xb9" + self.pack("I", address)

    def repeat(self, code: bytes) -> bytes:
        return code + b"\x60\xff" + self.pack("i", -len(code) - 2)

    def spend(self, instructions: int) -> bytes:
        return b"\x22\x3c" + self.pack("I", instructions // 2) + b"\x53\x81\x66\xfc"

    def touch(self, start: int, pages: int) -> bytes:
        return self._pages(start, pages, b"\x52\x90\x21\x48\x00\x04")

    def check(self, start: int, pages: int, wrong: int) -> bytes:
        return self._pages(start, pages, b"\x52\x90\xb1\xe8\x00\x04\x67\x06" + self.increment(wrong))

    def _pages(self, start: int, pages: int, code: bytes) -> bytes:
        """Runs code with the address of each page in a0, counting down in d1."""
        code += b"\xd1\xfc" + self.pack("I", self.page) + b"\x53\x81"
        head = b"\x20\x7c" + self.pack("I", start) + b"\x22\x3c" + self.pack("I", pages)
        return head + code + b"\x66" + self.pack("b", -len(code) - 2)


I386: Final[Arch] = I386Arch()
M68K: Final[Arch] = M68kArch()
ARCHS: Final = {arch.name: arch for arch in (I386, M68K)}
