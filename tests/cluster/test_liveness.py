"""Nodes that depend on each other learn of each other's end within two seconds, and of nothing else."""

from __future__ import annotations

from itertools import product

import pytest

from machemu.machine.profile import DEFAULT_PROFILES
from masix.gns.server import Gns
from masix.gns.wire import RightKind
from tests.support.clusters import MS, SECOND, World, fault
from tests.support.dependents import Creditor, Dependent

WITHIN = 2 * SECOND
PROFILES = list(DEFAULT_PROFILES.values())
PAIRS = list(product(PROFILES, PROFILES))
START_MS = 3000
"""By then a group that replicates is at rest."""
PAUSE_MS = 1000


def cluster(profiles: tuple[str, str], replicates: bool, faults: str, quiet_ms: int = 0, lan: str = "") -> str:
    """Two nodes that depend on each other, and a third one on which nobody does."""
    text = f"[segments.lan]\n{lan}"
    gns = f'{{ class = "masix.gns.server:Gns", replicates = {str(replicates).lower()} }}'
    for name, other, profile in (("alpha", "beta", profiles[0]), ("beta", "alpha", profiles[1]), ("gamma", "", profiles[0])):
        options = f'name = "{name}", other = "{other}", start_ms = {START_MS}, quiet_ms = {quiet_ms}'
        program = f', {{ class = "tests.support.dependents:Dependent", {options} }}' if other else ""
        servers = f'["masix.acs.server:Acs", {gns}{program}]'
        text += f'[nodes.{name}]\nprofile = "{profile}"\nmemory = "4M"\nservers = {servers}\nnics = {{ eth0 = "lan" }}\n'
    return text + faults


def dependent(world: World, name: str) -> Dependent:
    (found,) = world.programs(name, Dependent)
    return found


@pytest.mark.parametrize("profiles", PAIRS)
@pytest.mark.parametrize("replicates", [False, True])
@pytest.mark.parametrize(("crash_ms", "back_ms"), [(4000, 0), (4321, 0), (3100, 0), (4200, 20), (4600, 300), (4450, 1300)])
def test_the_end_of_a_node_is_known_within_two_seconds_by_whom_it_concerns(
    profiles: tuple[str, str], replicates: bool, crash_ms: int, back_ms: int
) -> None:
    """Rights to its ports are dead names, its rights are gone, and a reply right that it held notifies: also where it is back."""
    faults = fault(f"{crash_ms}ms", "crash", node="alpha")
    if back_ms:
        faults += fault(f"{crash_ms + back_ms}ms", "restart", node="alpha")
    with World(cluster(profiles, replicates, faults)) as world:
        world.run(crash_ms * MS)
        before = dependent(world, "beta")
        assert before.found and not before.died
        world.run((crash_ms + 3000) * MS)
        after = dependent(world, "beta")
        times = [after.died, after.unused, after.spent]
        assert all(crash_ms * MS < time <= crash_ms * MS + WITHIN for time in times), times


@pytest.mark.parametrize("profiles", PAIRS)
@pytest.mark.parametrize("replaced", ["", "alpha", "beta"])
def test_who_has_the_right_to_an_answer_learns_within_two_seconds_that_nobody_waits_for_it(
    profiles: tuple[str, str], replaced: str
) -> None:
    """Also where a network server is another one meanwhile."""
    ends_ms = 1500
    text = "[segments.lan]\n"
    kinds = f'Debtor", ends_ms = {ends_ms}', 'Creditor"'
    for name, profile, kind in zip(("alpha", "beta"), profiles, kinds, strict=True):
        program = f'{{ class = "tests.support.dependents:{kind} }}'
        text += f'[nodes.{name}]\nprofile = "{profile}"\nmemory = "4M"\nnics = {{ eth0 = "lan" }}\n'
        text += f'servers = ["masix.acs.server:Acs", "masix.gns.server:Gns", {program}]\n'
    if replaced:
        text += f'[[actions]]\nat = "1400ms"\nkind = "replace"\nnode = "{replaced}"\n'
        text += 'name = "gns"\nserver = "masix.gns.server:Gns"\n'
    with World(text) as world:
        world.run(ends_ms * MS)
        (creditor,) = world.programs("beta", Creditor)
        assert not creditor.died and world.cluster.undone == []
        world.run(ends_ms * MS + WITHIN)
        (creditor,) = world.programs("beta", Creditor)
        assert ends_ms * MS < creditor.died
        for name in ("alpha", "beta"):
            (server,) = world.programs(name, Gns)
            assert not server.tables.onces
            assert all(export.kind is RightKind.SEND for export in server.tables.exports.values())


@pytest.mark.parametrize("profiles", PAIRS)
@pytest.mark.parametrize("replicates", [False, True])
@pytest.mark.slow
def test_a_pause_of_a_second_makes_messages_late_and_ends_no_right(profiles: tuple[str, str], replicates: bool) -> None:
    faults, at = "", 3300
    for number in range(12):
        name = ("alpha", "beta", "gamma")[number % 3]
        faults += fault(f"{at}ms", "pause", node=name) + fault(f"{at + PAUSE_MS}ms", "resume", node=name)
        at += PAUSE_MS + 137 + 61 * number
    with World(cluster(profiles, replicates, faults, quiet_ms=at)) as world:
        world.run((at + 3000) * MS)
        for name, other in (("alpha", "beta"), ("beta", "alpha")):
            mine, theirs = dependent(world, name), dependent(world, other)
            assert (mine.died, mine.unused, mine.spent) == (0, 0, 0)
            assert mine.heard == list(range(theirs.count)) and theirs.count > 100


@pytest.mark.parametrize("profiles", PAIRS)
def test_loss_of_three_frames_in_ten_is_not_taken_for_the_end_of_a_node(profiles: tuple[str, str]) -> None:
    with World(cluster(profiles, False, "", lan="loss = 0.3\n"), seed=3) as world:
        world.run(100 * SECOND)
        assert not dependent(world, "alpha").died and not dependent(world, "beta").died


def test_a_node_on_which_nobody_depends_is_asked_nothing() -> None:
    with World(cluster(PAIRS[1], False, "")) as world:
        world.run(5 * SECOND)
        world.frames.clear()
        world.run(15 * SECOND)
        assert world.frames
        stations = {frame[place : place + 6] for *_, frame in world.frames for place in (0, 6)}
        assert stations == {bytes([2, 0, 0, 0, number, 0]) for number in (1, 2)}
