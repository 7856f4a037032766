"""The time of day against a clock that is moved tick by tick, as the real kernel moves its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from machemu.kern.clock import BIG_ADJUST_US, TICK_ADJUST_US, TICK_US, TimeOfDay, time_value

WORD = st.integers(0, 0xFFFFFFFF)
SMALL = st.integers(0, 60_000) | st.integers(0xFFFFFFFF - 60_000, 0xFFFFFFFF)


class Ticking:
    """A clock with one step a tick."""

    def __init__(self) -> None:
        self.value = self.left = 0
        self.share = TICK_ADJUST_US

    def tick(self) -> None:
        step = 0 if not self.left else self.share if self.left > 0 else -self.share
        self.value += TICK_US + step
        self.left -= step

    def adjust(self, delta: int) -> int:
        if not self.left:
            self.share = 10 * TICK_ADJUST_US if delta > BIG_ADJUST_US else TICK_ADJUST_US
        old = self.left
        delta -= delta % self.share
        self.left = delta - (1 << 32) if delta >= 1 << 31 else delta
        return old


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(("set", "adjust", "look")), WORD | SMALL), max_size=12))
def test_any_settings_and_adjustments_are_those_of_a_ticking_clock(steps: list[tuple[int, str, int]]) -> None:
    time, ticking, now = TimeOfDay(), Ticking(), 0
    for wait, what, value in steps:
        for _ in range(wait):
            ticking.tick()
        now += wait
        assert time.at(now) == (ticking.value, ticking.left)
        if what == "adjust":
            assert time.adjust(now, value) == ticking.adjust(value)
        elif what == "set":
            stamp = time.at(now)[0] + time.boottime_offset
            time.set(now, value)
            ticking.value = value
            assert time.at(now)[0] + time.boottime_offset == stamp


def test_an_adjustment_is_over_after_its_share_of_ticks() -> None:
    time = TimeOfDay()
    time.adjust(0, 20 * TICK_ADJUST_US)
    assert time.at(10) == (10 * (TICK_US + TICK_ADJUST_US), 10 * TICK_ADJUST_US)
    assert time.at(1000) == (1000 * TICK_US + 20 * TICK_ADJUST_US, 0)


def test_seconds_wrap_as_32_bits_do() -> None:
    assert time_value(((1 << 31) - 1) * 1_000_000 + 5) == ((1 << 31) - 1, 5)
    assert time_value((1 << 31) * 1_000_000) == (-(1 << 31), 0)
    assert time_value(-1) == (-1, 999_999)
