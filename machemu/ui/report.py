"""What a machine is doing, in words: for runs that came to a standstill or to their time's end."""

from __future__ import annotations

from machemu.core.inspect import ThreadReport, describe_threads
from machemu.core.kernel import Kernel
from machemu.kern.host import Halt
from machemu.sim.units import time_text


def standstill(kernel: Kernel) -> str:
    """One line a thread: what it waits for or where it runs."""
    reports = describe_threads(kernel)
    if not reports:
        return "no thread is left"
    return "\n".join(line(report) for report in reports)


def line(report: ThreadReport) -> str:
    return f"  task {report.task} ({report.task_name}) thread {report.thread}: {report.doing}, pc {report.pc:#010x}"


def halt(kernel: Kernel) -> str:
    """How a machine that has ended did so."""
    how = {
        Halt.HALT: "the machine is halted",
        Halt.REBOOT: "the machine restarts, which ends the run",
        Halt.PANIC: "the kernel died",
    }
    assert kernel.halted is not None
    return f"{how[kernel.halted]}: {kernel.halt_reason}"


def place(kernel: Kernel) -> str:
    """Where a machine is that cannot go on."""
    thread = kernel.kern.sched.current
    who = "" if thread is None else f", in task {thread.task.number} ({thread.task.name}) thread {thread.number}"
    return f"ended by a fault at {time_text(kernel.kern.clock.now())}, after {kernel.trap_count} traps{who}"


def end_of_time(kernel: Kernel) -> str:
    return f"stopped at {time_text(kernel.kern.clock.now())} after {kernel.trap_count} traps\n{standstill(kernel)}"
