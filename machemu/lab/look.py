"""A machine's memory, registers and code, read without a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from machemu.abi.types import PhysAddr
from machemu.core.kernel import Kernel
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.lab.errors import UsageError
from machemu.vm.object import VmObject
from machemu.vm.page import VmPage

I386_STATE: Final = [
    "gs",
    "fs",
    "es",
    "ds",
    "edi",
    "esi",
    "ebp",
    "-",
    "ebx",
    "edx",
    "ecx",
    "eax",
    "eip",
    "cs",
    "efl",
    "esp",
    "ss",
]
"""i386_thread_state; the one that is left out is the stack pointer of the kernel."""
M68K_STATE: Final = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "sp"]
THREAD_STATE: Final = 1
EXCEPTION_FRAME: Final = 3
"""Flavors of thread_get_state."""
LONGEST: Final = 22
"""Bytes of the longest instruction of either CPU."""


def thread_of(kernel: Kernel, number: int) -> Thread | None:
    """A thread by its number."""
    return next((task.threads[number] for task in kernel.kern.tasks.values() if number in task.threads), None)


def read(kernel: Kernel, task: Task, address: int, size: int) -> bytes:
    """Memory as the task would find it. UsageError where nothing is mapped, or a memory manager has the page."""
    parts = []
    page = kernel.cpu.page_size
    while size > 0:
        length = min(size, page - address % page)
        parts.append(_page_part(kernel, task, address, length))
        address, size = address + length, size - length
    return b"".join(parts)


def chain(kernel: Kernel, task: Task, address: int) -> Iterator[tuple[VmObject, VmPage | None]]:
    """The objects that an address is seen through, from the map entry's own to the last shadow, with their pages for it.
    UsageError where nothing is mapped."""
    entry = None if task.map is None else task.map.lookup(address)
    if entry is None:
        raise UsageError(f"task {task.number} ({task.name}) has no memory at {address:#x}: its map lists what it has")
    start = address - address % kernel.cpu.page_size
    offset, obj = entry.offset + start - entry.start, entry.object
    while obj is not None:
        yield obj, obj.pages.get(offset)
        offset, obj = offset + obj.shadow_offset, obj.shadow


def page_at(kernel: Kernel, task: Task, address: int) -> VmPage | None:
    """The page that is seen at an address, None for zeros that nobody touched. UsageError where nothing is mapped, or a memory
    manager has the page."""
    for obj, page in chain(kernel, task, address):
        if page is not None:
            return page
        if obj.pager is not None:
            start = address - address % kernel.cpu.page_size
            raise UsageError(f"the page at {start:#x} of task {task.number} is with its memory manager, not in memory")
    return None


def _page_part(kernel: Kernel, task: Task, address: int, length: int) -> bytes:
    page = page_at(kernel, task, address)
    size = kernel.cpu.page_size
    return bytes(length) if page is None else kernel.memory.read(PhysAddr(page.frame * size + address % size), length)


def registers(kernel: Kernel, thread: Thread) -> dict[str, int]:
    """By name, as thread_get_state gives them. Threads of host-side servers have none that mean anything."""
    words = [word & 0xFFFFFFFF for word in thread.pcb.get_state(THREAD_STATE)]
    if kernel.cpu.architecture == "i386":
        return {name: word for name, word in zip(I386_STATE, words, strict=True) if name != "-"}
    frame = thread.pcb.get_state(EXCEPTION_FRAME)
    return {**dict(zip(M68K_STATE, words, strict=True)), "pc": thread.pcb.pc, "sr": frame[0] >> 16 & 0xFFFF}


def disassemble(kernel: Kernel, task: Task, address: int, count: int) -> list[tuple[int, bytes, str]]:
    """`count` instructions: address, bytes and text of each; fewer where memory ends."""
    import capstone  # not before it is needed: loading it takes a sixth of a machine's start

    if kernel.cpu.architecture == "i386":
        decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    else:
        decoder = capstone.Cs(capstone.CS_ARCH_M68K, capstone.CS_MODE_M68K_040)
    found: list[tuple[int, bytes, str]] = []
    for _ in range(count):
        code = b""
        for length in range(LONGEST, 0, -2):
            try:
                code = read(kernel, task, address, length)
                break
            except UsageError:
                continue
        if not code:
            break
        decoded = next(decoder.disasm(code, address, 1), None)
        size = decoded.size if decoded is not None else 1 if kernel.cpu.architecture == "i386" else 2
        text = f"{decoded.mnemonic} {decoded.op_str}".strip() if decoded is not None else "(no instruction)"
        found.append((address, code[:size], text))
        address += size
    return found
