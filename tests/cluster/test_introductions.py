"""Services that are introduced to all network servers, over real segments: whoever comes late, was cut off or hears little finds
what is there and nothing else.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from masix.gns.known import KNOWN_NS
from masix.gns.server import Gns
from tests.support.clusters import MS, SECOND, World, fault, saved_in_between
from tests.support.name_servers import both_places
from tests.support.namers import NOBODY, answers, cluster, programs

SWITCH = ", introduces = true"
LOSSY = "loss = 0.3\nduplication = 0.1\nreordering = 0.2\n"


def questions(world: World) -> set[int]:
    """How many names nodes have asked all others for."""
    return {server.names.tags for server in programs(world, Gns).values()}


def idle(world: World) -> list[int]:
    """How many proxies each node has that nobody has had a right to."""
    servers = programs(world, Gns).values()
    return [sum(proxy.is_idle() for proxy in server.tables.proxies.values()) for server in servers]


@both_places
def test_a_node_that_joins_late_and_one_that_restarts_find_what_is_there_without_asking(place: str) -> None:
    faults = "".join(fault(f"{at}ms", what, node="n3") for at, what in ((1, "crash"), (5000, "restart")))
    faults += fault("6s", "restart", node="n1")
    scripts = ["100+a 6100+c", "200+b 9000?a 9000?c", "9000?a 9000?b 9000?c"]
    with World(cluster(scripts, switch=SWITCH, faults=faults, place=place)) as world:
        world.run(4 * SECOND)
        assert idle(world) == [1, 1]
        world.run(8500 * MS)
        assert idle(world) == [1, 1, 2]
        world.run(10 * SECOND)
        assert answers(world) == {1: [], 2: [(b"a", NOBODY), (b"c", 1)], 3: [(b"a", NOBODY), (b"b", 2), (b"c", 1)]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_name_that_leaves_is_found_nowhere_a_second_later_though_three_frames_in_ten_are_lost(seed: int) -> None:
    steps = [(3000 + 2500 * number, f"x{number % 2}") for number in range(8)]
    mine = " ".join(f"{at}+{name} {at + 1200}-{name}" for at, name in steps)
    asks = " ".join(f"{at + 2250}?{name}" for at, name in steps)
    with World(cluster([mine, asks, asks, asks], LOSSY, SWITCH), seed) as world:
        world.run(25 * SECOND)
        assert answers(world) == {1: []} | {number: [(name.encode(), NOBODY) for _, name in steps] for number in (2, 3, 4)}
        assert idle(world) == [0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_name_that_moves_to_and_fro_is_found_where_it_is_a_second_later(seed: int) -> None:
    times = range(3000, 15000, 1500)
    scripts, asks = [["100+y"], ["100+z"]], []
    for number, (at, end) in enumerate(pairwise(times)):
        scripts[number % 2].append(f"{at}+x {end}-x")
        asks.append(f"{at + 1050}?x")
    ask = " ".join(asks)
    texts = [" ".join(script) for script in scripts]
    with World(cluster([*texts, ask, ask], LOSSY, SWITCH), seed) as world:
        world.run(17 * SECOND)
        expected = [(b"x", 1 + number % 2) for number in range(len(asks))]
        assert answers(world)[3] == answers(world)[4] == expected


def test_of_a_node_that_is_gone_no_proxy_is_left_for_longer_than_its_services_are_believed() -> None:
    with World(cluster(["100+a 100+b", "16000?a", "100+c"], switch=SWITCH, faults=fault("3s", "crash", node="n1"))) as world:
        world.run(3 * SECOND)
        assert idle(world) == [1, 2, 1]
        world.run(3 * SECOND + KNOWN_NS)
        assert idle(world) == [1, 0]
        world.run(18 * SECOND)
        assert answers(world)[2] == [(b"a", NOBODY)]


def test_who_has_nothing_to_introduce_sends_nothing() -> None:
    with World(cluster(["", "", "5000?a"], switch=SWITCH)) as world:
        world.run(4 * SECOND)
        assert world.frames == []


@pytest.mark.parametrize("at", [101, 115, 400, 3003, 3150])
def test_a_cluster_saved_while_services_are_introduced_or_withdrawn_goes_on_the_same(at: int, tmp_path: Path) -> None:
    text = cluster(["100+a 3000-a 3100+a", "100+b 3300?a", "4500?a 4500?b"], "loss = 0.1\n", SWITCH)
    with saved_in_between(text, at * MS, 6 * SECOND, tmp_path / "saved") as world:
        assert answers(world)[3] == [(b"a", 1), (b"b", 2)]
