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

It finds the translator's functions (QEMU's TranslatorOps) once a process, by the function that they are given to.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, Final

from machemu.machine import engine as uc
from machemu.machine import interpose
from machemu.machine.i386 import layout
from machemu.machine.i386.engine import I386Engine
from machemu.machine.i386.pmap import PAGE_SIZE
from machemu.machine.i386.screen import ESCAPE, LONGEST, PRIVILEGED, SUSPECT, SUSPECT_SECOND, screened

LOOP: Final = "translator_loop_x86_64"
SLOTS: Final = 7
INSTRUCTION, BREAKPOINT, BLOCK_END = 2, 3, 5
"""Of a TranslatorOps' pointers: what is called before each instruction, then at a breakpoint, and behind the last instruction."""
BLOCK, BLOCK_BASE, BLOCK_FLAGS = 0, 8, 16
"""Where in a block's DisasContextBase the address of its TranslationBlock is, 8 bytes; and in that the base of its code segment,
8 bytes, and the processor's flags, 4 bytes."""
NEXT: Final = 16
"""Where in a block's DisasContextBase the address of the next instruction to translate is, 8 bytes."""
DONE, MOST = 28, 32
"""And how many instructions of the block are translated, the next one with them, and how many may be, 4 bytes each."""
RESUME: Final = 0x10000
PAGE_END: Final = PAGE_SIZE - 2 * LONGEST + 2
"""In a page, from where on an instruction may have one behind it that reaches into the next page."""

_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_POINTER = ctypes.c_void_p
_U64 = ctypes.c_uint64
_U32 = ctypes.c_uint32
LOOP_SIGNATURE: Final = (None, _POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int)
_CALLBACK = ctypes.CFUNCTYPE(None, _POINTER, _POINTER)
_CALL = ctypes.PYFUNCTYPE(None, _POINTER, _POINTER)
"""void (DisasContextBase *, CPUState *), to be called and to call."""
_CHECK_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_bool, _POINTER, _POINTER, _POINTER)
_CHECK = ctypes.PYFUNCTYPE(ctypes.c_bool, _POINTER, _POINTER, _POINTER)
"""bool (DisasContextBase *, CPUState *, const CPUBreakpoint *): whether the breakpoint is met."""

_guards: dict[int, Guard] = {}
"""By the address of their engine's CPUState."""
_new: list[Guard] = []
"""The guard whose CPU's address is not known yet; no other engine translates meanwhile."""
_kept: list[Any] = []
"""What the library holds addresses of; empty until the guards are in it."""


class Unreadable(Exception):
    """A byte is not in memory, or not known as code yet."""


class Guard:
    """On one engine."""

    works: bool  # whether this host and this build of Unicorn let it; otherwise nothing is guarded
    _memory: memoryview  # the engine's RAM
    _fetch: Callable[[int], int]  # where in it the byte of a virtual address is that a translation may read now, -1 for others

    # What the thread is and wants:
    lets: bool  # what is shown as privileged is translated as itself
    is_v86: bool  # it is in V86 mode
    stops: frozenset[int]  # the linear addresses of breakpoints

    # While an instruction is translated:
    replaced: list[tuple[int, int]]  # what memory does not show, places and bytes

    def __init__(self, engine: I386Engine, memory: memoryview, fetch: Callable[[int], int]) -> None:
        self._memory = memory
        self._fetch = fetch
        self.replaced = []
        self._end = 0
        self._page = self._frame = -1
        self._resumes = False
        self.lets = self.is_v86 = False
        self.stops = frozenset()
        self.works = bool(_kept) or _install(engine)
        if self.works:
            _new.append(self)
            _translate_loop(engine)
            _new.clear()

    def close(self) -> None:
        for cpu in [cpu for cpu, guard in _guards.items() if guard is self]:
            del _guards[cpu]

    def begin(self, block: int) -> None:
        """The next instruction of a block (DisasContextBase) is about to be translated."""
        if self.replaced:
            self.put_back()
        address = _U64.from_address(block + NEXT).value
        done = _U32.from_address(block + DONE).value
        if done == 1:
            self._resumes = bool(_flags(block) & RESUME)
        if self._resumes or address % PAGE_SIZE >= PAGE_END:
            _U32.from_address(block + MOST).value = done
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
            if not (SUSPECT_SECOND[self._byte(address + 1)] if first == ESCAPE else SUSPECT[first]):
                return
            shown = screened(lambda distance: self._byte(address + distance), self.is_v86, done == 1)
            if shown is not None and not (shown.data == PRIVILEGED and self.lets):
                self._replace([self._place(address + shown.at + n) for n in range(len(shown.data))], shown.data)
                self._end = address + shown.decided if shown.decided else 0
        except Unreadable:
            return

    def end(self, block: int) -> None:
        """A block is translated. Of what ends one, the bytes that decided so are the block's, too."""
        if self.replaced:
            self.put_back()
            if self._end:
                _U64.from_address(block + NEXT).value = self._end

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
    return _U64.from_address(_U64.from_address(block + BLOCK).value + BLOCK_BASE).value


def _flags(block: int) -> int:
    return _U32.from_address(_U64.from_address(block + BLOCK).value + BLOCK_FLAGS).value


def _translate_loop(engine: I386Engine) -> None:
    """Has an engine translate code of the kernel's that is in memory: nothing leaves that by longjmp."""
    engine.flush_translations()
    uc.check(engine.start(layout.SPIN, 1), "a loop")
    engine.counter.value = 0


def _install(engine: I386Engine) -> bool:
    """Puts the guards into the translator."""
    found: list[int] = []

    def loop(functions: int, *arguments: Any) -> None:
        found.append(functions)
        original(functions, *arguments)

    before = interpose.replace(LOOP, ctypes.CFUNCTYPE(*LOOP_SIGNATURE)(loop))
    if before is None:
        return False
    original = ctypes.PYFUNCTYPE(*LOOP_SIGNATURE)(before)
    _translate_loop(engine)
    interpose.replace(LOOP, before)
    functions = (_U64 * SLOTS).from_address(found[0])
    page = found[0] & -mmap.PAGESIZE
    size = found[0] + ctypes.sizeof(functions) - page
    if _libc.mprotect(page, size, mmap.PROT_READ | mmap.PROT_WRITE):
        return False
    # No function of these reads code, so none leaves by longjmp.
    starts, ends = _CALL(functions[INSTRUCTION]), _CALL(functions[BLOCK_END])
    checks = _CHECK(functions[BREAKPOINT])

    def begin(block: int, cpu: int) -> None:
        starts(block, cpu)
        if _new:
            _guards[cpu] = _new[0]
        if cpu in _guards:
            _guards[cpu].begin(block)

    def end(block: int, cpu: int) -> None:
        if cpu in _guards:
            _guards[cpu].end(block)
        ends(block, cpu)

    def check(block: int, cpu: int, breakpoint: int) -> bool:
        return not (cpu in _guards and _base(block)) and bool(checks(block, cpu, breakpoint))

    callbacks = ((INSTRUCTION, _CALLBACK(begin)), (BREAKPOINT, _CHECK_CALLBACK(check)), (BLOCK_END, _CALLBACK(end)))
    for slot, callback in callbacks:
        _kept.append(callback)
        functions[slot] = ctypes.cast(callback, _POINTER).value or 0
    return True
