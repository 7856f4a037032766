"""Subsystem mach4 (4000): samples of program counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.core.routines.targets import task_target, thread_target
from machemu.ipc.kmsg import Kmsg
from machemu.kern import pc_sample
from machemu.kern.pc_sample import Sample

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def task_enable_pc_sampling(kernel: Kernel, request: Kmsg, flavor: int) -> tuple[int]:
    return (pc_sample.enable(task_target(request), flavor),)


def task_disable_pc_sampling(kernel: Kernel, request: Kmsg) -> tuple[int]:
    return (pc_sample.disable(task_target(request)),)


def task_get_sampled_pcs(kernel: Kernel, request: Kmsg, seqno: int) -> tuple[int, tuple[Sample, ...]]:
    return pc_sample.get(task_target(request), seqno)


def thread_enable_pc_sampling(kernel: Kernel, request: Kmsg, flavor: int) -> tuple[int]:
    return (pc_sample.enable(thread_target(request), flavor),)


def thread_disable_pc_sampling(kernel: Kernel, request: Kmsg) -> tuple[int]:
    return (pc_sample.disable(thread_target(request)),)


def thread_get_sampled_pcs(kernel: Kernel, request: Kmsg, seqno: int) -> tuple[int, tuple[Sample, ...]]:
    return pc_sample.get(thread_target(request), seqno)
