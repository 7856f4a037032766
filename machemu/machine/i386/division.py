"""Signed division whose quotient does not fit the host's own division: the host's trap is the guest's #DE, not its end.

Unicorn divides 32 bits by 16 and 64 bits by 32 with a host division of 32 and 64 bits, and looks afterwards whether the quotient
fits the guest's register. For the least number by -1 an x86 host's `idiv` raises SIGFPE instead; on every other host it wraps. A
handler of that signal makes the x86 host's wrap, too: the least number divided by -1 is itself, and nothing remains. Then Unicorn
finds that the quotient does not fit, and raises #DE by itself.

The signal comes from inside an engine's run, where Python may run in its handler as in a hook (machine/signals.py).

Only Linux on x86-64 is guarded. Hosts with other processors need nothing; macOS on x86 is not guarded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

from machemu.machine import engine as uc
from machemu.machine import signals
from machemu.machine.accel import guard_deaths
from machemu.machine.signals import Action

HELPERS: Final = ("helper_idivl_EAX_x86_64", "helper_idivw_AX_x86_64")
HELPER_SIZE: Final = 0x60
"""Where in libunicorn the two divisions are: in these functions, so many bytes behind their begin at most."""
REGISTERS: Final = 40
"""Where in ucontext_t the registers are, 8 bytes each (<sys/ucontext.h>)."""
RDX, RAX, RIP = 12, 13, 16
LONGEST: Final = 15

_VOID = ctypes.c_void_p
_ours: list[Action] = []
"""The handler, once there is one."""
_before: list[Action] = []
"""The actions that it was put in the place of, the latest one last."""


def guard() -> None:
    """Sees to it that no division ends this process. Again where another handler of the signal has come since."""
    guard_deaths()  # behind this one: it has what is no division
    if sys.platform != "linux" or os.uname().machine != "x86_64" or not all(hasattr(uc.library, n) for n in HELPERS):
        return
    if not _ours:
        _ours.append(signals.action(_divided))
    before = signals.current(signal.SIGFPE)
    if before.handler != _ours[0].handler:
        _before.append(before)
        signals.become(signal.SIGFPE, _ours[0])


def _divided(_number: int, info: int, context: int) -> None:
    registers = (ctypes.c_uint64 * (RIP + 1)).from_address(context + REGISTERS)
    rip = registers[RIP]
    places = [ctypes.cast(getattr(uc.library, name), _VOID).value or 0 for name in HELPERS]
    if any(place <= rip < place + HELPER_SIZE for place in places):
        length = least_by_minus_one(ctypes.string_at(rip, LONGEST), registers[RAX], registers[RDX])
        if length:
            registers[RIP] = rip + length
            registers[RDX] = 0
            return
    # Whose it is, it shall be: the instruction traps again, or the signal comes again. It may come back here from there.
    before = _before.pop() if len(_before) > 1 else _before[0]
    signals.become(signal.SIGFPE, before)
    if ctypes.c_int.from_address(info + signals.CODE).value <= 0:
        signal.raise_signal(signal.SIGFPE)


def least_by_minus_one(code: bytes, rax: int, rdx: int) -> int:
    """The length of the `idiv` of 32 or 64 bits that `code` begins with, where RDX:RAX is the least number of RAX; else 0."""
    place = 0
    wide = False
    if code[place] & 0xF0 == 0x40:
        wide = bool(code[place] & 8)
        place += 1
    bits = 64 if wide else 32
    mask = (1 << bits) - 1
    if code[place] != 0xF7 or code[place + 1] & 0x38 != 0x38 or rax & mask != 1 << bits - 1 or rdx & mask != mask:
        return 0
    return place + 1 + _operand_length(code[place + 1 :])


def _operand_length(code: bytes) -> int:
    """The bytes of a modrm byte and what belongs to it, in 64-bit mode."""
    mode, rm = code[0] >> 6, code[0] & 7
    if mode == 3:
        return 1
    scaled = rm == 4
    displacement = 4 if mode == 2 or (mode == 0 and (code[1] & 7 if scaled else rm) == 5) else mode
    return 1 + scaled + displacement
