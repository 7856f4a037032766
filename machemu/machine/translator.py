"""Unicorn's translators, watched: what is called for each block that an engine translates, and for each instruction of it.

A translator is a table of functions (QEMU's TranslatorOps), one for each architecture. It is found once a process by the function
that it is given to, and functions of ours are put before or behind those in it.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from machemu.machine import interpose
from machemu.machine.accel import native

LOOP: Final = "translator_loop_{}"
"""void (TranslatorOps *, DisasContextBase *, CPUState *, TranslationBlock *, int), by Unicorn's name of the architecture."""
SLOTS: Final = 7
BLOCK_BEGIN, INSTRUCTION, BREAKPOINT, BLOCK_END = 1, 2, 3, 5
"""Of a table's pointers: what is called before a block's code, before each instruction, then at a breakpoint, and behind the last
instruction."""


class Places(NamedTuple):
    """Where in a block's DisasContextBase things are: the address of the next instruction to translate; how many instructions of
    the block are translated, the next one with them, and how many may be, 4 bytes each. word: the bytes of an address.

    The address of its TranslationBlock is its first word. In that come its first instruction's address, the base of its code
    segment, and the processor's flags, 4 bytes.
    """

    word: int
    next: int
    done: int
    most: int


X86, M68K = Places(8, 16, 28, 32), Places(4, 12, 20, 24)
PLACES: Final = {"x86_64": X86, "m68k": M68K}

_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_POINTER = ctypes.c_void_p
LOOP_SIGNATURE: Final = (None, _POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int)
_CALLBACK = ctypes.CFUNCTYPE(None, _POINTER, _POINTER)
_CALL = ctypes.PYFUNCTYPE(None, _POINTER, _POINTER)
"""void (DisasContextBase *, CPUState *), to be called and to call."""
_CHECK_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_bool, _POINTER, _POINTER, _POINTER)
_CHECK = ctypes.PYFUNCTYPE(ctypes.c_bool, _POINTER, _POINTER, _POINTER)
"""bool (DisasContextBase *, CPUState *, const CPUBreakpoint *): whether the breakpoint is met."""

U64: Final = ctypes.c_uint64
U32: Final = ctypes.c_uint32
_tables: dict[str, bool] = {}
"""Of each architecture, whether its table is watched."""
_watchers: dict[int, list[Watcher]] = {}
"""Who watches an engine, by the address of its CPUState."""
_new: list[Watcher] = []
"""Who watches the engine that translates next; its CPU's address is not known yet."""
_kept: list[Any] = []
"""What the library holds addresses of."""


class Watcher:
    """On one engine. What it is given is the address of a block's DisasContextBase. It must let nothing leave by longjmp."""

    def begin_block(self, block: int) -> None:
        """Before the block's code."""

    def begin(self, block: int) -> None:
        """The block's next instruction is about to be translated."""

    def end_instructions(self, block: int) -> None:
        """All instructions of the block are translated, and nothing of how it goes on behind them."""

    def end_block(self, block: int) -> None:
        """Behind all of the block's code."""

    def refuses_breakpoint(self, block: int) -> bool:
        """Whether a breakpoint at the block's next instruction is none."""
        return False


def watch(architecture: str, watcher: Watcher, translate: Callable[[], None]) -> int:
    """Watches an engine; the address of its CPUState, 0 where this host or this build of Unicorn does not let it.

    translate: has the engine translate code that is in memory, so that nothing leaves that by longjmp.
    """
    if architecture not in _tables:
        _tables[architecture] = _install(LOOP.format(architecture), translate)
    if not _tables[architecture]:
        return 0
    _new.append(watcher)
    translate()
    return next(cpu for cpu, watchers in _watchers.items() if watcher in watchers)


def unwatch(watcher: Watcher) -> None:
    for cpu in [cpu for cpu, watchers in _watchers.items() if watcher in watchers]:
        _watchers[cpu].remove(watcher)
        if not _watchers[cpu]:
            del _watchers[cpu]


def start(block: int, places: Places) -> int:
    """The address of its first instruction, in its code segment."""
    words = (U64 if places.word == 8 else U32) * 2
    pc, base = words.from_address(U64.from_address(block).value)
    return int(pc - base)


def _install(loop_name: str, translate: Callable[[], None]) -> bool:
    """Puts our functions into a table."""
    found: list[int] = []

    def loop(functions: int, *arguments: Any) -> None:
        found.append(functions)
        original(functions, *arguments)

    before = interpose.replace(loop_name, ctypes.CFUNCTYPE(*LOOP_SIGNATURE)(loop))
    if before is None:
        return False
    original = ctypes.PYFUNCTYPE(*LOOP_SIGNATURE)(before)
    translate()
    interpose.replace(loop_name, before)
    functions = (U64 * SLOTS).from_address(found[0])
    page = found[0] & -mmap.PAGESIZE
    if _libc.mprotect(page, found[0] + ctypes.sizeof(functions) - page, mmap.PROT_READ | mmap.PROT_WRITE):
        return False
    # No function of these reads code, so none leaves by longjmp.
    checks = _CHECK(functions[BREAKPOINT])

    def check(block: int, cpu: int, breakpoint: int) -> bool:
        refused = any(watcher.refuses_breakpoint(block) for watcher in _watchers.get(cpu, ()))
        return not refused and bool(checks(block, cpu, breakpoint))

    _put(functions, BREAKPOINT, _CHECK_CALLBACK(check))
    if native is None:
        _tell_watchers(functions)
    else:
        native.watch_translations(found[0], _watchers, _new)
    return True


def _put(functions: ctypes.Array[ctypes.c_uint64], slot: int, callback: Any) -> None:
    _kept.append(callback)
    functions[slot] = ctypes.cast(callback, _POINTER).value or 0


def _tell_watchers(functions: ctypes.Array[ctypes.c_uint64]) -> None:
    """Puts functions that call the watchers into a table: accel/translations.c, where the extension is there."""
    begins, starts, ends = (_CALL(functions[slot]) for slot in (BLOCK_BEGIN, INSTRUCTION, BLOCK_END))

    def begin_block(block: int, cpu: int) -> None:
        if _new:
            _watchers.setdefault(cpu, []).append(_new.pop())
        begins(block, cpu)
        for watcher in _watchers.get(cpu, ()):
            watcher.begin_block(block)

    def begin(block: int, cpu: int) -> None:
        starts(block, cpu)
        for watcher in _watchers.get(cpu, ()):
            watcher.begin(block)

    def end(block: int, cpu: int) -> None:
        watchers = _watchers.get(cpu, ())
        for watcher in watchers:
            watcher.end_instructions(block)
        ends(block, cpu)
        for watcher in watchers:
            watcher.end_block(block)

    for slot, callback in ((BLOCK_BEGIN, begin_block), (INSTRUCTION, begin), (BLOCK_END, end)):
        _put(functions, slot, _CALLBACK(callback))
