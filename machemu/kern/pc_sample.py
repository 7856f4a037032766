"""Samples of program counters, of a thread or of all threads of a task (Mach's kern/pc_sample.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE
from machemu.kern.clock import TICK_NS
from machemu.sim.state import Natural, Word, state

if TYPE_CHECKING:
    from machemu.kern.task import Task
    from machemu.kern.thread import Thread

SAMPLED_PC_PERIODIC: Final = 0x1
SAMPLED_PC_VM_ZFILL_FAULTS: Final = 0x10
SAMPLED_PC_VM_COW_FAULTS: Final = 0x80
SAMPLED_PC_VM_FAULTS_ANY: Final = 0x100
MAX_PC_SAMPLES: Final = 512
TICK_MICROSECONDS: Final = TICK_NS // 1000
WORD: Final = 1 << 32

Sample = tuple[int, int, int]
"""The thread's number, its program counter in user mode, and which of SAMPLED_PC it is."""


@state
class PcSample:
    """types: which samples are taken. seqno: how many there have been; the last MAX_PC_SAMPLES of them are kept."""

    __slots__ = ("samples", "seqno", "types")
    samples: deque[Sample]
    seqno: Natural
    types: Word

    def __init__(self, types: int) -> None:
        self.types = types
        self.seqno = 0
        self.samples = deque()


def enable(target: Task | Thread, types: int) -> int:
    """task_enable_pc_sampling, thread_enable_pc_sampling: the time between periodic samples, in microseconds."""
    if target.pc_sample is None:
        target.pc_sample = PcSample(types)
    target.pc_sample.types = types
    return TICK_MICROSECONDS


def disable(target: Task | Thread) -> int:
    """task_disable_pc_sampling, thread_disable_pc_sampling: how many samples there were (the real kernel leaves that out)."""
    sample, target.pc_sample = target.pc_sample, None
    return 0 if sample is None else sample.seqno


def get(target: Task | Thread, seqno: int) -> tuple[int, tuple[Sample, ...]]:
    """task_get_sampled_pcs, thread_get_sampled_pcs: the newest sequence number, and the samples since `seqno` as far as kept."""
    sample = target.pc_sample
    if sample is None:
        raise KernError(KERN_FAILURE)
    count = (sample.seqno - seqno) % WORD
    if count >= WORD // 2:
        count = 0
    return sample.seqno % WORD, tuple(sample.samples)[max(0, len(sample.samples) - count) :] if count else ()


def wanted(thread: Thread) -> bool:
    return thread.pc_sample is not None or thread.task.pc_sample is not None


def take(thread: Thread, kind: int, pc: int) -> None:
    """A thread is sampled at `pc`, for itself and for its task, by whoever wants samples of this kind."""
    for sample in (thread.pc_sample, thread.task.pc_sample):
        if sample is not None and sample.types & kind:
            sample.seqno += 1
            sample.samples.append((thread.number, pc, kind))
            if len(sample.samples) > MAX_PC_SAMPLES:
                sample.samples.popleft()
