"""Guests that end by an exception which nobody handles: told on standard error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from machemu.abi.exception import Raised
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.core.kernel import Kernel
from machemu.kern.thread import Thread

CODE_SIZE: Final = 4
"""Bytes at the program counter by which the program's file is known again."""
REPORT_SIZE: Final = 16
"""Bytes there that are told where the CPU emulator dies: an instruction, whatever its length."""


class Crashes:
    """say: takes a line for people. last: an exception that nobody handled has ended the last task of a machine."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.last = False

    def watch(self, kernel: Kernel, who: str, folder: Path) -> None:
        """Tells of a machine's guests from now on. who: what the lines begin with. folder: where its programs' paths begin."""

        def crashed(thread: Thread, what: Raised) -> None:
            from machemu.formats.symbols import symbol_at  # not before it is needed: it takes time to load, as the next
            from machemu.trace.words import exception_text

            task = thread.task
            if thread.program is None:
                pc = thread.pcb.pc
                symbol = symbol_at(folder / task.name.strip("()"), pc, code_at(kernel, thread, pc, CODE_SIZE))
                place = f" at pc {pc:#010x}{f' ({symbol})' if symbol else ''}"
            else:
                place = ""
            whose = f"task {task.number} ({task.name}) thread {thread.number}"
            self.say(f"{who}{whose}: {exception_text(*what)}{place}: nobody handles it, and the task ends")
            self.last |= not any(has_guests(kernel, number) for number in kernel.kern.tasks)

        kernel.crashed = crashed


def last_words(kernel: Kernel, node: str, folder: Path) -> dict[str, str]:
    """Of a machine whose process dies, what its parent is to tell: see `watch.obituary`."""
    words = {"node": node} if node else {}
    thread = kernel.kern.sched.current
    if thread is not None:
        pc = thread.pcb.pc if thread.program is not None else kernel.cpu.where()
        words |= {"task": thread.task.name, "program": str(folder / thread.task.name.strip("()")), "pc": str(int(pc))}
        words["code"] = code_at(kernel, thread, pc, REPORT_SIZE).hex()
    return words


def has_guests(kernel: Kernel, number: int) -> bool:
    """Whether a task has not ended and has threads that are not host-side."""
    task = kernel.kern.tasks[number]
    return task.active and any(thread.program is None for thread in task.threads.values())


def code_at(kernel: Kernel, thread: Thread, pc: VirtAddr, size: int) -> bytes:
    """What lies at an address of a thread's, as far as its page goes; b"" where none is mapped. It changes nothing."""
    vm_map = thread.task.map
    place = None if vm_map is None else vm_map.pmap.translate(pc, VM_PROT_READ)
    if place is None:
        return b""
    return kernel.memory.read(place, min(size, kernel.cpu.page_size - pc % kernel.cpu.page_size))
