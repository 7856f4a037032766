"""Names replicated among the network servers, over real segments: whatever happens to nodes and the network, in the end all have
the names that there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masix.gns.server import Gns
from tests.support.clusters import MS, SECOND, World, fault, saved_in_between
from tests.support.name_servers import GUEST, HOST, both_places
from tests.support.namers import DEAD, NOBODY, answers, check_agreed, cluster, directories, programs

LOSSY = "loss = 0.2\nduplication = 0.1\nreordering = 0.2\n"


def multicasts(world: World) -> dict[int, int]:
    """How many names each node has asked all others for."""
    return {number: server.names.tags for number, server in programs(world, Gns).items()}


@both_places
def test_a_look_up_on_any_node_finds_any_name_and_asks_nobody(place: str) -> None:
    scripts = ["100+a 4000?b 4000?c 4000?a", "2500+b 4000?a 4000?c", "3000+c 3500-c 3700+c 4000?a 4000?b"]
    with World(cluster(scripts, place=place)) as world:
        world.run(5 * SECOND)
        check_agreed(world)
        assert answers(world) == {
            1: [(b"b", 2), (b"c", 3), (b"a", 1)],
            2: [(b"a", 1), (b"c", 3)],
            3: [(b"a", 1), (b"b", 2)],
        }
        assert set(multicasts(world).values()) == {0}


def test_of_two_nodes_with_a_name_all_others_take_the_same_and_their_own_tasks_their_own() -> None:
    scripts = ["4000?a", "200+a 4000?a", "100+a 4000?a", "4000?a 4200?a"]
    with World(cluster(scripts)) as world:
        world.run(5 * SECOND)
        assert answers(world) == {1: [(b"a", 2)], 2: [(b"a", 2)], 3: [(b"a", 3)], 4: [(b"a", 2)] * 2}


@both_places
def test_a_name_that_leaves_is_found_nowhere_though_its_proxies_live(place: str) -> None:
    with World(cluster(["100+a 4000-a 4100+b 4200-b 4300+b", "3500?a 4500?a 4500?b", "4500?a"], place=place)) as world:
        world.run(6 * SECOND)
        assert answers(world) == {1: [], 2: [(b"a", 1), (b"a", NOBODY), (b"b", 1)], 3: [(b"a", NOBODY)]}
        check_agreed(world)


def test_before_there_is_a_group_names_are_found_by_asking_all() -> None:
    with World(cluster(["10+a", "50?a"])) as world:
        world.run(SECOND)
        assert answers(world)[2] == [(b"a", 1)] and multicasts(world)[2] == 1
        assert all(directory.group is None for directory in directories(world).values())


def test_a_node_alone_replicates_for_itself() -> None:
    with World(cluster(["100+a 3000?a 3000?b"])) as world:
        world.run(5 * SECOND)
        check_agreed(world)
        assert answers(world)[1] == [(b"a", 1), (b"b", NOBODY)]


def test_servers_with_and_without_the_switch_find_each_other_s_names() -> None:
    text = cluster(["100+a 4000?b", "100+b 4000?a", "100+c 4000?a 4000?b"]).replace(", replicates = true", "", 1)
    with World(text) as world:
        world.run(5 * SECOND)
        assert answers(world) == {1: [(b"b", 2)], 2: [(b"a", 1)], 3: [(b"a", 1), (b"b", 2)]}
        assert directories(world)[1] is None and multicasts(world) == {1: 1, 2: 1, 3: 1}


@both_places
def test_names_of_a_node_that_crashed_are_gone_and_come_again_with_it(place: str) -> None:
    faults = fault("4s", "crash", node="n1") + fault("8s", "restart", node="n1")
    scripts = ["100+a 9000+a 14000?b", "100+b 3000?a 6000?a 14000?a", "100+c 6000?a 14000?a", "6000?b 14000?a"]
    with World(cluster(scripts, faults=faults, place=place)) as world:
        world.run(3 * SECOND)
        before = directories(world)[1].own[b"a"]
        world.run(7 * SECOND)
        check_agreed(world)
        assert [
            entry for directory in directories(world).values() for entry in directory.replica.entries if b"a" in entry[10:]
        ] == []
        world.run(15 * SECOND)
        check_agreed(world)
        assert answers(world) == {
            1: [(b"b", 2)],
            2: [(b"a", 1), (b"a", NOBODY), (b"a", 1)],
            3: [(b"a", NOBODY), (b"a", 1)],
            4: [(b"b", 2), (b"a", 1)],
        }
        assert directories(world)[1].own[b"a"] > before + 1000, "a number of its last life could be meant"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_replicas_agree_through_loss_duplication_and_reordering(seed: int) -> None:
    scripts = [
        " ".join(f"{500 * n + 37 * node}{'+-'[n % 2]}x{node}" for n in range(11)) + f" {12000}?x1 {12000}?x3" for node in range(4)
    ]
    with World(cluster(scripts, LOSSY), seed) as world:
        world.run(20 * SECOND)
        check_agreed(world)
        assert answers(world) == {number: [(b"x1", 2), (b"x3", 4)] for number in range(1, 5)}


@pytest.mark.slow
@pytest.mark.parametrize("length", [4500, 15000])
def test_a_partition_s_sides_find_their_own_names_and_all_again_when_it_heals(length: int) -> None:
    """Longer than 5 s, the smaller side founds a group of its own, which ends when they meet."""
    sides = [["n1", "n2"], ["n3", "n4", "n5"]]
    end = 4000 + length
    faults = fault("4s", "partition", segment="lan", groups=sides) + fault(f"{end}ms", "heal", segment="lan")
    names = "old a c new"
    asks = " ".join(f"{time}?{name}" for time in (end - 2000, end + 12_000) for name in names.split())
    scripts = [f"100+a {asks}", f"150+old 4500+new 4600-old {asks}", f"100+c {asks}", asks, asks]
    with World(cluster(scripts, faults=faults)) as world:
        world.run((end + 16_000) * MS)
        check_agreed(world)
        found = answers(world)
        for number in range(1, 6):
            near, far = found[number][:4], found[number][4:]
            small = number < 3
            assert near.pop(0) == far.pop(0) == (b"old", NOBODY), "it left while they were cut off from each other"
            assert near == [(b"a", 1 if small else NOBODY), (b"c", NOBODY if small else 3), (b"new", 2 if small else NOBODY)]
            assert far == [(b"a", 1), (b"c", 3), (b"new", 2)]


def test_names_that_come_while_a_node_is_cut_off_and_leave_while_it_is_let_in_again_stay_nowhere() -> None:
    faults = fault("4s", "partition", segment="lan", groups=[["n1"]]) + fault("8s", "heal", segment="lan")
    times = range(7900, 8500, 40)
    script = " ".join([*(f"4050+x{time}" for time in times), "4060+y", *(f"{time}-x{time}" for time in times)])
    with World(cluster([script, "", ""], faults=faults)) as world:
        world.run(12 * SECOND)
        check_agreed(world)
        assert [key[10:] for key in directories(world)[2].replica.entries] == [b"y"]


def test_groups_that_were_founded_apart_become_one() -> None:
    faults = fault("1ms", "partition", segment="lan", groups=[["n1", "n4"], ["n2", "n3"]]) + fault("6s", "heal", segment="lan")
    scripts = ["100+a 15000?b", "100+b 15000?d", "5000?b 15000?a", "100+d 5000?b 15000?b"]
    with World(cluster(scripts, faults=faults)) as world:
        world.run(5500 * MS)
        groups = {number: directory.group for number, directory in directories(world).items()}
        numbers = [group.number for group in groups.values() if group is not None and len(group.view.members) == 2]
        assert len(numbers) == 4 and len(set(numbers)) == 2
        world.run(17 * SECOND)
        check_agreed(world)
        assert {directory.group and directory.group.number for directory in directories(world).values()} == {min(numbers)}
        assert answers(world) == {1: [(b"b", 2)], 2: [(b"d", 4)], 3: [(b"b", 2), (b"a", 1)], 4: [(b"b", NOBODY), (b"b", 2)]}


def test_when_most_nodes_of_a_group_are_gone_for_good_the_others_go_on_without_them() -> None:
    faults = "".join(fault("4s", "crash", node=f"n{number}") for number in (1, 2, 4))
    with World(cluster(["100+a", "", "100+c 20000?e", "", "8000+e 20000?c 20000?a"], faults=faults)) as world:
        world.run(22 * SECOND)
        check_agreed(world)
        assert answers(world) == {3: [(b"e", 5)], 5: [(b"c", 3), (b"a", NOBODY)]}


def test_a_service_that_died_between_look_up_and_use_is_a_dead_name() -> None:
    """Its node is gone, but nobody has noticed yet: the right is to a port that turns out to be dead."""
    with World(cluster(["100+a", "4001?a"], faults=fault("4s", "crash", node="n1"))) as world:
        world.run(30 * SECOND)
        assert answers(world)[2] == [(b"a", DEAD)]


@pytest.mark.parametrize(
    ("time", "place"), [(1_300, HOST), (2_000, HOST), (2_005, GUEST), (4_020, HOST), (4_400, HOST), (8_100, HOST)]
)
def test_a_cluster_saved_in_between_goes_on_the_same(time: int, place: str, tmp_path: Path) -> None:
    faults = fault("4s", "crash", node="n1") + fault("8s", "restart", node="n1")
    text = cluster(["100+a 9000+a", "100+b 2000-b 2010+b", "4200?a 11000?a"], LOSSY, faults=faults, place=place)
    with saved_in_between(text, time * MS, 13 * SECOND, tmp_path / "saved") as world:
        check_agreed(world)


NODES, NAMES, SLOTS, CALM_MS = 4, ("a", "b", "c"), 12, 16_000
STEP = st.tuples(
    st.integers(1, SLOTS), st.sampled_from(("+", "+", "-", "crash", "restart", "restart", "partition", "heal")),
    st.integers(0, NODES - 1), st.sampled_from(NAMES),
)  # fmt: skip
SLOT_MS = 700


@settings(deadline=None, max_examples=25)
@given(st.lists(STEP, max_size=16), st.integers(0, 1 << 32), st.sampled_from(("", LOSSY)))
def test_whatever_happens_each_name_is_found_in_the_end_exactly_where_it_is(
    steps: list[tuple[int, str, int, str]], seed: int, lan: str
) -> None:
    steps = sorted(steps, key=lambda step: step[0])
    calm = (SLOTS + 1) * SLOT_MS
    has: list[set[str]] = [set() for _ in range(NODES)]
    scripts: list[list[str]] = [[] for _ in range(NODES)]
    off: set[int] = set()
    faults = ""
    for place, (slot, what, number, name) in enumerate(steps):
        time = slot * SLOT_MS + 30 * place
        if what == "partition":
            far = [f"n{n + 1}" for n in range(NODES) if (number + 1) >> n % 3 & 1]
            faults += fault(f"{time}ms", "partition", segment="lan", groups=[far])
        elif what == "heal":
            faults += fault(f"{time}ms", "heal", segment="lan")
        elif what == "crash" and number not in off:
            off.add(number)
            has[number].clear()
            faults += fault(f"{time}ms", "crash", node=f"n{number + 1}")
        elif what == "restart" and number in off:
            off.discard(number)
            faults += fault(f"{time}ms", "restart", node=f"n{number + 1}")
        elif what == "+" and number not in off and name not in has[number]:
            has[number].add(name)
            scripts[number].append(f"{time}+{name}")
        elif what == "-" and name in has[number]:
            has[number].discard(name)
            scripts[number].append(f"{time}-{name}")
    faults += fault(f"{calm}ms", "heal", segment="lan") + fault(f"{calm}ms", "segment", segment="lan", loss=0.0)
    for script in scripts:
        script += [f"{calm + CALM_MS}?{name}" for name in NAMES]
    with World(cluster([" ".join(script) for script in scripts], lan, faults=faults), seed) as world:
        world.run((calm + CALM_MS) * MS)
        before = multicasts(world)
        world.run((calm + CALM_MS + 2000) * MS)
        found = answers(world)
        for number in set(range(NODES)) - off:
            expected = []
            for name in NAMES:
                owners = [owner + 1 for owner in range(NODES) if name in has[owner]]
                expected.append((name.encode(), number + 1 if number + 1 in owners else min(owners, default=NOBODY)))
            assert found[number + 1] == expected
            assert multicasts(world)[number + 1] - before[number + 1] == sum(where == NOBODY for _, where in expected)
        if len(off) < NODES:
            check_agreed(world)


@pytest.mark.slow
def test_members_that_join_together_do_not_ask_each_other_without_a_pause() -> None:
    """Who waits for others' STATUS asks for it. If answers asked as well, all would ask each other every millisecond."""
    nodes = "".join(
        f'[nodes.n{number}]\nmemory = "4M"\nnics = {{ eth0 = "lan" }}\n'
        'servers = ["masix.acs.server:Acs", { class = "masix.gns.server:Gns", replicates = true }]\n'
        for number in range(16)
    )
    with World("[segments.lan]\n" + nodes) as world:
        world.run(3 * SECOND)
        assert len(world.frames) < 16 * 70
