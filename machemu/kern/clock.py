"""A node's virtual time."""

from __future__ import annotations

from machemu.abi.types import Nanoseconds
from machemu.machine.protocols import Cpu
from machemu.sim.state import state

HZ = 100
"""Clock interrupts a second, as on Mach's i386."""
TICK_NS = 1_000_000_000 // HZ


@state
class Clock:
    """Time is instructions executed times `instruction_ns`, plus what kernel work, devices and idling were charged.

    now = base + (cpu.executed - mark) * instruction_ns, in integer nanoseconds since power-on.
    """

    __slots__ = ("instruction_ns", "base", "mark", "cpu")
    TRANSIENT = ("mark", "cpu")

    def __init__(self, instruction_ns: int, cpu: Cpu) -> None:
        self.instruction_ns = instruction_ns
        self.base = 0
        self.attach(cpu)

    def attach(self, cpu: Cpu) -> None:
        """Counts on from `cpu`'s present number of instructions."""
        self.cpu = cpu
        self.mark: int = cpu.executed

    def now(self) -> Nanoseconds:
        return self.base + (self.cpu.executed - self.mark) * self.instruction_ns  # type: ignore[return-value]

    def fold(self) -> int:
        """Moves the instructions run so far into `base` (so that time can be saved) and returns the time."""
        executed = self.cpu.executed
        self.base += (executed - self.mark) * self.instruction_ns
        self.mark = executed
        return self.base

    def instructions_until(self, time: int) -> int:
        """How many instructions begin before `time`; at least 0."""
        return max(0, -(-(time - self.now()) // self.instruction_ns))

    def deadline(self, milliseconds: int) -> Nanoseconds:
        """When a time-out set now ends: at a clock tick, the next one at the earliest, as Mach's set_timeout has it."""
        ticks = max(1, (milliseconds * HZ + 999) // 1000)
        return Nanoseconds((self.now() // TICK_NS + ticks) * TICK_NS)
