"""Keeps guests from encodings that Unicorn's translator aborts on, or takes for instructions that they are not.

Unicorn asks for code byte by byte while it translates a block. Before each instruction the guard looks at it, and puts others'
bytes in the place of those that Unicorn must not see, until the block is translated:

- LOCK where the manual does not allow it, as an instruction that there is not. Unicorn ignores it, or ends the process.
- String input and output, as a privileged instruction: Unicorn's `ins` stores a zero before it asks whether the port may be used.

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
from machemu.machine.i386.faults import LOCK, PREFIXES, is_string_port

ESCAPE: Final = 0x0F
ANY: Final = frozenset(range(8))
LOCKABLE: Final = {
    **{bytes((row | column,)): ANY for row in (0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30) for column in (0, 1)},
    **{bytes((group,)): ANY - {7} for group in range(0x80, 0x84)},
    **{bytes((exchange,)): ANY for exchange in (0x86, 0x87)},
    **{bytes((group,)): frozenset((2, 3)) for group in (0xF6, 0xF7)},
    **{bytes((group,)): frozenset((0, 1)) for group in (0xFE, 0xFF)},
    **{bytes((ESCAPE, second)): ANY for second in (0xAB, 0xB3, 0xBB, 0xB0, 0xB1, 0xC0, 0xC1)},
    b"\x0f\xba": frozenset((5, 6, 7)),
    b"\x0f\xc7": frozenset((1,)),
}
"""Opcodes that LOCK is allowed with where the destination is in memory, each with the reg fields that make it such: ADD, OR, ADC,
SBB, AND, SUB, XOR; those again with immediate operands, but CMP; XCHG; NOT, NEG; INC, DEC; BTS, BTR, BTC, CMPXCHG, XADD; those on
bits again; CMPXCHG8B (Intel's manual, volume 2, LOCK). All else raises #UD."""
LONGEST: Final = 15
"""Bytes of an instruction; Unicorn refuses longer ones itself."""

UNDEFINED: Final = b"\x0f\x0b"
PRIVILEGED: Final = b"\xf4"
"""`ud2` and `hlt`."""

LOOP: Final = "translator_loop_x86_64"
SLOTS: Final = 7
INSTRUCTION, BLOCK_END = 2, 5
"""Of a TranslatorOps' pointers: what is called before each instruction, and behind the last one."""
NEXT: Final = 16
"""Where in a block's DisasContextBase the address of the next instruction to translate is, 8 bytes."""

_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_POINTER = ctypes.c_void_p
_U64 = ctypes.c_uint64
LOOP_SIGNATURE: Final = (None, _POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int)
_CALLBACK = ctypes.CFUNCTYPE(None, _POINTER, _POINTER)
_CALL = ctypes.PYFUNCTYPE(None, _POINTER, _POINTER)
"""void (DisasContextBase *, CPUState *), to be called and to call."""

_guards: dict[int, Guard] = {}
"""By the address of their engine's CPUState."""
_new: list[Guard] = []
"""The guard whose CPU's address is not known yet; no other engine translates meanwhile."""
_kept: list[Any] = []
"""What the library holds addresses of; empty until the guards are in it."""


class Unreadable(Exception):
    """A byte is not in memory, or not known as code yet."""


Code = Callable[[int], int]
"""The byte at a distance from an instruction's begin, as a translation may read it; may raise Unreadable."""


def replacement(code: Code) -> tuple[bytes, int]:
    """What an instruction is to be translated as, b"" where as itself, and how many of its bytes decide that."""
    locked = False
    place = 0
    while (byte := code(place)) in PREFIXES:
        locked = locked or byte == LOCK
        place += 1
        if place == LONGEST:
            return b"", place
    if not locked:
        return PRIVILEGED if is_string_port(byte) else b"", place + 1
    opcode = bytes((byte,)) if byte != ESCAPE else bytes((byte, code(place + 1)))
    place += len(opcode)
    regs = LOCKABLE.get(opcode)
    if regs is None:
        return UNDEFINED, place
    modrm = code(place)
    return b"" if modrm < 0xC0 and modrm >> 3 & 7 in regs else UNDEFINED, place + 1


SUSPECT: Final = bytes(byte in PREFIXES or is_string_port(byte) for byte in range(0x100))
"""By an instruction's first byte: whether `replacement` need be asked."""


class Guard:
    """On one engine. works: whether this host and this build of Unicorn let it; otherwise nothing is guarded.

    memory: the engine's RAM. fetch: where in it the byte of a virtual address is that a translation may read now, -1 for others.
    lets_ports: string input and output are translated as themselves.
    """

    def __init__(self, engine: I386Engine, memory: memoryview, fetch: Callable[[int], int]) -> None:
        self._memory = memory
        self._fetch = fetch
        self._replaced: list[tuple[int, int]] = []
        self._end = 0
        self.lets_ports = False
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
        address = _U64.from_address(block + NEXT).value
        place = self._fetch(address)
        if place < 0 or not SUSPECT[self._memory[place]]:
            return
        try:
            replaced, length = replacement(lambda distance: self._memory[self._place(address + distance)])
            if replaced and not (replaced == PRIVILEGED and self.lets_ports):
                self._replace([self._place(address + n) for n in range(len(replaced))], replaced)
                self._end = address + length
        except Unreadable:
            return

    def end(self, block: int) -> None:
        """A block is translated. What was replaced was its last instruction; the bytes that decided so are the block's, too."""
        if self._replaced:
            for place, byte in self._replaced:
                self._memory[place] = byte
            self._replaced.clear()
            _U64.from_address(block + NEXT).value = self._end

    def _place(self, address: int) -> int:
        place = self._fetch(address)
        if place < 0:
            raise Unreadable
        return place

    def _replace(self, places: list[int], replaced: bytes) -> None:
        for place, byte in zip(places, replaced, strict=True):
            self._replaced.append((place, self._memory[place]))
            self._memory[place] = byte


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
    # Neither function reads code, so neither leaves by longjmp.
    starts, ends = _CALL(functions[INSTRUCTION]), _CALL(functions[BLOCK_END])

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

    for slot, function in ((INSTRUCTION, begin), (BLOCK_END, end)):
        callback = _CALLBACK(function)
        _kept.append(callback)
        functions[slot] = ctypes.cast(callback, _POINTER).value or 0
    return True
