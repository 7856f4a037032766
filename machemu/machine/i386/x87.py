"""The FPU's instructions done by the host's own x87, in the place of Unicorn's functions for them: decision 0025 says why.

Unicorn's lose what the processor tells of exceptions, know no empty registers, and raise nothing but a division by zero. `mend`
puts a jump to ours at the begin of each, for all engines of the process and for good. Ours are in x87.bin, made of tools/x87.c
by tools/x87.py; sines and the like are worked out in integers there, the same on every host. Only on Linux with x86-64, and with
the build of Unicorn whose state is laid out as x87.c has it, which is seen by the machine code of a few functions that use it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Callable
from importlib import resources
from typing import Final

from machemu.machine import engine as uc

NOT_STORED: Final = 0x55
"""The exception by which a store says that it is done but for storing: an exception of the FPU is unmasked, and pending now."""
STATUS_AT: Final = 0x260
"""Where in the CPU's state the status word is, as KNOWN has it."""
FORGET: Final = "forget"
FUNCTION: Final = "helper_{}_x86_64"
USED: Final = (
    *("raise_exception_ra_x86_64", "cpu_ldq_data_ra_x86_64", "cpu_lduw_data_ra_x86_64", "cpu_stq_data_ra_x86_64"),
    *("cpu_stw_data_ra_x86_64", "cpu_cc_compute_all_x86_64", "update_fp_status_x86_64", "helper_fninit_x86_64"),
)
"""What x87.c uses of Unicorn, in its order; then come what stores an environment, and what loads one."""
KNOWN: Final = {
    "fpop": "8b975c0200004889d0c684176402000001",
    "fldcw": "6689b762020000e9",
    "fstenv": "488b0c24e9",
    "fldenv": "488b0c24e9",
    "fnstsw": "8b875c0200000fb79760020000",
    "fcomi_ST0_FT0": "55534889fb4c8d83080300004883ec088b875c020000488b9310030000488b8b18030000",
}
"""How functions begin that show where in its state Unicorn keeps the top, tags, control and status word, rounding and FT0."""
JUMP: Final = struct.Struct("<6s Q")
JUMP_TO: Final = bytes.fromhex("ff 25 00 00 00 00")
"""jmp [rip]: to the address behind it."""
ALIGNED: Final = 16
"""Functions begin at multiples of it, so a jump fits into the smallest."""

_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_forget: list[Callable[[], None]] = []
_mended: list[bool] = []
_kept: list[mmap.mmap] = []


def mend() -> bool:
    """Does so once a process. False where this host or build cannot."""
    if not _mended:
        _mended.append(_is_known() and _install())
    return _mended[0]


def forget_flags() -> None:
    """Before an engine is started: what other code has left in the host's own status word is none of the guest's."""
    for forget in _forget:
        forget()


def forget_address() -> int:
    """Where the function is that does so; 0 where there is none."""
    return uc.address_of(_forget[0]) if _forget else 0


def _address(symbol: str) -> int:
    return ctypes.cast(getattr(uc.library, symbol), ctypes.c_void_p).value or 0


def _behind(symbol: str) -> int:
    """What a function jumps to with its caller as an argument more: mov rcx, [rsp]; jmp."""
    place = _address(symbol) + 5
    return place + 4 + ctypes.c_int32.from_address(place).value


def _is_known() -> bool:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return False
    return all(
        hasattr(uc.library, FUNCTION.format(name))
        and ctypes.string_at(_address(FUNCTION.format(name)), len(begin) // 2).hex() == begin
        for name, begin in KNOWN.items()
    )


def _install() -> bool:
    names, _, code = (resources.files("machemu.machine.i386") / "x87.bin").read_bytes().partition(b"\n\n")
    places = {name: int(value) for name, value in (line.split() for line in names.decode("ascii").splitlines()[1:])}
    targets = {name: _address(FUNCTION.format(name)) for name in places if name != FORGET}
    first = min(targets.values()) & -mmap.PAGESIZE
    size = max(targets.values()) + JUMP.size - first
    try:
        memory = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return False
    every = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    if any(target % ALIGNED for target in targets.values()) or _libc.mprotect(first, size, every):
        return False
    memory.write(code)
    used = [*map(_address, USED), *(_behind(FUNCTION.format(name)) for name in ("fstenv", "fldenv"))]
    memory[: 8 * len(used)] = struct.pack(f"<{len(used)}Q", *used)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for name, target in targets.items():
        ctypes.memmove(target, JUMP.pack(JUMP_TO, begin + places[name]), JUMP.size)
    _libc.mprotect(first, size, mmap.PROT_READ | mmap.PROT_EXEC)
    _kept.append(memory)
    _forget.append(ctypes.PYFUNCTYPE(None)(begin + places[FORGET]))
    return True
