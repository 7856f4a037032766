"""A store into code counts from the next instruction on, and each instruction counts once: decision 0010 says why and what for.

Unicorn calls tb_invalidate_phys_page_fast before it stores into memory that a CPU may execute, to drop the translated blocks
there. `mend` puts a few machine instructions in that function's place. They call it without a return address, so that it looks
for no block that runs, and once for each group of 64 bytes, since it may look at one only. Where blocks were dropped, and the
instruction that stores is the last one of its block, or Unicorn counts, they lower the engine's limit to its counter: that
instruction is the last one of this start. Otherwise they break it off before the store, uncounted, and it is made once more as a
block of its own. So the next instruction is translated anew.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Final

from machemu.machine import counting, interpose
from machemu.machine.engine import TRANSLATOR, Engine, library, peek

FUNCTION: Final = "tb_invalidate_phys_page_fast_{}"
"""void (struct uc_struct *, struct page_collection *, tb_page_addr_t start, int size, uintptr_t return_address), by
Unicorn's name of the architecture."""
RESTART: Final = "cpu_loop_exit_restore_{}"
"""void (CPUState *, uintptr_t return_address): leaves the block that runs, with the CPU as before the instruction."""
DROPPED: Final = 0xD8
"""Where in the translator's state the count of blocks dropped is, 8 bytes."""

ENTRY: Final = bytes.fromhex(
    "53 55 41 54 41 55 41 56 41 57"  # push rbx, rbp, r12, r13, r14, r15
    "48 83 ec 08 4c 89 04 24"  # sub rsp, 8; mov [rsp], r8
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
LOAD_CPU: Final = bytes.fromhex("74 63 49 8b be")  # je done; mov rdi, [r14 + CPU]
LOAD_BEGUN: Final = bytes.fromhex("48 85 ff 74 49 49 8b 8e")  # test rdi, rdi; jz counted; mov rcx, [r14 + BEGUN]
COMPARE_SIZE: Final = bytes.fromhex("49 3b 8e")  # cmp rcx, [r14 + SIZE]
IS_LAST: Final = bytes.fromhex("74 29 48 8b 34 24 48 85 f6 74 20")  # je last; mov rsi, [rsp]; test rsi, rsi; jz last
UNCOUNT: Final = bytes.fromhex("49 ff 8e")  # dec qword [r14 + BEGUN]
LOAD_FLAGS: Final = bytes.fromhex("49 8b 86")  # mov rax, [r14 + NEXT_FLAGS]
LOAD_AGAIN: Final = bytes.fromhex("c7 00 01 00 00 00 48 b8")  # mov dword [rax], 1; mov rax, cpu_loop_exit_restore
ADD_SUM: Final = bytes.fromhex("ff d0 49 03 8e")  # call rax; last: add rcx, [r14 + SUM]
STORE_OWN_LIMIT: Final = bytes.fromhex("49 89 8e")  # mov [r14 + LIMIT], rcx
LOAD_COUNTER: Final = bytes.fromhex("eb 0e 48 8b 83")  # jmp done; counted: mov rax, [rbx + the counter]
STORE_LIMIT: Final = bytes.fromhex("48 89 83")  # mov [rbx + the limit], rax
LEAVE: Final = bytes.fromhex("48 83 c4 08 41 5f 41 5e 41 5d 41 5c 5d 5b c3")  # done: add rsp, 8; pop r15 to rbx; ret

_mended: dict[str, bool] = {}
_kept: list[mmap.mmap] = []


def mend(engine: Engine, architecture: str, loop: int) -> bool:
    """Makes it so for all engines of an architecture, by Unicorn's name of it. False where this host or build cannot.

    engine: one whose counter is known and that has just run code at the virtual address `loop`. Its translation is dropped.
    """
    if architecture not in _mended:
        _mended[architecture] = _counts_dropped(engine, loop) and _install(engine, architecture)
    return _mended[architecture]


def _counts_dropped(engine: Engine, loop: int) -> bool:
    """Whether the count of dropped blocks is where it is taken to be."""
    assert engine.handle.value is not None
    translator = int.from_bytes(peek(engine.handle.value + TRANSLATOR, 8), "little")
    before = peek(translator + DROPPED, 8)
    engine.drop_translation(loop)
    after = peek(translator + DROPPED, 8)
    return len(before) == 8 and int.from_bytes(after, "little") == int.from_bytes(before, "little") + 1


def _install(engine: Engine, architecture: str) -> bool:
    assert engine.handle.value is not None
    restart = getattr(library, RESTART.format(architecture), None)
    if restart is None:
        return False
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return False
    original = interpose.replace(FUNCTION.format(architecture), ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if original is None:
        return False
    counters = (ctypes.addressof(word) - engine.handle.value for word in (engine.counter, engine.limit))
    code.write(machine_code(original, ctypes.cast(restart, ctypes.c_void_p).value or 0, *counters))
    _kept.append(code)
    return True


def machine_code(original: int, restart: int, counter: int, limit: int) -> bytes:
    """What is put in the function's place, for x86-64; restart: the address of what breaks an instruction off; counter, limit:
    where in uc_struct they are."""
    place = struct.Struct("<i").pack
    own = {word: place(counting.COUNTS + 8 * word) for word in range(counting.ROOM)}
    return b"".join(
        (
            *(ENTRY, LOAD_TRANSLATOR, place(TRANSLATOR), LOAD_DROPPED, place(DROPPED)),
            *(EACH_GROUP, LOAD_ORIGINAL, struct.pack("<Q", original), CALL_ORIGINAL, COMPARE_DROPPED, place(DROPPED)),
            *(LOAD_CPU, own[counting.CPU], LOAD_BEGUN, own[counting.BEGUN], COMPARE_SIZE, own[counting.SIZE]),
            *(IS_LAST, UNCOUNT, own[counting.BEGUN], LOAD_FLAGS, own[counting.NEXT_FLAGS]),
            *(LOAD_AGAIN, struct.pack("<Q", restart), ADD_SUM, own[counting.SUM], STORE_OWN_LIMIT, own[counting.LIMIT]),
            *(LOAD_COUNTER, place(counter), STORE_LIMIT, place(limit), LEAVE),
        )
    )
