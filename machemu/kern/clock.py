"""A node's virtual time, and the time of day that it tells (Mach's kern/mach_clock.c)."""

from __future__ import annotations

from typing import Annotated, Final

from machemu.abi.types import Instructions, Nanoseconds, signed
from machemu.machine.seams import Cpu
from machemu.sim.state import COST_MAX, Range, Signed, Time, state

HZ = 100
"""Clock interrupts a second, as on Mach's i386."""
TICK_NS = 1_000_000_000 // HZ
TICK_US = 1_000_000 // HZ
SECOND_US = 1_000_000
TICK_ADJUST_US = 500 // HZ
"""By how much a tick is longer or shorter while the time of day is being adjusted."""
BIG_ADJUST_US = 1_000_000
"""More than that is adjusted ten times as fast."""
DEFAULT_DATE: Final = 946_684_800
"""2000-01-01, in seconds since 1970: what a machine's clock is set to at power-on unless it is told otherwise.

A fixed date, so that a run is the same each time; and not 0, which file systems take for no time at all.
"""


def time_value(microseconds: int) -> tuple[int, int]:
    """time_value_t: seconds, as 32 bits hold them, and microseconds."""
    seconds, rest = divmod(microseconds, SECOND_US)
    return signed(seconds), rest


@state
class TimeOfDay:
    """The time that tasks are told: it goes on at each clock tick, and can be set and adjusted.

    All in microseconds: at tick `since` it was `value`, with `timedelta` still to adjust by `tickdelta` a tick.
    boottime_offset: by how much settings have moved it back.
    """

    __slots__ = ("since", "value", "timedelta", "tickdelta", "boottime_offset")
    since: Time
    value: Signed
    timedelta: Signed
    tickdelta: Annotated[int, Range(1, TICK_US)]
    boottime_offset: Signed

    def __init__(self, value: int = 0) -> None:
        self.since = 0
        self.value = value
        self.timedelta = 0
        self.tickdelta = TICK_ADJUST_US
        self.boottime_offset = 0

    def at(self, tick: int) -> tuple[int, int]:
        """The time in microseconds and what is left to adjust, at a tick not before `since`."""
        ticks = tick - self.since
        whole = min(ticks, abs(self.timedelta) // self.tickdelta)
        step = self.tickdelta if self.timedelta > 0 else -self.tickdelta
        left = self.timedelta - whole * step
        moved = whole * step
        if left and (ticks - whole) % 2:
            # A remainder smaller than a step is overshot at one tick and taken back at the next, for ever.
            last = self.tickdelta if left > 0 else -self.tickdelta
            moved, left = moved + last, left - last
        return self.value + ticks * TICK_US + moved, left

    def settle(self, tick: int) -> None:
        self.value, self.timedelta = self.at(tick)
        self.since = tick

    def set(self, tick: int, value: int) -> None:
        """host_set_time."""
        self.settle(tick)
        self.boottime_offset += self.value - value
        self.value = value

    def adjust(self, tick: int, delta: int) -> int:
        """host_adjust_time: moves the time by `delta` microseconds, a bit each tick; what was left of the last adjustment.

        `delta` is 32 bits, unsigned. As in the real kernel a negative one is made a multiple of a tick's share while it is taken
        for the large number that its bits are, so that it never ends.
        """
        self.settle(tick)
        if not self.timedelta:
            self.tickdelta = 10 * TICK_ADJUST_US if delta > BIG_ADJUST_US else TICK_ADJUST_US
        old = self.timedelta
        delta -= delta % self.tickdelta
        self.timedelta = delta - (1 << 32) if delta >> 31 else delta
        return old


@state
class Clock:
    """Time is instructions executed times `instruction_ns`, plus what kernel work, devices and idling were charged.

    now = base + (cpu.executed - mark) * instruction_ns, in integer nanoseconds since power-on. time: the time of day.
    """

    __slots__ = ("instruction_ns", "base", "time", "mark", "cpu")
    TRANSIENT = ("mark", "cpu")
    instruction_ns: Annotated[int, Range(1, COST_MAX)]
    base: Time
    time: TimeOfDay

    def __init__(self, instruction_ns: int, cpu: Cpu) -> None:
        self.instruction_ns = instruction_ns
        self.base = 0
        self.time = TimeOfDay(DEFAULT_DATE * SECOND_US)
        self.attach(cpu)

    def attach(self, cpu: Cpu) -> None:
        """Counts on from `cpu`'s present number of instructions."""
        self.cpu = cpu
        self.mark: int = cpu.executed

    def now(self) -> Nanoseconds:
        return self.base + (self.cpu.executed - self.mark) * self.instruction_ns  # type: ignore[return-value]

    def reading(self, executed: int | None = None) -> tuple[Nanoseconds, Instructions]:
        """The time, and how many instructions the CPU has executed in all; or what it was when it had executed so many, while
        nothing but instructions took time since then."""
        if executed is None:
            executed = self.cpu.executed
        return self.base + (executed - self.mark) * self.instruction_ns, executed  # type: ignore[return-value]

    def fold(self) -> int:
        """Moves the instructions run so far into `base` (so that time can be saved) and returns the time."""
        executed = self.cpu.executed
        self.base += (executed - self.mark) * self.instruction_ns
        self.mark = executed
        return self.base

    def instructions_until(self, time: int) -> Instructions:
        """How many instructions begin before `time`; at least 0."""
        left = self.executed_at(time) - self.cpu.executed
        return left if left > 0 else 0  # type: ignore[return-value]

    def executed_at(self, time: int) -> int:
        """How many instructions the CPU has executed in all when `time` comes, if it does nothing else till then."""
        return self.mark - (self.base - time) // self.instruction_ns

    def deadline(self, milliseconds: int) -> Nanoseconds:
        """When a time-out set now ends: at a clock tick, the next one at the earliest, as Mach's set_timeout has it."""
        ticks = max(1, (milliseconds * HZ + 999) // 1000)
        return Nanoseconds((self.now() // TICK_NS + ticks) * TICK_NS)

    def time_of_day(self) -> tuple[int, int]:
        """host_get_time: seconds and microseconds, as of the last clock tick."""
        return time_value(self.time.at(self._tick())[0])

    def set_time(self, microseconds: int) -> None:
        self.time.set(self._tick(), microseconds)

    def adjust_time(self, microseconds: int) -> int:
        return self.time.adjust(self._tick(), microseconds)

    def time_stamp(self) -> int:
        """record_time_stamp: microseconds that no setting of the time changes."""
        return self.time.at(self._tick())[0] + self.time.boottime_offset

    def read_time_stamp(self, stamp: int) -> tuple[int, int]:
        """When a stamp was taken, in the present time of day: seconds and microseconds."""
        return time_value(stamp - self.time.boottime_offset)

    def _tick(self) -> int:
        return self.now() // TICK_NS
