"""Schedules that hypothesis makes, and what must hold of every run, property by property (each raises AssertionError)."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from masix.groups import Order
from masix.groups.wire import GroupPacketKind
from tests.support.groups import MARK, MS, GroupWorld, Life, Recorder, apply

Step = tuple[int, str, tuple[Any, ...]]


class Schedule(NamedTuple):
    """`run(Schedule(...))`, as a failure prints it, is the same run again."""

    seed: int
    size: int
    founders: int
    order: Order
    steps: list[Step]


DEADLY = [
    GroupPacketKind.DATA,
    GroupPacketKind.STATUS,
    GroupPacketKind.PREPARE,
    GroupPacketKind.PROMISE,
    GroupPacketKind.ACCEPT,
    GroupPacketKind.ACCEPTED,
    GroupPacketKind.DECIDE,
    GroupPacketKind.STATE,
    GroupPacketKind.JOIN,
]
"""Packets that a node may die of, each before it is sent: most of them are a view change's."""


def steps(size: int) -> st.SearchStrategy[list[Step]]:
    node = st.integers(0, size - 1)
    wait = st.sampled_from([0, 1, 5, 20, 100, 400, 1000]).map(lambda ms: ms * MS)
    kinds = [
        st.tuples(wait, st.just("broadcast"), st.tuples(node)),
        st.tuples(wait, st.just("broadcast"), st.tuples(node)),
        st.tuples(wait, st.just("broadcast"), st.tuples(node, st.just(5000))),
        st.tuples(wait, st.just("crash"), st.tuples(node)),
        st.tuples(wait, st.just("trap"), st.tuples(st.sampled_from(DEADLY), st.integers(0, 4))),
        st.tuples(wait, st.just("restart"), st.tuples(node)),
        st.tuples(wait, st.just("restart"), st.tuples(node)),
        st.tuples(wait, st.just("partition"), st.tuples(st.lists(st.integers(0, 1), min_size=size, max_size=size))),
        st.tuples(wait, st.just("unplug"), st.tuples(node, node)),
        st.tuples(wait, st.just("lose"), st.tuples(node, node)),
        st.tuples(wait, st.just("heal"), st.just(())),
        st.tuples(wait, st.just("delay"), st.tuples(st.sampled_from([1, 10, 100, 600]))),
        st.tuples(wait, st.just("loss"), st.tuples(st.sampled_from([0.0, 0.2, 0.6]), st.sampled_from([0.0, 0.3]))),
        st.tuples(wait, st.just("leave"), st.tuples(node)),
    ]
    return st.lists(st.one_of(kinds), min_size=3, max_size=25)


@st.composite
def schedules(draw: st.DrawFn, orders: tuple[Order, ...] = tuple(Order), least: int = 2, most: int = 5) -> Schedule:
    size = draw(st.integers(least, most))
    founders = draw(st.sampled_from([1, size]))
    return Schedule(draw(st.integers(0, 1 << 32)), size, founders, draw(st.sampled_from(orders)), draw(steps(size)))


def run(schedule: Schedule, make: Any = Recorder, reload: float = 0.0, world: type[GroupWorld] = GroupWorld) -> GroupWorld:
    """The whole run: the schedule, then calm until all agree again."""
    made = world(schedule.seed, schedule.size, schedule.order, schedule.founders, make)
    made.reload = reload
    apply(made, schedule.steps)
    made.converged = made.settle()
    return made


def changes(life: Life) -> list[tuple[int, int]]:
    """Each pair of views, by index into `views`, that a life went between as a member, without a state from others."""
    joined = life.application.joined
    return [(place, place + 1) for place in range(len(life.application.views) - 1) if place + 1 not in joined]


def delivered_in(life: Life, view: int) -> list[bytes]:
    return [mark for number, mark in life.application.log if number == view]


def check_liveness(world: GroupWorld) -> None:
    """Each message is delivered or a new view comes: when all is calm nobody is blocked and nothing waits."""
    assert world.converged


def check_views(world: GroupWorld) -> None:
    """Installed in increasing order, each the same at all, with its installer inside; few enough join at once."""
    views: dict[int, Any] = {}
    for life in world.everyone():
        numbers = [view.number for view in life.application.views]
        assert numbers == sorted(set(numbers))
        for view in life.application.views:
            assert life.member in view.members
            assert views.setdefault(view.number, view) == view
            assert len(view.members) - view.elders <= max(1, view.elders - 1)


def check_virtual_synchrony(world: GroupWorld) -> None:
    """Who goes from a view to the same next one has delivered the same in it; each message is delivered in one view."""
    sets: dict[tuple[int, int], tuple[Life, set[bytes]]] = {}
    where: dict[bytes, int] = {}
    for life in world.everyone():
        views = life.application.views
        for one, other in changes(life):
            assert views[other].number == views[one].number + 1
            mine = set(delivered_in(life, views[one].number))
            _, others = sets.setdefault((views[one].number, views[other].number), (life, mine))
            assert mine == others
        for number, mark in life.application.log:
            assert where.setdefault(mark, number) == number


def check_integrity(world: GroupWorld) -> None:
    """Only what was broadcast, and once: `Recorder` refuses a second time itself."""
    for life in world.everyone():
        assert all(mark in world.pasts for mark in life.application.sequence)
        assert len(life.application.seen) == len(life.application.sequence)


def check_validity(world: GroupWorld) -> None:
    """What a member that stays broadcast, it delivers."""
    for life in world.staying():
        assert all(MARK.pack(*life.member, count) in life.application.seen for count in range(1, life.count + 1))


def check_uniform_agreement(world: GroupWorld) -> None:
    """What anybody has delivered, though it crashed right after, all that stay have delivered."""
    anybody = {mark for life in world.everyone() for _, mark in life.application.log}
    for life in world.staying():
        assert anybody <= set(life.application.seen)


def check_fifo(world: GroupWorld) -> None:
    """Nobody delivers a sender's message before the one that it sent before."""
    for life in world.everyone():
        counts: dict[tuple[int, int], int] = {}
        for mark in life.application.sequence:
            node, incarnation, count = MARK.unpack(mark)
            assert count == counts.get((node, incarnation), 0) + 1
            counts[node, incarnation] = count


def check_causal(world: GroupWorld) -> None:
    """Nobody delivers a message before one that its sender had delivered when it sent it."""
    for life in world.everyone():
        place = {mark: index for index, mark in enumerate(life.application.sequence)}
        for mark in life.application.sequence:
            assert all(place.get(before, len(place)) < place[mark] for before in world.pasts[mark])


def check_total(world: GroupWorld) -> None:
    """What each one, alive or not, has delivered is the beginning of what another one has, up to the longest."""
    longest = max((life.application.sequence for life in world.everyone()), key=len)
    for life in world.everyone():
        assert life.application.sequence == longest[: len(life.application.sequence)]


def check_all(world: GroupWorld) -> None:
    for check in (check_liveness, check_views, check_virtual_synchrony, check_integrity, check_validity, check_uniform_agreement):
        check(world)
    check_fifo(world)
    if world.order is not Order.FIFO:
        check_causal(world)
    if world.order is Order.TOTAL:
        check_total(world)
