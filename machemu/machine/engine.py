"""Unicorn's C API as the machines use it: by ctypes, without the binding's work a call.

The place of its instruction counter in `uc_struct` Unicorn keeps to itself: it is found when an engine is made.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from unicorn import unicorn_const as uc
from unicorn.unicorn_py3.unicorn import uclib

from machemu.abi.errors import InvariantError
from machemu.machine.accel import guard_deaths, native

if TYPE_CHECKING:
    from machemu.machine.accel.interface import NativeExits

INTERRUPT: Final = uc.UC_HOOK_INTR
FETCH_REFUSED: Final = uc.UC_HOOK_MEM_FETCH_PROT
MEMORY_READ: Final = uc.UC_HOOK_MEM_READ
MEMORY_WRITE: Final = uc.UC_HOOK_MEM_WRITE
WRITTEN: Final = uc.UC_MEM_WRITE
INSTRUCTION: Final = uc.UC_HOOK_INSN
EDGE: Final = uc.UC_HOOK_EDGE_GENERATED
CODE: Final = uc.UC_HOOK_CODE
"""Kinds of hooks."""

OK: Final = 0
ERR_INSN_INVALID: Final = uc.UC_ERR_INSN_INVALID
ERR_FETCH_PROT: Final = uc.UC_ERR_FETCH_PROT
READ_WRITE: Final = uc.UC_PROT_READ | uc.UC_PROT_WRITE
ALL: Final = uc.UC_PROT_ALL

_VOID = ctypes.c_void_p
_U64 = ctypes.c_uint64
TRANSLATOR: Final = 0x300
"""Where in uc_struct the address of the translator's state (TCGContext) is."""
STRUCT_SCAN: Final = 4096
"""How much of uc_struct is searched for the counter; the struct is larger."""


library: Final = ctypes.CDLL(uclib._name)
"""The library that the binding ships, opened anew: prototypes set here are not the binding's."""


def _function(name: str, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return function


_open = _function("uc_open", ctypes.c_int, ctypes.c_int, _VOID)
_close = _function("uc_close", _VOID)
_map_ptr = _function("uc_mem_map_ptr", _VOID, _U64, _U64, ctypes.c_uint32, _VOID)
_mem_protect = _function("uc_mem_protect", _VOID, _U64, _U64, ctypes.c_uint32)
_write = _function("uc_reg_write", _VOID, ctypes.c_int, _VOID)
_read = _function("uc_reg_read", _VOID, ctypes.c_int, _VOID)
_start = _function("uc_emu_start", _VOID, _U64, _U64, _U64, ctypes.c_size_t)
_stop = _function("uc_emu_stop", _VOID)
_context_alloc = _function("uc_context_alloc", _VOID, _VOID)
_context_save = _function("uc_context_save", _VOID, _VOID)
_context_restore = _function("uc_context_restore", _VOID, _VOID)
_context_free = _function("uc_context_free", _VOID)
_context_size = _function("uc_context_size", _VOID)
_ctl = _function("uc_ctl", _VOID, ctypes.c_uint32)
_read_batch = _function("uc_reg_read_batch", _VOID, _VOID, _VOID, ctypes.c_int)
_write_batch = _function("uc_reg_write_batch", _VOID, _VOID, _VOID, ctypes.c_int)
_hook_del = _function("uc_hook_del", _VOID, ctypes.c_size_t)
_hook_add = library.uc_hook_add

INTERRUPT_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_uint32, _VOID)
MEMORY_HOOK: Final = ctypes.CFUNCTYPE(ctypes.c_bool, _VOID, ctypes.c_int, _U64, ctypes.c_int, ctypes.c_int64, _VOID)


class Block(ctypes.Structure):
    """uc_tb: a translated block."""

    _fields_ = (("pc", _U64), ("icount", ctypes.c_uint16), ("size", ctypes.c_uint16))


BlockPointer = ctypes.POINTER(Block)
EDGE_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, BlockPointer, BlockPointer, _VOID)
INSTRUCTION_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, _VOID)
CODE_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, _U64, ctypes.c_uint32, _VOID)


_libc = ctypes.CDLL(None)
_libc.write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_libc.write.restype = ctypes.c_ssize_t


def address_of(function: Any) -> int:
    """Of a function that ctypes knows."""
    return ctypes.cast(function, _VOID).value or 0


def bound(function: Any, *arguments: int) -> Callable[..., int]:
    """A function of the library with its first arguments, called without ctypes where the extension is there."""
    return partial(function, *arguments) if native is None else native.Call(address_of(function), *arguments)


if native is not None:
    native.bind(InvariantError, *map(address_of, (_read, _write, _start, _stop)))


def peek(address: int, size: int) -> bytes:
    """What lies in this process at an address, at most a pipe's room of it; b"" where nothing is: the system looks, safely."""
    out, into = os.pipe()
    try:
        written = _libc.write(into, address, size)
        return os.read(out, written) if written > 0 else b""
    finally:
        os.close(out)
        os.close(into)


def exported(name: str, result: Any, *arguments: Any) -> Any:
    """A function that the library exports beside its interface. Python's lock is kept while it runs."""
    try:
        return ctypes.PYFUNCTYPE(result, *arguments)((name, library))
    except AttributeError:
        raise InvariantError(f"this build of Unicorn does not export {name}: install unicorn 2.1.4") from None


def _control(kind: int, arguments: int) -> int:
    return kind | arguments << 26 | uc.UC_CTL_IO_WRITE << 30


def check(code: int, what: str) -> None:
    """InvariantError where a call that cannot fail failed."""
    if code != OK:
        raise InvariantError(f"unicorn: {what}: error {code}")


class Registers:
    """A fixed set of registers, read or written in one call each; `values` are 64-bit words in the set's order.

    `write` gives Unicorn's error code: a selector may be refused. All arguments are prepared, since traps go through here.
    """

    def __init__(self, engine: Engine, *names: int) -> None:
        count = len(names)
        self.values = (_U64 * count)()
        numbers = (ctypes.c_int * count)(*names)
        base = ctypes.addressof(self.values)
        pointers = (_VOID * count)(*[base + 8 * index for index in range(count)])
        engine.kept += [numbers, pointers, self.values]
        arguments = (engine.address, ctypes.addressof(numbers), ctypes.addressof(pointers), count)
        self.read: Callable[[], int] = bound(_read_batch, *arguments)
        self.write: Callable[[], int] = bound(_write_batch, *arguments)


class Context:
    """A saved CPU state."""

    def __init__(self, engine: Engine) -> None:
        self._context = _VOID()
        check(_context_alloc(engine.handle, ctypes.byref(self._context)), "context_alloc")
        self.address: int = self._context.value or 0
        self.size = int(_context_size(engine.handle))
        self.save = bound(_context_save, engine.address, self.address)
        self.restore = bound(_context_restore, engine.address, self.address)

    def word(self, offset: int) -> ctypes.c_int32:
        """The 32-bit word at an offset, which follows later saves."""
        return ctypes.c_int32.from_address(self.address + offset)

    def close(self) -> None:
        _context_free(self._context)


class Variables(NamedTuple):
    """Some of the translator's variables, of 64 bits, that are words of the CPU's state: the number of the first one in the list;
    where it is in that state, in bytes; how many there are."""

    first: int
    place: int
    size: int


class Blocks(Protocol):
    """Who counts the instructions, once he does."""

    def run(self, address: int, count: int) -> int:
        """As `Engine.start`."""

    address: int
    """Of the words of `counting`."""

    def counts(self) -> tuple[int, int, int]:
        """As `Engine.counts`."""

    def close(self) -> None:
        """Before the engine is closed."""

    def keep(self, variables: Variables) -> None:
        """As `counting.Counting.keep`."""

    def leave_out(self, block: int) -> None:
        """As `counting.Counting.leave_out`."""

    def put_back(self, variables: Variables) -> None:
        """As `counting.Counting.put_back`."""


class Engine:
    """One Unicorn CPU over RAM at physical address 0. `counter.value` is its count of instructions begun since the last
    start, and `limit.value` how many may begin; one more is counted when it stops.

    address: of its uc_struct. stores_into_code: whether they count from the next instruction on, as `code_stores.mend` said.
    kept: what C holds addresses of, alive as long as the engine. blocks: what counts instead of Unicorn's own counter. stopped:
    whether `stop` was called since the last start.
    """

    state = 0
    """The address of its CPU's state, once it is known."""
    stores_into_code = False
    blocks: Blocks | None = None
    stopped: bool

    def __init__(self, ram: mmap.mmap, architecture: int, mode: int, processor: int) -> None:
        guard_deaths()
        self.handle = _VOID()
        check(_open(architecture, mode, ctypes.byref(self.handle)), "open")
        self.address = self.handle.value or 0
        self._start: Callable[..., int] = bound(_start, self.address)
        self._stop = bound(_stop, self.address)
        if native is not None:
            registers = native.Registers(self.address)
            self.read, self.write = registers.read, registers.write  # type: ignore[method-assign]
        check(_ctl(self.handle, _control(uc.UC_CTL_CPU_MODEL, 1), ctypes.c_int(processor)), "processor model")
        check(_ctl(self.handle, _control(uc.UC_CTL_UC_USE_EXITS, 1), ctypes.c_int(1)), "use exits")
        self.kept: list[Any] = []
        self.map(0, ram)
        self._watched: dict[int, tuple[int, Any]] = {}
        self.counter: Any = _U64(0)
        self.limit = _U64(0)
        self._never = MEMORY_HOOK(lambda *_: False)

    def close(self) -> None:
        if self.blocks is not None:
            self.blocks.close()
        check(_close(self.handle), "close")
        self.kept.clear()

    def map(self, address: int, memory: mmap.mmap) -> None:
        """Makes bytes of the host's physical memory. The engine keeps them in place until it is closed."""
        data = (ctypes.c_char * len(memory)).from_buffer(memory)
        self.kept.append(data)
        check(_map_ptr(self.handle, address, len(memory), READ_WRITE, ctypes.addressof(data)), "mem_map_ptr")

    def start(self, address: int, count: int) -> int:
        """Runs `count` instructions from a virtual address; Unicorn's error code."""
        self.stopped = False
        return self.go(address, count) if self.blocks is None else self.blocks.run(address, count)

    def counts(self) -> tuple[int, int, int]:
        """The addresses of what `Tally` counts in."""
        if self.blocks is not None:
            return self.blocks.counts()
        return 0, ctypes.addressof(self.counter), ctypes.addressof(self.limit)

    def translation_context(self) -> int:
        """The address of the translator's state (TCGContext)."""
        return int.from_bytes(peek(self.address + TRANSLATOR, 8), "little")

    def go(self, address: int, count: int = 0) -> int:
        """Runs from a virtual address, where Unicorn counts so many instructions as it is told; Unicorn's error code."""
        return self._start(address, 0, 0, count)

    def stop(self) -> None:
        self.stopped = True
        self._stop()

    def protect(self, address: int, size: int, permissions: int) -> None:
        """Sets what a CPU may do with physical memory. Not inside a hook."""
        check(_mem_protect(self.handle, address, size, permissions), "mem_protect")

    def allow_fetch(self, code: range) -> None:
        """Lets the CPU execute physical memory. Not inside a hook.

        From then on Unicorn looks for translated code at each store there. Without a hook that covers the memory it would not at
        the second store to one virtual address, where the CPU has only fetched at another one. The hook is never called.
        """
        self.protect(code.start, len(code), ALL)
        self._hook(FETCH_REFUSED, self._never, code.start, code.stop - 1)
        self.flush_mappings()

    def flush_translations(self) -> None:
        """Forgets all translated code."""
        check(_ctl(self.handle, _control(uc.UC_CTL_TB_FLUSH, 0)), "flush translations")

    def drop_translation(self, address: int) -> None:
        """Forgets the translated code of the instruction at a virtual address."""
        place = (_U64(address), _U64(address + 1))
        check(_ctl(self.handle, _control(uc.UC_CTL_TB_REMOVE_CACHE, 2), *place), "drop translation")

    def flush_mappings(self) -> None:
        """Forgets all page-table entries."""
        check(_ctl(self.handle, _control(uc.UC_CTL_TLB_FLUSH, 0)), "flush mappings")

    def write(self, register: int, value: int) -> int:
        word = _U64(value)
        return int(_write(self.handle, register, ctypes.byref(word)))

    def read(self, register: int) -> int:
        word = _U64(0)
        _read(self.handle, register, ctypes.byref(word))
        return word.value

    def read_bytes(self, register: int, size: int) -> bytes:
        data = ctypes.create_string_buffer(size)
        _read(self.handle, register, data)
        return data.raw

    def write_bytes(self, register: int, data: bytes) -> None:
        _write(self.handle, register, ctypes.create_string_buffer(data, 16))

    def read_structure(self, register: int, value: ctypes.Structure) -> None:
        check(_read(self.handle, register, ctypes.byref(value)), "structured register")

    def write_structure(self, register: int, value: ctypes.Structure) -> None:
        check(_write(self.handle, register, ctypes.byref(value)), "structured register")

    def hook(self, kind: int, callback: Any, instruction: int | None = None) -> int:
        """Calls a ctypes function from now on, which the engine keeps alive; the hook's handle."""
        extra = () if instruction is None else (ctypes.c_int(instruction),)
        self.kept.append(callback)
        return self._hook(kind, callback, 1, 0, *extra)

    def hook_exits(self, exits: NativeExits) -> None:
        """Has the extension start the engine and see to interrupts from now on. The engine keeps `exits` alive."""
        self.kept.append(exits)
        self.start, self.stop = exits.start, exits.stop  # type: ignore[method-assign]
        self._hook(INTERRUPT, _VOID(exits.hook), 1, 0, data=exits.place)

    def _hook(self, kind: int, callback: Any, first: int, last: int, *extra: Any, data: int | None = None) -> int:
        """For addresses from `first` to `last`; for all where `first` is the greater one."""
        handle = _VOID()
        where = _VOID(data), _U64(first), _U64(last)
        check(_hook_add(self.handle, ctypes.byref(handle), kind, callback, *where, *extra), "hook_add")
        return handle.value or 0

    def watch_code(self, address: int, call: Callable[[], None]) -> int:
        """Calls a function before each instruction at a virtual address, which is counted as begun then. Not inside a hook."""
        callback = CODE_HOOK(lambda *_: call())
        handle = self._hook(CODE, callback, address, address)
        self._watched[handle] = address, callback
        self.flush_translations()
        return handle

    def is_watched(self, address: int) -> bool:
        return any(watched == address for watched, _ in self._watched.values())

    def is_watching(self) -> bool:
        return bool(self._watched)

    def unwatch_code(self, handle: int) -> None:
        """Not inside a hook."""
        self.unhook(handle)
        self.flush_translations()
        del self._watched[handle]

    def unhook(self, handle: int) -> None:
        check(_hook_del(self.handle, handle), "hook_del")

    def find_counter(self, run: Callable[[int], None]) -> None:
        """Finds the instruction counter: `run(n)` must run n instructions and be stopped by the count."""
        words = (_U64 * (STRUCT_SCAN // 8)).from_address(self.address)
        places = range(len(words))
        for count in (1237, 2311, 777):
            run(count)
            places = [n for n in places if words[n] == count + 1 and words[n + 1] == count]  # type: ignore[assignment]
        if len(places) != 1:
            raise InvariantError("this build of Unicorn keeps its instruction counter elsewhere: install unicorn 2.1.4")
        self.counter = _U64.from_address(self.address + 8 * places[0])
        self.limit = _U64.from_address(self.address + 8 * places[0] + 8)
