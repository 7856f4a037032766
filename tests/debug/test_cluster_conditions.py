"""Runs of a cluster go to conditions in one of its nodes, and back to them: all nodes are where an uncut run has them then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machemu.debug import search, words
from machemu.debug.fields import Field, InCluster, InMachine
from machemu.lab.cluster import Cluster
from machemu.lab.machine import Machine
from machemu.lab.members import ClusterPoint, Member
from tests.support.guests import Arch
from tests.support.machine import IMAGES, image, module

GREET = IMAGES / "greet.toml"
NODES = {"i386": "alpha", "m68k": "beta"}
BEGINNING = "3ms"
WINDOW_NS = 40_000_000
MOST = 4
"""Points of a condition that are looked at."""
TEXTS = ("trap", "trap mach_msg", "message", "message sent", "woken 2", "at mach_msg_trap", "page 3 SP")

Way = Callable[[Field], search.Found]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.boot(GREET) as made:
        made.run(duration=BEGINNING)
        yield made


def find(cluster: Cluster, member: Member, text: str, way: Way) -> bool:
    """Goes forwards or back to a condition in a node: whether it came."""
    conditions = [(member, words.condition(member, text.split()))]
    return cluster.travel(lambda subject, history: way(InCluster(subject, history, conditions))).condition is not None


def points(cluster: Cluster, member: Member, text: str, deadline: int) -> list[tuple[ClusterPoint, str]]:
    """Where a condition comes, and the digests there."""
    found: list[tuple[ClusterPoint, str]] = []
    while len(found) < MOST and find(cluster, member, text, lambda field: search.forwards(field, deadline)):
        found.append((cluster.point, cluster.digest()))
    return found


def points_back(cluster: Cluster, member: Member, text: str, count: int) -> list[tuple[ClusterPoint, str]]:
    found: list[tuple[ClusterPoint, str]] = []
    while len(found) < count and find(cluster, member, text, search.backwards):
        found.append((cluster.point, cluster.digest()))
    return found


def are_of_an_uncut_run(found: list[tuple[ClusterPoint, str]], file: Path) -> bool:
    with Cluster.boot(file, record=False) as uncut:
        for point, digest in found:
            uncut.run(duration=point.time - uncut.time)
            if uncut.digest() != digest:
                return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_a_condition_in_a_node_is_found_forwards_and_back_at_a_point_of_an_uncut_run(
    cluster: Cluster, arch: Arch, text: str
) -> None:
    cluster.go(cluster.earliest)
    cluster.run(duration=BEGINNING)
    member = cluster.nodes[NODES[arch.name]]
    registers = member.registers(member.threads.where(task=3)[0].number)
    text = text.replace("SP", f"{registers.get('esp', registers.get('sp')):#x}")
    found = points(cluster, member, text, cluster.time + WINDOW_NS)
    assert len(found) > 1
    assert [point.time for point, _ in found] == sorted({point.time for point, _ in found})
    cluster.go(found[-1][0])
    assert points_back(cluster, member, text, len(found) - 1) == found[-2::-1]
    assert are_of_an_uncut_run(found, GREET)


def alone(path: Path, folder: Path) -> Path:
    """A cluster of one node."""
    file = folder / "one.toml"
    file.write_text(f'[nodes.one]\nmodules = ["{path} ${{host-port}} ${{device-port}} $(task-create) $(task-resume)"]\n')
    return file


def test_a_full_queue_of_a_node_is_found_where_a_machine_alone_has_it(arch: Arch, tmp_path: Path) -> None:
    path = module(arch, "sendtimeouts")
    with Machine.boot(path) as machine:
        machine.run(lambda m: any(row.messages >= row.limit > 0 for row in m.ports))
        number = next(row.number for row in machine.ports if row.messages >= row.limit > 0)
        expected = machine.time
    with Cluster.boot(alone(path, tmp_path)) as cluster:
        member = cluster.nodes["one"]
        assert find(cluster, member, f"queue {number}", search.forwards)
        assert cluster.time == expected
        found = cluster.point, cluster.digest()
        cluster.step("one", "trap", 3)
        assert find(cluster, member, f"queue {number}", search.backwards)
        assert (cluster.point, cluster.digest()) == found


@pytest.mark.parametrize("text", ["fault", "fault 1", "page 1 NEXT"])
def test_faults_and_written_pages_of_a_node_are_found_where_a_machine_alone_has_them(
    arch: Arch, text: str, tmp_path: Path
) -> None:
    path = module(arch, "pager") if text.startswith("fault") else image(arch, "pingpong")
    file = alone(path, tmp_path)
    with Machine.boot(path) as machine, Cluster.boot(file) as cluster:
        text = text.replace("NEXT", f"{machine.symbols.address('console', 1):#x}")
        condition, times = words.condition(machine, text.split()), list[int]()
        while len(times) < MOST:
            machine.travel(lambda subject, history: search.forwards(InMachine(subject, history, [condition])))
            times.append(machine.time)
        member = cluster.nodes["one"]
        found = points(cluster, member, text, times[-1] + 1)
        assert [point.time for point, _ in found] == times
        assert points_back(cluster, member, text, MOST - 1) == found[-2::-1]
        assert are_of_an_uncut_run(found, file)


def test_a_fault_in_a_node_among_others_is_found_when_a_hook_hears_of_it(cluster: Cluster, arch: Arch) -> None:
    name, heard = NODES[arch.name], list[int]()
    with Cluster.boot(GREET, record=False) as uncut:
        uncut.nodes[name].on("fault", lambda event: heard.append(event.time))
        uncut.run("END")
    cluster.go(cluster.earliest)
    found = points(cluster, cluster.nodes[name], "fault", heard[-1] + 1)
    assert [point.time for point, _ in found] == heard
    assert are_of_an_uncut_run(found, GREET)
    cluster.step(name, "trap")
    assert points_back(cluster, cluster.nodes[name], "fault", MOST) == found[::-1]


def test_the_first_node_in_which_one_of_several_conditions_comes_ends_the_run(cluster: Cluster) -> None:
    cluster.go(cluster.earliest)
    cluster.run(duration=BEGINNING)
    begin, firsts = cluster.point, []
    members = list(cluster.nodes.values())
    for member in members:
        cluster.go(begin)
        assert find(cluster, member, "message sent", search.forwards)
        firsts.append(cluster.point)
    cluster.go(begin)
    conditions = [(member, words.condition(member, ["message", "sent"])) for member in members]
    found = cluster.travel(lambda subject, history: search.forwards(InCluster(subject, history, conditions)))
    assert found.condition == firsts.index(min(firsts))
    assert cluster.point == min(firsts)


def test_a_condition_of_a_node_is_found_after_it_has_booted_anew(cluster: Cluster) -> None:
    cluster.go(cluster.earliest)
    cluster.run(duration=BEGINNING)
    cluster.restart("beta")
    member = cluster.nodes["beta"]
    assert find(cluster, member, "trap", search.forwards)
    found = cluster.point, cluster.digest()
    assert member.node.powered == 3_000_000
    assert 0 < member.kernel.trap_count < 20
    cluster.step("beta", "trap", 2)
    cluster.go(found[0])
    assert cluster.digest() == found[1]
