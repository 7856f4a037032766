"""Where a machine is in its run, and the ways from there.

A run is a function of what was booted and typed, and coming back from it changes nothing. So a point is three counts, and is
reached again from any earlier state of the same run.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from machemu.core.kernel import FOREVER, Kernel, Stop

ENDS: Final = (Stop.WEDGED, Stop.HALTED, Stop.INTERRUPTED)
"""After these a machine goes no further."""


class Point(NamedTuple):
    """A point of a machine's run, between two instructions. Points are ordered. traps: made since power-on. time: virtual
    nanoseconds. turns: how often a thread got or left the CPU, or went on from a wait. acts: how often something was done to the
    machine from outside, such as typing."""

    traps: int
    time: int
    turns: int
    acts: int = 0


class StepKind(Enum):
    """What one step is."""

    TRAP = "trap"
    INSTRUCTION = "instruction"
    """Of a thread of a guest's. Threads that run on the host have none: there it is a trap."""
    MESSAGE = "message"
    """A message is sent or received."""
    SWITCH = "switch"
    """The CPU goes to another thread."""


def here(kernel: Kernel) -> Point:
    return Point(kernel.trap_count, kernel.kern.clock.now(), kernel.turns)


def advance(kernel: Kernel, deadline: int = FOREVER, traps: int | None = None, turns: int | None = None) -> Stop:
    """As Kernel.run; what is due at the moment where it ends has happened then."""
    stop = kernel.run(deadline, traps, turns)
    if stop in (Stop.ASKED, Stop.TRAPS):
        kernel.run(kernel.kern.clock.now())
    return stop


def reach(kernel: Kernel, point: Point) -> None:
    """Goes forwards to a point of the machine's run; to another one where it is none."""
    if kernel.trap_count < point.traps:
        advance(kernel, traps=point.traps - kernel.trap_count)
    if kernel.kern.clock.now() < point.time:
        advance(kernel, point.time)
    while kernel.turns < point.turns and advance(kernel, turns=1) not in ENDS:
        pass


def step(kernel: Kernel, kind: StepKind) -> Stop:
    """Goes on by one step. What it gives is one of ENDS where the machine came to its end before."""
    if kind is StepKind.TRAP:
        return advance(kernel, traps=1)
    if kind is StepKind.MESSAGE:
        from machemu.lab.message_stop import MessageStop  # not before it is needed: it takes time to load

        with MessageStop(kernel):
            return advance(kernel)
    before = state(kernel, kind)
    while state(kernel, kind) == before:
        if kind is StepKind.INSTRUCTION and runs_instructions(kernel):
            stop = advance(kernel, kernel.kern.clock.now() + 1)
        else:
            stop = advance(kernel, traps=None if kind is StepKind.SWITCH else 1, turns=1)
        if stop in ENDS:
            return stop
    return Stop.ASKED


def state(kernel: Kernel, kind: StepKind) -> tuple[int, ...]:
    """What is other after a step by an instruction or a switch."""
    return (current_thread(kernel),) if kind is StepKind.SWITCH else (kernel.cpu.executed, kernel.trap_count)


def current_thread(kernel: Kernel) -> int:
    """The number of the thread that has the CPU, 0 for none."""
    thread = kernel.kern.sched.current
    return 0 if thread is None else thread.number


def runs_instructions(kernel: Kernel) -> bool:
    """Whether the thread that has the CPU is a guest's, in user mode."""
    thread = kernel.kern.sched.current
    return thread is not None and thread.program is None and thread.continuation is None
