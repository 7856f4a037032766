"""Rights between nodes when nodes crash and the segment is bad, over real frames."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.units import parse_time
from masix.gns.server import Gns
from tests.support.clusters import MS, SECOND, World, fault
from tests.support.faults import LANS, MOMENTS
from tests.support.jugglers import STEPS
from tests.support.programs import END_MS, NodesJuggler, Watcher

NAMES = ("alpha", "beta", "gamma")
PROFILES = ("pc486dx2-66", "mc68040-25", "pc486dx2-66")
LOST_WITHIN = 4 * SECOND
HELD_MS = 500
"""A partition that is no longer ends no right, whatever else the segment does."""


def node(name: str, profile: str, server: str, option: str = "") -> str:
    gns = f'{{ class = "masix.gns.server:Gns"{option} }}'
    servers = f'["masix.acs.server:Acs", {gns}, {server}]'
    return f'[nodes.{name}]\nprofile = "{profile}"\nmemory = "4M"\nservers = {servers}\nnics = {{ eth0 = "lan" }}\n'


def at_rest(world: World, name: str) -> bool:
    """Whether a node's network server stands for nothing any more."""
    (server,) = world.programs(name, Gns)
    tables = server.tables
    kept = tables.exports, tables.proxies, tables.leaving, tables.pledges, tables.by_number, tables.onces, tables.watchers
    return not any(kept)


@pytest.mark.parametrize("at", ["1s", "150ms"])
def test_who_only_watches_is_told_of_a_crash(at: str) -> None:
    """Nobody sends anything, and the crash makes no noise."""
    text = "[segments.lan]\n" + node("alpha", PROFILES[0], '"tests.support.callers:Answerer"')
    text += node("beta", PROFILES[1], '"tests.support.programs:Watcher"') + fault(at, "crash", node="alpha")
    with World(text) as world:
        world.run(LOST_WITHIN)
        (watcher,) = world.programs("beta", Watcher)
        assert watcher.right and parse_time(at) < watcher.ended < LOST_WITHIN
        assert at_rest(world, "beta")


def test_who_gave_a_right_to_a_node_that_crashed_learns_that_nobody_has_it() -> None:
    text = "[segments.lan]\n" + node("alpha", PROFILES[0], '"tests.support.callers:Answerer"')
    text += node("beta", PROFILES[1], '"tests.support.programs:Watcher"') + fault("1s", "crash", node="beta")
    with World(text) as world:
        world.run(SECOND // 2)
        assert not at_rest(world, "alpha")
        world.run(LOST_WITHIN)
        assert at_rest(world, "alpha")


def test_nodes_that_depend_on_nobody_are_silent() -> None:
    with World(
        "[segments.lan]\n" + "".join(node(name, PROFILES[0], '"tests.support.callers:Answerer"') for name in NAMES)
    ) as world:
        world.run(SECOND)
        world.frames.clear()
        world.run(1000 * SECOND)
        assert world.frames == []


@settings(deadline=None, max_examples=40)
@given(
    LANS,
    st.integers(0, 1 << 32),
    st.tuples(STEPS, STEPS, STEPS),
    st.lists(st.tuples(MOMENTS, st.integers(1, 3000), st.integers(0, 2)), max_size=2),
    st.one_of(st.none(), st.tuples(MOMENTS, st.integers(0, 2), st.one_of(st.none(), st.integers(1, 3000)))),
)
def test_rights_that_wander_under_faults_leave_nothing_behind(
    lan: str, seed: int, scripts: tuple[Any, Any, Any], partitions: list[tuple[str, int, int]], crash: Any
) -> None:
    """No message comes twice or before an earlier one; nobody keeps anything of rights that are gone, or of a lost node."""
    text = f"[segments.lan]\n{lan}"
    for name, profile, script in zip(NAMES, PROFILES, scripts, strict=True):
        words = " ".join(f"{target}{what}" for target, what in script)
        text += node(name, profile, f'{{ class = "tests.support.programs:NodesJuggler", script = "{words}" }}')
    for at, length, alone in partitions:
        heals = f"{parse_time(at) // MS + length}ms"
        text += fault(at, "partition", segment="lan", groups=[[NAMES[alone]]]) + fault(heals, "heal", segment="lan")
    if crash is not None:
        at, number, back = crash
        text += fault(at, "crash", node=NAMES[number])
        if back is not None:
            text += fault(f"{parse_time(at) // MS + back}ms", "restart", node=NAMES[number])
    with World(text, seed) as world:
        world.run(2 * END_MS * MS)
        living = [name for name in NAMES if world.node(name).kernel is not None]
        for name in living:
            (juggler,) = world.programs(name, NodesJuggler)
            assert crash is not None or sum(length for _, length, _ in partitions) > HELD_MS or juggler.script == []
            assert all(counts == sorted(set(counts)) for counts in juggler.heard.values())
        assert [name for name in living if not at_rest(world, name)] == []
