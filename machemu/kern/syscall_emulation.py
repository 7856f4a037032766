"""Emulation vectors: a task's traps that go to handlers in the task instead of the kernel (Mach's kern/syscall_emulation.c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.types import VirtAddr
from machemu.sim.state import Signed, state

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task

EML_BAD_TASK: Final = 0x8001
"""<mach/error.h>: of the kernel, subsystem 2."""
ENTRIES_MAX: Final = 1 << 16
"""A longer vector is refused. The real kernel has no such limit, and panics where its memory does not suffice."""


@state
class EmlDispatch(NamedTuple):
    """handlers: user addresses by trap number from `minimum` on, the number as the guest passes it (negative for Mach's own);
    0 for a trap that stays the kernel's. Tasks that inherit one share it: it never changes."""

    minimum: Signed
    handlers: tuple[int, ...]

    def handler(self, number: int) -> VirtAddr:
        """Where a trap goes; 0 for the kernel."""
        index = number - self.minimum
        return VirtAddr(self.handlers[index] if 0 <= index < len(self.handlers) else 0)


def set_vector(kern: Kern, task: Task, start: int, handlers: Sequence[int]) -> None:
    """task_set_emulation_vector: the task's vector grows to cover what it has and [start, start + len(handlers))."""
    old = task.eml_dispatch if task.eml_dispatch is not None else EmlDispatch(start, ())
    first = min(old.minimum, start)
    end = max(old.minimum + len(old.handlers), start + len(handlers))
    if end - first > ENTRIES_MAX:
        raise KernError(KERN_RESOURCE_SHORTAGE)
    merged = [0] * (end - first)
    merged[old.minimum - first : old.minimum - first + len(old.handlers)] = old.handlers
    merged[start - first : start - first + len(handlers)] = handlers
    task.eml_dispatch = EmlDispatch(first, tuple(merged))
    current = kern.sched.current
    if current is not None and current.task is task:
        # It has entered the CPU as a thread whose traps are all the kernel's, and must enter it anew.
        kern.sched.ast = True
