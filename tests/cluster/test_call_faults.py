"""Calls between two nodes under faults that hypothesis makes up: whatever happens on the segment, each call is done once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.units import parse_time
from tests.support.calls import CALLS, answers, pair
from tests.support.clusters import SECOND, World, fault
from tests.support.faults import LANS, MOMENTS


@settings(deadline=None, max_examples=60)
@given(LANS, st.integers(0, 1 << 32), st.lists(st.tuples(MOMENTS, st.integers(1, 160)), max_size=3))
def test_without_crashes_every_call_is_answered_once(lan: str, seed: int, partitions: list[tuple[str, int]]) -> None:
    """Partitions are short enough to be none of a node's end."""
    faults = "".join(
        fault(at, "partition", segment="lan", groups=[["alpha"], ["beta"]])
        + fault(f"{parse_time(at) // 1_000_000 + length}ms", "heal", segment="lan")
        for at, length in partitions
    )
    with World(pair(lan=lan, faults=faults), seed) as world:
        world.run(300 * SECOND)
        assert world.lines("beta") == [*answers(), "END"]
        assert world.lines("alpha") == ["serves as greeter", *(f"asked: {-100 * n} good morning" for n in range(1, CALLS + 1))]


@settings(deadline=None, max_examples=60)
@given(LANS, st.integers(0, 1 << 32), MOMENTS, st.one_of(st.none(), st.integers(1, 2000)))
def test_a_crash_at_any_point_ends_each_call_or_lets_it_be_done_once(lan: str, seed: int, at: str, back: int | None) -> None:
    """The client always comes to its end; what it was answered is right and in order; nothing was asked twice of one server."""
    faults = fault(at, "crash", node="alpha")
    if back is not None:
        faults += fault(f"{parse_time(at) // 1_000_000 + back}ms", "restart", node="alpha")
    with World(pair(lan=lan, faults=faults), seed) as world:
        world.run(300 * SECOND)
        lines = world.lines("beta")
        assert lines[-1:] == ["END"]
        good = [line for line in lines if line.startswith("answer")]
        assert [line for line in answers() if line in good] == good
        for life in "\n".join(world.lines("alpha")).split("serves as greeter"):
            asked = [line for line in life.split("\n") if line.startswith("asked")]
            assert len(dict.fromkeys(asked)) == len(asked)
