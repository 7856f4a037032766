"""Names of a node or of a network server that has begun anew: a second later nobody finds what was there before."""

from __future__ import annotations

import pytest

from tests.support.clusters import MS, SECOND, World, fault
from tests.support.namers import DEAD, NOBODY, answers, cluster
from tests.support.revived import kill

SWITCHES = ["", *(f", {name} = true" for name in ("announces", "introduces", "prepares", "replicates"))]
AT_MS = 3500
ASKS = ["3000?a 4600?a 4600?b", "4600?a 4600?b"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_second_after_a_node_has_restarted_its_names_are_gone_or_the_successor_s(switch: str) -> None:
    scripts = ["100+a 200+b 3700+b", *ASKS]
    with World(cluster(scripts, "", switch, fault(f"{AT_MS}ms", "restart", node="n1"))) as world:
        world.run(8 * SECOND)
        assert answers(world) == {1: [], 2: [(b"a", 1), (b"a", NOBODY), (b"b", 1)], 3: [(b"a", NOBODY), (b"b", 1)]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("switch", SWITCHES)
def test_so_it_is_where_three_frames_in_ten_are_lost(switch: str, seed: int) -> None:
    """Who asks may hear of nobody, since what is asked is lost, too; but nobody is told of what was there before."""
    scripts = ["100+a 200+b 3700+b", *ASKS]
    with World(cluster(scripts, "loss = 0.3\n", switch, fault(f"{AT_MS}ms", "restart", node="n1")), seed) as world:
        world.run(10 * SECOND)
        found = answers(world)
        assert [name for name, _ in found[2]] == [b"a", b"a", b"b"] and [name for name, _ in found[3]] == [b"a", b"b"]
        assert DEAD not in [node for _, node in found[2][1:] + found[3]]
        assert found[2][1] == found[3][0] == (b"a", NOBODY)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_second_after_a_network_server_has_begun_anew_its_node_s_services_are_found_again(switch: str) -> None:
    with World(cluster(["100+a 200+b", *ASKS], switch=switch)) as world:
        world.run(AT_MS * MS)
        kill(world, "n1", "gns")
        world.run(8 * SECOND)
        assert answers(world) == {1: [], 2: [(b"a", 1), (b"a", 1), (b"b", 1)], 3: [(b"a", 1), (b"b", 1)]}
