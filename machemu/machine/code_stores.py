"""A store into code counts from the next instruction on, and each instruction counts once: decision 0010 says why and what for.

Unicorn calls tb_invalidate_phys_page_fast before it stores into memory that a CPU may execute, to drop the translated blocks
there. `mend` puts a few machine instructions in that function's place. They call it without a return address, so that it looks
for no block that runs, and once for each group of 64 bytes, since it may look at one only. Where blocks were dropped, they lower
the engine's limit to its counter: the instruction that stores is the last one of this start, and the next one is translated anew.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Final

from machemu.machine import interpose
from machemu.machine.engine import Engine, peek

FUNCTION: Final = "tb_invalidate_phys_page_fast_{}"
"""void (struct uc_struct *, struct page_collection *, tb_page_addr_t start, int size, uintptr_t return_address), by
Unicorn's name of the architecture."""
TRANSLATOR: Final = 0x300
"""Where in uc_struct the address of the translator's state (TCGContext) is."""
DROPPED: Final = 0xD8
"""Where in the translator's state the count of blocks dropped is, 8 bytes."""

ENTRY: Final = bytes.fromhex(
    "53 55 41 54 41 55 41 56 41 57"  # push rbx, rbp, r12, r13, r14, r15
    "48 83 ec 08"  # sub rsp, 8
    "48 89 fb 49 89 f4 48 89 d5"  # mov rbx, rdi; mov r12, rsi; mov rbp, rdx
    "89 c9 4c 8d 2c 0a"  # mov ecx, ecx; lea r13, [rdx + rcx]: the store's end
)
LOAD_TRANSLATOR: Final = bytes.fromhex("4c 8b b7")  # mov r14, [rdi + TRANSLATOR]
LOAD_DROPPED: Final = bytes.fromhex("4d 8b be")  # mov r15, [r14 + DROPPED]
EACH_GROUP: Final = bytes.fromhex(
    "48 89 ea 48 83 cd 3f 48 ff c5"  # group: mov rdx, rbp; or rbp, 63; inc rbp
    "4c 89 e9 4c 39 ed 48 0f 42 cd 48 29 d1"  # mov rcx, r13; cmp rbp, r13; cmovb rcx, rbp; sub rcx, rdx
    "48 89 df 4c 89 e6 45 31 c0"  # mov rdi, rbx; mov rsi, r12; xor r8d, r8d
)
LOAD_ORIGINAL: Final = bytes.fromhex("48 b8")  # mov rax, the original
CALL_ORIGINAL: Final = bytes.fromhex("ff d0 4c 39 ed 72 cf")  # call rax; cmp rbp, r13; jb group
COMPARE_DROPPED: Final = bytes.fromhex("4d 3b be")  # cmp r15, [r14 + DROPPED]
LOAD_COUNTER: Final = bytes.fromhex("74 0e 48 8b 83")  # je done; mov rax, [rbx + the counter]
STORE_LIMIT: Final = bytes.fromhex("48 89 83")  # mov [rbx + the limit], rax
LEAVE: Final = bytes.fromhex("48 83 c4 08 41 5f 41 5e 41 5d 41 5c 5d 5b c3")  # done: add rsp, 8; pop r15 to rbx; ret

_mended: dict[str, bool] = {}
_kept: list[mmap.mmap] = []


def mend(engine: Engine, architecture: str, loop: int) -> bool:
    """Makes it so for all engines of an architecture, by Unicorn's name of it. False where this host or build cannot.

    engine: one whose counter is known and that has just run code at the virtual address `loop`. Its translation is dropped.
    """
    if architecture not in _mended:
        _mended[architecture] = _counts_dropped(engine, loop) and _install(engine, FUNCTION.format(architecture))
    return _mended[architecture]


def _counts_dropped(engine: Engine, loop: int) -> bool:
    """Whether the count of dropped blocks is where it is taken to be."""
    assert engine.handle.value is not None
    translator = int.from_bytes(peek(engine.handle.value + TRANSLATOR, 8), "little")
    before = peek(translator + DROPPED, 8)
    engine.drop_translation(loop)
    after = peek(translator + DROPPED, 8)
    return len(before) == 8 and int.from_bytes(after, "little") == int.from_bytes(before, "little") + 1


def _install(engine: Engine, function: str) -> bool:
    assert engine.handle.value is not None
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return False
    original = interpose.replace(function, ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if original is None:
        return False
    code.write(machine_code(original, *(ctypes.addressof(word) - engine.handle.value for word in (engine.counter, engine.limit))))
    _kept.append(code)
    return True


def machine_code(original: int, counter: int, limit: int) -> bytes:
    """What is put in the function's place, for x86-64; counter, limit: where in uc_struct they are."""
    place = struct.Struct("<i").pack
    return b"".join(
        (
            *(ENTRY, LOAD_TRANSLATOR, place(TRANSLATOR), LOAD_DROPPED, place(DROPPED)),
            *(EACH_GROUP, LOAD_ORIGINAL, struct.pack("<Q", original), CALL_ORIGINAL),
            *(COMPARE_DROPPED, place(DROPPED), LOAD_COUNTER, place(counter), STORE_LIMIT, place(limit), LEAVE),
        )
    )
