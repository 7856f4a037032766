"""The groups' properties, each for its own, under loss, delays, crashes at any point, restarts and partitions that heal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from masix.groups import Member, Order, Standing, wire
from masix.groups.wire import GroupPacketKind
from tests.support import group_schedules as schedules
from tests.support.group_schedules import Schedule, run
from tests.support.groups import GROUP, MARK, MS, GroupWorld, Recorder

each = settings(max_examples=100)


@each
@given(schedules.schedules())
def test_each_message_is_delivered_or_a_new_view_comes(schedule: Schedule) -> None:
    """Nobody stays blocked: also those that were cut off are back, and what they broadcast is delivered."""
    schedules.check_liveness(run(schedule))


@each
@given(schedules.schedules())
def test_views_are_installed_in_increasing_order_with_their_installer_inside(schedule: Schedule) -> None:
    schedules.check_views(run(schedule))


@each
@given(schedules.schedules())
def test_members_that_go_on_together_have_delivered_the_same(schedule: Schedule) -> None:
    schedules.check_virtual_synchrony(run(schedule))


@each
@given(schedules.schedules())
def test_integrity_each_message_is_delivered_once_and_only_if_it_was_broadcast(schedule: Schedule) -> None:
    schedules.check_integrity(run(schedule))


@each
@given(schedules.schedules())
def test_validity_a_member_that_stays_delivers_what_it_broadcast(schedule: Schedule) -> None:
    schedules.check_validity(run(schedule))


@each
@given(schedules.schedules())
def test_uniform_agreement_what_one_delivered_and_crashed_all_deliver(schedule: Schedule) -> None:
    schedules.check_uniform_agreement(run(schedule))


@each
@given(schedules.schedules())
def test_fifo_order(schedule: Schedule) -> None:
    schedules.check_fifo(run(schedule))


@each
@given(schedules.schedules(orders=(Order.CAUSAL, Order.TOTAL)))
def test_causal_order(schedule: Schedule) -> None:
    schedules.check_causal(run(schedule))


@each
@given(schedules.schedules(orders=(Order.TOTAL,)))
def test_total_order(schedule: Schedule) -> None:
    schedules.check_total(run(schedule))


@settings(max_examples=40)
@given(schedules.schedules(least=6, most=9))
def test_every_property_with_more_nodes(schedule: Schedule) -> None:
    schedules.check_all(run(schedule))


@settings(max_examples=40)
@given(schedules.schedules())
def test_saving_and_loading_at_any_point_changes_nothing(schedule: Schedule) -> None:
    plain, loaded = run(schedule), run(schedule, reload=0.02)
    assert plain.now == loaded.now and plain.frames == loaded.frames
    for one, other in zip(plain.everyone(), loaded.everyone(), strict=True):
        assert one.digest() == other.digest()


@settings(max_examples=60)
@given(schedules.schedules())
def test_strong_completeness_and_eventual_strong_accuracy(schedule: Schedule) -> None:
    """When all is calm, each detector suspects exactly the nodes that are down, and from then on never changes its mind; who has
    left suspects nobody that is up."""
    world = run(schedule)
    world.run(5_000 * MS)
    down = [life for life in world.dead if life.member.node not in world.lives]
    before = {}
    for life in world.lives.values():
        detector = life.endpoint.detector
        assert not any(detector.suspects(other.member) for other in world.lives.values() if other is not life)
        is_member = life.group.standing is Standing.MEMBER
        assert all(detector.suspects(other.member) for other in down if is_member and other.member.node in detector.peers)
        before[life.member] = len(life.watcher.log)
    world.run(10_000 * MS)
    assert before == {life.member: len(life.watcher.log) for life in world.lives.values()}


@pytest.mark.parametrize("order", Order)
def test_a_schedule_is_the_same_run_again(order: Order) -> None:
    steps = [(0, "broadcast", (0,)), (5 * MS, "crash", (1,)), (1000 * MS, "broadcast", (2,)), (0, "restart", (1,))]
    runs = [run(Schedule(5, 4, 4, order, list(steps))) for _ in range(2)]
    assert [life.digest() for life in runs[0].everyone()] == [life.digest() for life in runs[1].everyone()]


def settled(world: GroupWorld) -> None:
    assert world.settle()


def test_a_member_that_has_not_heard_of_the_next_view_is_not_sent_outside_by_one_who_joined_by_that() -> None:
    """Only who was in the last view knows how that ended. If those who have not heard of it went outside, a view could have too
    few who know that they are in it."""
    world = GroupWorld(1, 3, Order.TOTAL)
    world.run(500 * MS)
    world.crash(2)
    world.restart(2)
    world.run(1_000 * MS)
    joined = world.lives[2].group
    assert joined.view.number == 2 and joined.view.elders == 2
    before = world.frames[GroupPacketKind.GONE]
    world.lives[2].endpoint.receive(1, wire.packet(GroupPacketKind.PREPARE, GROUP, 1, 1, wire.number(2)))
    assert world.frames[GroupPacketKind.GONE] == before


def test_only_a_majority_of_the_last_view_goes_on_and_the_others_come_back() -> None:
    world = GroupWorld(1, 5, Order.TOTAL)
    world.run(500 * MS)
    world.partition([0, 0, 0, 1, 1])
    for node in range(5):
        world.broadcast(node)
    world.run(3_000 * MS)
    majority, minority = [world.lives[node] for node in (0, 1, 2)], [world.lives[node] for node in (3, 4)]
    assert all(not life.group.blocked and len(life.application.seen) == 3 for life in majority)
    assert all(life.group.blocked and not life.application.seen for life in minority)
    settled(world)
    assert all(len(life.application.seen) == 5 for life in world.lives.values())


def test_without_a_majority_anywhere_all_wait_and_then_go_on_together() -> None:
    world = GroupWorld(2, 4, Order.TOTAL)
    world.run(500 * MS)
    world.partition([0, 0, 1, 1])
    world.broadcast(0)
    world.broadcast(2)
    world.run(5_000 * MS)
    assert all(life.group.blocked and not life.application.seen for life in world.lives.values())
    settled(world)
    assert all(len(life.application.seen) == 2 for life in world.lives.values())


def test_of_two_members_one_goes_on_when_the_other_is_known_to_have_died() -> None:
    world = GroupWorld(3, 2, Order.TOTAL)
    world.run(500 * MS)
    world.lives[1].crashed = True
    world.bury(world.lives[1])
    world.broadcast(0)
    world.run(5_000 * MS)
    assert world.lives[0].group.blocked and not world.lives[0].application.seen
    world.restart(1)
    settled(world)
    assert all(len(life.application.seen) == 1 for life in world.lives.values())


def test_a_view_that_is_about_to_end_takes_no_message_that_its_end_leaves_out() -> None:
    """The coordinator dies with its value accepted by one; the sequencer, which heard nothing of all that, goes on sending."""
    world = GroupWorld(3, 5, Order.TOTAL)
    world.run(500 * MS)
    world.cut.add((0, 1))
    world.run(1_300 * MS)
    world.cut.add((1, 0))
    world.trap = [GroupPacketKind.ACCEPT, 2]
    while 1 in world.lives:
        world.run(MS // 10)
    world.run(MS)
    assert not world.lives[0].group.frozen and world.lives[2].group.agreement.accepted_ballot
    world.broadcast(0)
    world.run(30 * MS)
    assert not world.lives[0].application.seen
    settled(world)
    schedules.check_total(world)
    schedules.check_uniform_agreement(world)
    assert all(len(life.application.seen) == 1 for life in world.lives.values())


def test_who_leaves_has_delivered_what_it_broadcast_and_nobody_waits_for_it() -> None:
    world = GroupWorld(4, 4, Order.CAUSAL)
    world.run(500 * MS)
    world.broadcast(0)
    world.leave(0)
    world.run(300 * MS)
    assert world.lives[0].group.standing.name == "LEFT"
    assert all(len(life.application.seen) == 1 for life in world.lives.values())
    assert world.lives[1].group.view.members == tuple(world.lives[node].member for node in (1, 2, 3))
    assert world.lives[0].group.broadcast(b"") is None


def test_who_wants_to_leave_before_it_knows_that_it_was_let_in_does_so_in_order() -> None:
    """Its state is on its way when it decides, and gets lost; and then the one that could give it again dies."""
    world = GroupWorld(2, 4, Order.TOTAL, founders=3)
    world.trap = [GroupPacketKind.STATE, 0]
    world.run(20 * MS)
    assert world.trap is None and 0 not in world.lives and world.lives[1].group.newcomers
    world.lives[3].group.leave()
    world.plan(world.lives[3])
    world.run(6_000 * MS)
    assert world.lives[3].group.standing is Standing.LEFT
    world.restart(0)
    settled(world)


def test_a_decision_of_which_few_heard_reaches_all() -> None:
    """The coordinator dies as it tells the others; most of them cannot decide anything else by themselves."""
    world = GroupWorld(0, 5, Order.TOTAL)
    world.run(500 * MS)
    world.trap = [GroupPacketKind.DECIDE, 2]
    world.crash(0)
    while world.trap is not None:
        world.run(100 * MS)
    assert [world.lives[node].group.view.number for node in (2, 3, 4)] != [1, 1, 1]
    world.run(5_000 * MS)
    assert {life.group.view.number for life in world.lives.values()} == {3}


@pytest.mark.parametrize("deaf_node", [0, 2])
def test_what_a_member_keeps_for_one_that_never_answers_is_bounded(deaf_node: int) -> None:
    """One is deaf to the groups though its node lives: the others stop taking messages, and in the end go on without it."""
    world = GroupWorld(5, 3, Order.TOTAL)
    world.run(500 * MS)
    deaf, hearing = world.lives[deaf_node].endpoint, [node for node in range(3) if node != deaf_node]
    group = deaf.groups.pop(7)
    taken = 0
    for _ in range(300):
        for node in hearing:
            before = world.lives[node].count
            world.broadcast(node, size=1000)
            taken += world.lives[node].count - before
        world.run(MS)
    assert taken < 2 * 400
    for node in hearing:
        kept = world.lives[node].group
        assert len(kept.pending) + len(kept.flight) <= 256
        assert sum(len(bodies) for bodies in kept.reliable.bodies) <= 3 * 32
    world.run(6_000 * MS)
    members = tuple(Member(node, 1) for node in hearing)
    assert all(world.lives[node].group.view.members == members for node in hearing)
    assert all(len(world.lives[node].application.seen) == taken for node in hearing)
    deaf.groups[7] = group
    settled(world)
    assert all(len(life.application.seen) == taken for life in world.lives.values())


def test_a_link_of_its_own_that_is_down_does_not_stop_the_group() -> None:
    """Members 1 and 2 do not hear each other, though all others hear both: one of them is left out until it is mended."""
    world = GroupWorld(6, 4, Order.TOTAL)
    world.run(500 * MS)
    world.unplug(1, 2)
    world.broadcast(1)
    world.broadcast(3)
    world.run(5_000 * MS)
    assert len(world.lives[0].application.seen) == 2
    settled(world)


def test_a_large_group_assembles_around_one_founder() -> None:
    world = GroupWorld(7, 24, Order.TOTAL, founders=1)
    settled(world)
    world.broadcast(5)
    settled(world)
    assert all(len(life.application.seen) == 1 for life in world.lives.values())


def test_a_node_is_in_several_groups_that_know_nothing_of_each_other() -> None:
    world = GroupWorld(8, 3, Order.TOTAL)
    both = [world.lives[node] for node in (0, 2)]
    others = [life.endpoint.open(8, Order.FIFO, Recorder(), tuple(one.member for one in both)) for life in both]
    world.run(500 * MS)
    assert [group.broadcast(MARK.pack(*group.me, 1)) for group in others] == [1, 1]
    world.broadcast(1)
    world.run(500 * MS)
    assert [len(life.application.seen) for life in world.lives.values()] == [1, 1, 1]
    assert [group.settled for group in others] == [1, 1] and others[0].view.members == (both[0].member, both[1].member)
    with pytest.raises(ValueError, match="open"):
        both[0].endpoint.open(8, Order.FIFO, Recorder())
