"""Translations of one instruction each, for threads that are traced.

Unicorn translates from where it is started to the block's end. Whoever starts it for one instruction at a time has the rest of
the block translated each time. So the translator of the next instruction says that the block holds no more.
Blocks made so are kept apart from those of other threads by a bit of MACSR: Unicorn tells blocks apart by it, and nothing on a
68040 reads it.
"""

from __future__ import annotations

import ctypes
from typing import Final

from machemu.machine.m68k.engine import CALL_TRANSLATOR, TRANSLATOR, M68kEngine
from machemu.machine.translator import M68K

APART: Final = 0x10


class Steps:
    """On one engine, once its table of translators is what it stays. mode: which word of its state MACSR is."""

    def __init__(self, engine: M68kEngine, mode: int) -> None:
        self._words = engine.words
        self._mode = mode
        self._table = engine.translators
        self._translator = TRANSLATOR(self._translate)
        self._address = ctypes.cast(self._translator, ctypes.c_void_p).value or 0
        self._opcode: int | None = None
        self._originals: dict[int, int] = {}

    def allow(self, traced: bool) -> None:
        """Whether the thread that runs from now on is traced."""
        self._words[self._mode] = self._words[self._mode] & ~APART | (APART if traced else 0)

    def begin(self, opcode: int) -> None:
        """A start of one instruction follows, whose first word is given, and all of which can be fetched."""
        self._opcode = opcode
        if opcode not in self._originals:
            self._originals[opcode] = self._table[opcode]
        self._table[opcode] = self._address

    def end(self) -> None:
        """After the start."""
        if self._opcode is not None:
            self._table[self._opcode] = self._originals[self._opcode]
            self._opcode = None

    def _translate(self, state: int, context: int, opcode: int) -> None:
        """Called by Unicorn."""
        ctypes.c_int.from_address(context + M68K.most).value = 1
        CALL_TRANSLATOR(self._originals[opcode])(state, context, opcode)
