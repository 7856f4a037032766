"""Keeps guests from encodings that Unicorn's translator aborts on, or takes for instructions that they are not.

Unicorn asks for code byte by byte while it translates a block. Before each instruction the guard looks at it, and puts others'
bytes in the place of those that Unicorn must not see (`screen` says which), until the next instruction:

- LOCK where the manual does not allow it, and what the processor has not, as an instruction that there is not. Unicorn ignores
  that LOCK, or ends the process.
- What the processor refuses or the CPU sees to itself, as a privileged instruction: Unicorn's `ins` stores a zero before it asks
  whether the port may be used.
- A breakpoint in a segment that does not begin at address 0, as a privileged instruction: Unicorn finds breakpoints by linear
  addresses, compares them with EIP when it comes there, and never goes on where they differ.

It also sees to it that only a block's first instruction reaches into another page. Unicorn fetches all of a block before it runs
any of it: a fault of a later fetch would come before the instructions ahead of it are done. And where the resume flag is set, a
block has one instruction, since that is how long the flag holds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from machemu.machine import accel, translator
from machemu.machine import engine as uc
from machemu.machine.i386 import layout
from machemu.machine.i386.engine import FLAG_SOURCES, I386Engine
from machemu.machine.i386.pmap import PAGE_SIZE
from machemu.machine.i386.screen import AGAIN, ESCAPE, LONGEST, PRIVILEGED, SUSPECT, SUSPECT_SECOND, is_whole, screened
from machemu.machine.translator import U32, U64, X86

_, NEXT, DONE, MOST = X86
BASE, FLAGS = 8, 16
"""Where in a TranslationBlock are the base of its code segment, 8 bytes, and the processor's flags, 4 bytes."""
RESUME: Final = 0x10000
PAGE_END: Final = PAGE_SIZE - 2 * LONGEST + 2
"""In a page, from where on an instruction may have one behind it that reaches into the next page."""


class Unreadable(Exception):
    """A byte is not in memory, or not known as code yet."""


class Guard(translator.Watcher):
    """On one engine."""

    works: bool  # whether this host and this build of Unicorn let it; otherwise nothing is guarded
    _memory: memoryview  # the engine's RAM
    _fetch: Callable[[int], int]  # where in it the byte of a virtual address is that a translation may read now, -1 for others

    # What the thread is and wants:
    lets: int | None  # the linear address of the one instruction that is translated as itself, if it is to be shown as privileged
    is_v86: bool  # it is in V86 mode
    stops: frozenset[int]  # the linear addresses of breakpoints
    is_alone: bool  # each instruction is a block: a hook may end the run behind it

    # While an instruction is translated:
    replaced: list[tuple[int, int]]  # what memory does not show, places and bytes

    def __init__(self, engine: I386Engine, memory: memoryview, fetch: Callable[[int], int]) -> None:
        self._engine = engine
        self._blocks = engine.blocks
        self._memory = memory
        self._fetch = fetch
        self.replaced = []
        self._end = 0
        self._page = self._frame = -1
        self._resumes = False
        self.lets = None
        self.is_v86 = self.is_alone = False
        self.stops = frozenset()
        native = accel.for_a_cpu()
        self._screen: Any = None
        if native is not None:
            ram = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            self._screen = native.Screen(self, self.replaced, fetch, ram, len(memory), SUSPECT, SUSPECT_SECOND)
        self.works = translator.watch("x86_64", self._screen or self, partial(translate_loop, engine)) != 0

    def close(self) -> None:
        translator.unwatch(self._screen or self)

    def watch(self, stops: frozenset[int], is_alone: bool) -> None:
        """What the thread wants from now on."""
        self.stops, self.is_alone = stops, is_alone
        if self._screen is not None:
            self._screen.all = bool(stops) or is_alone

    def begin(self, block: int) -> None:
        """accel/screen.c does the same, where no breakpoint is set."""
        if self.replaced:
            self.put_back()
        address = U64.from_address(block + NEXT).value
        done = U32.from_address(block + DONE).value
        if done == 1:
            self._resumes = bool(_flags(block) & RESUME)
        if self._resumes or self.is_alone or address % PAGE_SIZE >= PAGE_END:
            U32.from_address(block + MOST).value = done
        if done == 1 or address - self._page >= PAGE_SIZE:
            self._page = address & -PAGE_SIZE
            self._frame = self._fetch(self._page)
        if self._frame < 0:
            return
        place = self._frame + address - self._page
        if address in self.stops and not self._resumes and _base(block):
            self._replace([place], PRIVILEGED)
            self._end = address + 1
            return
        first = self._memory[place]
        try:
            suspect = SUSPECT_SECOND[self._byte(address + 1)] if first == ESCAPE else SUSPECT[first]
        except Unreadable:
            return
        if suspect:
            self.look(block)

    def look(self, block: int) -> None:
        """Looks at the whole of the instruction that is about to be translated."""
        address = U64.from_address(block + NEXT).value
        done = U32.from_address(block + DONE).value

        def code(distance: int) -> int:
            return self._byte(address + distance)

        try:
            shown = screened(code, self.is_v86, done == 1)
            if shown is None and is_whole(code):
                U32.from_address(block + MOST).value = done
                if self._blocks is not None:
                    self._blocks.keep(FLAG_SOURCES)
            if shown is not None and shown.data == AGAIN:
                if self._blocks is None or self._engine.is_watched(address):  # no jump is needed where Unicorn calls someone
                    return
                self._blocks.leave_out(block)
            if shown is not None and not (shown.data == PRIVILEGED and address == self.lets):
                self._replace([self._place(address + shown.at + n) for n in range(len(shown.data))], shown.data)
                self._end = address + shown.decided if shown.decided else 0
        except Unreadable:
            return

    def end_instructions(self, block: int) -> None:
        """Of what ends a block, the bytes that decided so are the block's, too."""
        if self.replaced:
            self.put_back()
            if self._end:
                U64.from_address(block + NEXT).value = self._end

    def refuses_breakpoint(self, block: int) -> bool:
        return _base(block) != 0

    def put_back(self) -> None:
        """Memory is as it was. A translation that was broken off, for code that is not in memory, leaves it to others to ask."""
        for place, byte in self.replaced:
            self._memory[place] = byte
        self.replaced.clear()

    def _byte(self, address: int) -> int:
        return self._memory[self._place(address)]

    def _place(self, address: int) -> int:
        place = self._fetch(address)
        if place < 0:
            raise Unreadable
        return place

    def _replace(self, places: list[int], replaced: bytes) -> None:
        for place, byte in zip(places, replaced, strict=True):
            self.replaced.append((place, self._memory[place]))
            self._memory[place] = byte


def _base(block: int) -> int:
    return U64.from_address(U64.from_address(block).value + BASE).value


def _flags(block: int) -> int:
    return U32.from_address(U64.from_address(block).value + FLAGS).value


def translate_loop(engine: I386Engine) -> None:
    """Has an engine translate code of the kernel's that is in memory: nothing leaves that by longjmp."""
    engine.flush_translations()
    uc.check(engine.start(layout.SPIN, 1), "a loop")
    engine.counter.value = 0
