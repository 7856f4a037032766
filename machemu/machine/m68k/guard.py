"""Keeps guests from instructions that end Unicorn's process.

Unicorn's translator trusts floating-point instructions: a predicate or operand format that there is none of makes it call abort
or follow a wild pointer, and `bkpt` makes it loop for ever. So the first words concerned are translated as illegal ones, or by
a function of ours that looks at the second word first and then calls Unicorn's own. Some 4,000 others have an addressing mode
that the instruction has not, which Unicorn takes all the same: they are illegal, too.

A signed division of the least number by -1 makes the host's own division trap, and sines and the like of unnormalized numbers
lead into wild memory. So before Unicorn's translation of one comes code that compares the operand, and leaves the instruction to
divide.py or trigonometry.py by a zero divide. Code before others keeps what a fault has to put back (undo.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from machemu.machine.m68k import floats, fpu, manual, trigonometry, undo
from machemu.machine.m68k.decode import Word, divide_length, operand
from machemu.machine.m68k.divide import DIVIDE_LONG, division
from machemu.machine.m68k.emit import Emitter
from machemu.machine.m68k.engine import (
    CALL_TRANSLATOR,
    ILLEGAL,
    LINE_A,
    LINE_F,
    STOP,
    TRANSLATOR,
    M68kEngine,
)
from machemu.machine.m68k.floats import (
    BYTE,
    DYNAMIC,
    FLOAT,
    FORMAT_SIZE,
    FROM_CONTROL,
    FROM_OPERAND,
    FROM_REGISTER,
    LONG,
    SINGLE,
    TO_CONTROL,
    TO_OPERAND,
    WORD,
)
from machemu.machine.m68k.missing import TAKEN_FOR_OTHERS
from machemu.machine.translator import M68K

BREAKPOINTS: Final = range(0x4848, 0x4850)
MOVES_FROM_STATUS: Final = range(0x40C0, 0x4100)
"""Privileged since the 68010, but not with Unicorn."""
FLOAT_SET: Final = range(0xF240, 0xF280)
FLOAT_BRANCHES: Final = range(0xF280, 0xF300)
DIVIDE_WORDS: Final = (0x80C0, 0x81C0)
OPERANDS: Final = [mode for mode in range(0o75) if mode >> 3 != 1]
"""The modes of operands that can be divided by."""
DIVISIONS: Final = frozenset(
    (
        *(first | register << 9 | mode for first in DIVIDE_WORDS for register in range(8) for mode in OPERANDS),
        *(DIVIDE_LONG | mode for mode in OPERANDS),
    )
)
"""divu and divs of words; and those of long words, signed or not by their second word."""
COMPARE_TWO: Final = (0x0CFC, 0x0EFC)
"""cas2 of words and of long words: two stores, of which the first is made when the second is broken off."""
PREDICATES: Final = 0x20
SIGNALING: Final = 0x10
"""The bit of a predicate that is not for NaNs."""
SIGNALING_BRANCHES: Final = frozenset(opcode for opcode in FLOAT_BRANCHES if opcode & 0x30 == SIGNALING)
ENABLES_NONE: Final = 0xFF
"""The greatest control register with which no exception is enabled."""
IN_DATA_REGISTER: Final = (LONG, SINGLE, WORD, BYTE)
FUNCTIONS: Final = frozenset(
    (*fpu.FUNCTIONS, *fpu.FUNCTIONS_OF_TWO, *fpu.MOVES, *trigonometry.BOTH, *floats.REMAINDER, floats.POWER_LESS_ONE)
)
"""What a floating-point unit can do with an operand (the manual's section 5); Unicorn moves the address
register before it refuses the others."""


class Unreadable(Exception):
    """The word at `address` is not in memory, or not known as code yet."""

    def __init__(self, address: int) -> None:
        self.address = address


_accepted_words: list[list[int]] = []
_own: dict[int, Callable[[int, int, int], None]] = {}
"""What `_accepted` gives, and Unicorn's translators of undo.py's instructions: the same in every engine."""


def _accepted(engine: M68kEngine) -> tuple[list[int], list[int]]:
    """First words that Unicorn translates though the processor has no such instruction: most have an addressing mode too many.

    Those that are illegal, and those of the floating-point unit.
    """
    if not _accepted_words:
        refused = {engine.translators[opcode] for opcode in (ILLEGAL, LINE_A, LINE_F)}
        words = [opcode for opcode in manual.undefined() if engine.translators[opcode] not in refused]
        _accepted_words.append([opcode for opcode in words if opcode < LINE_F & 0xF000])
        _accepted_words.append([opcode for opcode in words if opcode >= LINE_F & 0xF000])
    illegal, no_float = _accepted_words
    return illegal, no_float


def is_guarded(opcode: int) -> bool:
    return (
        opcode in FLOAT
        or opcode in FLOAT_SET
        or opcode in DIVISIONS
        or opcode in COMPARE_TWO
        or opcode in undo.opcodes()
        or opcode in SIGNALING_BRANCHES
    )


def is_signaling(word: Word) -> bool:
    """Whether an instruction has a condition that is not for NaNs."""
    opcode = word(0)
    return opcode in SIGNALING_BRANCHES or (opcode in FLOAT_SET and word(2) & ~0xF == SIGNALING)


def is_sound(word: Word) -> bool:
    """Whether Unicorn may translate a guarded instruction; raises what `word` raises where it cannot be read as a whole."""
    opcode = word(0)
    if opcode in COMPARE_TWO:
        word(2)
        word(4)
        return True
    if opcode in DIVISIONS or opcode in undo.opcodes():
        for offset in range(2, divide_length(word) if opcode in DIVISIONS else undo.length(word), 2):
            word(offset)
        return True
    extension = word(2)
    if opcode in FLOAT_BRANCHES:
        word(4 if opcode & 0x40 else 2)
        return True
    if opcode in FLOAT_SET:
        sound = extension < PREDICATES and opcode & 0o70 != 0o10 and opcode & 0o77 not in (0o72, 0o73, 0o74)
        immediate = 0
    else:
        kind, form = extension >> 13, extension >> 10 & 7
        sound = True
        if kind in (FROM_OPERAND, TO_OPERAND):
            constant = kind == FROM_OPERAND and opcode == FLOAT.start and form == DYNAMIC
            sound = constant or form in IN_DATA_REGISTER or (opcode & 0o70 != 0 and (kind == TO_OPERAND or form != DYNAMIC))
        if kind in (FROM_REGISTER, FROM_OPERAND) and not (kind == FROM_OPERAND and form == DYNAMIC):
            sound = sound and extension & 0x7F in FUNCTIONS
        immediate = 4 * (form & 7).bit_count() if kind in (TO_CONTROL, FROM_CONTROL) else max(FORMAT_SIZE[form], 2)
    length = 4 + operand(opcode & 0o77, 4, immediate, word)
    for offset in range(4, length, 2):
        word(offset)
    return sound


class Guard:
    """On one engine. fetch: the code word at a virtual address, as a translation may read it now; raises Unreadable. is_watched:
    whether what is translated now is for threads that have enabled floating-point exceptions."""

    def __init__(self, engine: M68kEngine, emitter: Emitter, fetch: Callable[[int], int], is_watched: Callable[[], bool]) -> None:
        self._fetch = fetch
        self._is_watched = is_watched
        engine.translate_as((*BREAKPOINTS, *TAKEN_FOR_OTHERS), ILLEGAL)
        engine.translate_as(MOVES_FROM_STATUS, STOP)
        engine.translate_as((opcode for opcode in FLOAT_BRANCHES if opcode & 0x3F >= PREDICATES), LINE_F)
        self._emit = emitter
        self._illegal = engine.translator(ILLEGAL)
        self._no_float = engine.translator(LINE_F)
        self._float = engine.translator(FLOAT.start)
        self._float_set = engine.translator(FLOAT_SET.start)
        self._float_branch = engine.translator(FLOAT_BRANCHES.start)
        self._compare_two = {opcode: engine.translator(opcode) for opcode in COMPARE_TWO}
        self._divide_word = engine.translator(DIVIDE_WORDS[0])
        self._divide_long = engine.translator(DIVIDE_LONG)
        self._kept = TRANSLATOR(self._translate)
        if not _own:
            made = {address: CALL_TRANSLATOR(address) for address in {engine.translators[opcode] for opcode in undo.opcodes()}}
            _own.update((opcode, made[engine.translators[opcode]]) for opcode in undo.opcodes())
        engine.set_translator((*FLOAT, *FLOAT_SET, *SIGNALING_BRANCHES, *DIVISIONS, *COMPARE_TWO, *undo.opcodes()), self._kept)
        illegal, no_float = _accepted(engine)
        engine.translate_as(illegal, ILLEGAL)
        engine.translate_as(no_float, LINE_F)

    def _translate(self, state: int, context: int, opcode: int) -> None:
        """Called by Unicorn. Its own translator must not fail to read the instruction: it would jump over our frames."""
        address = ctypes.c_uint32.from_address(context + M68K.next).value

        def word(offset: int) -> int:
            return self._fetch(address + offset)

        own: Callable[[int, int, int], None]
        if opcode in _own:
            own, refuse = _own[opcode], self._illegal
        elif opcode in COMPARE_TWO:
            own, refuse = self._compare_two[opcode], self._illegal
        elif opcode in DIVISIONS:
            own, refuse = self._divide_long if opcode & 0xFFC0 == DIVIDE_LONG else self._divide_word, self._illegal
        else:
            own, refuse = self._float_set if opcode in FLOAT_SET else self._float_branch, self._no_float
            own = self._float if opcode in FLOAT else own
        try:
            sound = not address & 1 and is_sound(word)  # nothing at an odd address runs, and its words may lie in two pages
        except Unreadable:
            sound = False
        if sound and opcode in _own:
            self._emit.keep(context, undo.registers(opcode))
        if sound and (opcode in _own or opcode in COMPARE_TWO):
            # It cannot be broken off where it stores into code (code_stores.py): it is its block's last one.
            ctypes.c_uint32.from_address(context + M68K.most).value = ctypes.c_uint32.from_address(context + M68K.done).value
        if sound and opcode in DIVISIONS:
            least = division(word).least()
            if least:
                self._emit.zero_divide_where(least)
        elif sound and opcode in FLOAT:
            if self._is_watched() or not self._prepare_float(word, address):
                own = refuse
        elif sound and is_signaling(word):
            if self._is_watched():
                own = refuse
            else:
                self._emit.note_unordered()
        (own if sound else refuse)(state, context, opcode)
        if sound and opcode in DIVISIONS:
            # What the manual calls undefined must not depend on how Unicorn keeps the codes: it leaves an operand for the result.
            self._emit.clear_negative_where_overflow()

    def _prepare_float(self, word: Word, address: int) -> bool:
        """Code before Unicorn's translation of a floating-point instruction; False where Unicorn must not do it."""
        extension = word(2)
        kind = extension >> 13
        if floats.is_done_here(word):
            return False
        if kind == TO_CONTROL:
            self._emit.zero_divide_unless_small(word(0) & 7, ENABLES_NONE)
        if kind not in (FROM_REGISTER, FROM_OPERAND, TO_OPERAND):
            return True
        taken = trigonometry.source(word(0), extension)
        if taken == trigonometry.EXTENDED:
            return False
        if taken is not None:
            self._emit.zero_divide_unless_normalized(taken)
        self._emit.note_float(extension, address)
        return True
