"""Messages under way to a service that moves: they are redirected, recovered or prevented, as the old home's server is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_NO_ACCESS
from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from masix.gns.ports import Way
from masix.gns.server import Gns
from tests.support.callers import Caller
from tests.support.clusters import MS, ROOT, SECOND, World, action, saved_in_between
from tests.support.guests import Arch
from tests.support.under_way import CALLERS, MOVE, Stranger, cluster, crash, sent_on

CALLS = 180


def check_all_is_answered(world: World) -> None:
    assert [len(each.times) for each in world.programs("third", Caller)] == [CALLS + 2] * CALLERS
    for node in world.cluster.nodes:
        for server in world.programs(node.name, Gns):
            assert not server.pauses.intervals and not any(each.is_paused for each in server.tables.proxies.values())


@pytest.mark.slow
@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.name.lower())
def test_every_call_is_answered_and_the_old_home_sends_on_what_the_way_says(way: Way, arch: Arch) -> None:
    with sent_on() as times, World(cluster(way.name.lower(), arch, calls=CALLS)) as world:
        world.run(4 * SECOND)
        check_all_is_answered(world)
        late = [at for at in times if at > MOVE + 150 * MS]
        assert bool(times) == (way is not Way.PREVENTION)
        assert bool(late) == (way is Way.REDIRECTION)


@pytest.mark.parametrize("way", ["recovery", "prevention"])
def test_the_old_home_may_crash_once_all_know_where_the_service_is(way: str) -> None:
    with World(cluster(way, calls=CALLS, more=crash("old"))) as world:
        world.run(5 * SECOND)
        assert all(len(each.times) == CALLS + 2 for each in world.programs("third", Caller))


@pytest.mark.parametrize(
    "more",
    [
        action("250ms", "stay", "old", task="images/i386/greet.elf"),
        crash("new", 312),
        crash("new", 330),
    ],
    ids=["it has to stay", "the new home crashes while it is asked", "the new home crashes while memory goes there"],
)
def test_a_pause_ends_with_a_move_that_comes_to_nothing(more: str) -> None:
    with World(cluster("prevention", calls=CALLS, more=more)) as world:
        world.run(4 * SECOND)
        check_all_is_answered(world)


def test_a_node_that_is_lost_while_it_is_to_pause_keeps_no_move_waiting() -> None:
    with World(cluster("prevention", more=crash("third", 312))) as world:
        world.run(20 * SECOND)
        assert any(line.endswith(": moved") for line in world.lines("old"))
        assert all(not server.pauses.intervals for server in world.programs("old", Gns))


@pytest.mark.slow
@pytest.mark.parametrize("at", [316, 345])
def test_a_cluster_that_is_saved_in_a_pause_goes_on_the_same(at: int, tmp_path: Path) -> None:
    with saved_in_between(cluster("prevention", calls=CALLS), at * MS, 1500 * MS, tmp_path / "saved") as world:
        check_all_is_answered(world)


def test_who_has_no_right_to_the_host_pauses_nobody() -> None:
    stranger = '"tests.support.under_way:Stranger"'
    text = cluster("prevention").replace(
        '"masix.migration.manager:MigrationManager"]', f'"masix.migration.manager:MigrationManager", {stranger}]'
    )
    with World(text) as world:
        world.run(300 * MS)
        (found,) = world.programs("old", Stranger)
        assert found.code == KERN_NO_ACCESS
        assert all(not server.pauses.intervals for server in world.programs("old", Gns))


def test_a_way_that_there_is_not_is_refused_by_name() -> None:
    with (
        Cluster(parse_file(cluster("telepathy"), ROOT)) as made,
        pytest.raises(UserError, match="messages = 'telepathy': write one of redirection, recovery, prevention"),
    ):
        made.boot()
