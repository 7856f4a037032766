"""A store into code counts from the next instruction on, and each instruction counts once: decision 0010 says why and what for.

Unicorn calls tb_invalidate_phys_page_fast before it stores into memory that a CPU may execute, to drop the translated blocks
there. `mend` puts a few machine instructions in that function's place. They call it without a return address, so that it looks
for no block that runs, and once for each group of 64 bytes, since it may look at one only. Where blocks were dropped, and the
instruction that stores is the last one of its block, or Unicorn counts, they lower the engine's limit to its counter: that
instruction is the last one of this start. Otherwise they break it off before the store, uncounted, and it is made once more as a
block of its own. So the next instruction is translated anew.

An unaligned store is made byte by byte there. So that it is not broken off behind some of its bytes, where an instruction made
again would read them, all of it is shown to that function (by probe_access) before the first byte: machine code before Unicorn's
functions for stores does so.
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
STORES: Final = ((2, "helper_{}_stw_mmu_{}"), (4, "helper_{}_stl_mmu_{}"), (8, "helper_{}_stq_mmu_{}"))
"""void (CPUArchState *, target_ulong address, value, TCGMemOpIdx, uintptr_t return_address): stores of so many bytes, by byte
order and architecture."""
PROBE: Final = "probe_access_{}"
"""void *(CPUArchState *, target_ulong address, int size, MMUAccessType, int mmu_idx, uintptr_t return_address), within a page."""
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

IS_ALIGNED: Final = bytes.fromhex("89 f0 a8")  # mov eax, esi; test al, the size - 1
FIRST_PART: Final = bytes.fromhex(
    "74 7d 57 56 52 51 41 50"  # jz original; push rdi, rsi, rdx, rcx, r8
    "25 ff 0f 00 00 ba 00 10 00 00 29 c2 b8"  # and eax, 0xfff; mov edx, 0x1000; sub edx, eax; mov eax, the size
)
PROBE_FIRST: Final = bytes.fromhex(
    "39 c2 0f 47 d0"  # cmp edx, eax; cmova edx, eax: what of it lies in the first page
    "4d 89 c1 41 89 c8 41 83 e0 0f b9 01 00 00 00 48 b8"  # mov r9, r8; mov r8d, ecx; and r8d, 15; mov ecx, 1; mov rax, probe
)
LOAD_ADDRESS: Final = bytes.fromhex("ff d0 48 8b 74 24 18 8d 56")  # call rax; mov rsi, [rsp + 24]; lea edx, [rsi + the size]
LOAD_LAST: Final = bytes.fromhex("81 e2 ff 0f 00 00 8d 76")  # and edx, 0xfff; lea esi, [rsi + the size - 1]
PROBE_SECOND: Final = bytes.fromhex(
    "81 e6 00 f0 ff ff 3b 74 24 18 76 23"  # and esi, -0x1000; cmp esi, [rsp + 24]; jbe done: all of it is in the first page
    "48 8b 7c 24 20 44 8b 44 24 08 41 83 e0 0f"  # mov rdi, [rsp + 32]; mov r8d, [rsp + 8]; and r8d, 15
    "4c 8b 0c 24 b9 01 00 00 00 48 b8"  # mov r9, [rsp]; mov ecx, 1; mov rax, probe
)
STORE_ALL: Final = bytes.fromhex("ff d0 41 58 59 5a 5e 5f 48 b8")  # call rax; done: pop r8 to rdi; original: mov rax, it
GO: Final = bytes.fromhex("ff e0")  # jmp rax

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
    translator = engine.translation_context()
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
    place = ctypes.addressof(ctypes.c_char.from_buffer(code))
    original = interpose.replace(FUNCTION.format(architecture), place)
    if original is None:
        return False
    counters = (ctypes.addressof(word) - engine.handle.value for word in (engine.counter, engine.limit))
    code.write(machine_code(original, ctypes.cast(restart, ctypes.c_void_p).value or 0, *counters))
    _kept.append(code)
    probe = ctypes.cast(getattr(library, PROBE.format(architecture)), ctypes.c_void_p).value or 0
    for size, name in ((size, name.format(order, architecture)) for size, name in STORES for order in ("le", "be")):
        function = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        interpose.replace(name, place + code.tell(), interpose.IN_TABLE)
        code.write(store_code(size, probe, function))
    return True


def store_code(size: int, probe: int, original: int) -> bytes:
    """What is put in the place of a function that stores so many bytes, for x86-64; probe: the address of probe_access."""
    call = struct.pack("<Q", probe)
    return b"".join(
        (
            *(IS_ALIGNED, bytes((size - 1,)), FIRST_PART, struct.pack("<I", size), PROBE_FIRST, call),
            *(LOAD_ADDRESS, bytes((size,)), LOAD_LAST, bytes((size - 1,)), PROBE_SECOND, call),
            *(STORE_ALL, struct.pack("<Q", original), GO),
        )
    )


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
