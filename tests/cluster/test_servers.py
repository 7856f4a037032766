"""Host-side servers of a cluster's nodes: launched at each boot, before the modules, saved and loaded with their nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.file import parse_file
from machemu.cluster.server_specs import ServerSpec
from tests.support.clusters import MS, ROOT, SECOND, World, fault, node, saved_in_between, ticks

TICKER = 'servers = ["tests.support.programs:Ticker"]\n'
TEXT = "[segments.lan]\n" + node("one", "ask", 2, 2) + TICKER + '[nodes.two]\nprofile = "sun3-60"\nmemory = "4M"\n' + TICKER
END = 95 * MS


def test_a_server_runs_beside_modules_and_alone_on_any_machine() -> None:
    with World(TEXT) as world:
        world.run(END)
        for number, name in enumerate(("one", "two"), 1):
            lines = ticks(world, name)
            assert [line[:4] for line in lines] == [["node", str(number), "tick", str(n)] for n in range(1, len(lines) + 1)]
            assert len(lines) >= 5
        assert "device_set_filter -> 00000000" in world.lines("one")


def test_each_boot_of_each_node_has_a_seed_of_its_own() -> None:
    def seeds(seed: int) -> list[str]:
        with World(TEXT + fault("50ms", "restart", node="two"), seed) as world:
            world.run(END)
            found = [line[4] for name in ("one", "two") for line in ticks(world, name)]
            return list(dict.fromkeys(found))

    assert len(seeds(1)) == 3
    assert seeds(1) == seeds(1)
    assert not set(seeds(1)) & set(seeds(2))


@pytest.mark.parametrize("cut", [0, 10 * MS, 33_333_333])
def test_servers_are_saved_with_their_nodes(cut: int, tmp_path: Path) -> None:
    with saved_in_between(TEXT, cut, END, tmp_path / "saved") as world:
        assert ticks(world, "one")


def test_the_name_server_of_masix_serves_a_node() -> None:
    text = "[segments.lan]\n" + node("one", "answer") + 'servers = ["masix.acs.server:Acs", "tests.support.programs:Ticker"]\n'
    with World(text) as world:
        world.run(SECOND)
        assert len(ticks(world, "one")) > 40
        kernel = world.node("one").kernel
        assert kernel is not None
        names = [task.name for task in kernel.kern.tasks.values()]
        assert names[1:3] == ["acs", "ticker"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:Server", "cannot be imported"),
        ("tests.support.programs:Nobody", "has no server Nobody"),
        ("tests.support.programs:PERIOD_MS", "has no server PERIOD_MS"),
        ("machemu.abi.errors:UserError", "has no server UserError"),
    ],
)
def test_what_is_no_server_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"node one: server {name}: .*{message}"):
        World(f'[nodes.one]\nservers = ["{name}"]\n')


def test_machemu_knows_no_server_by_itself() -> None:
    spec = parse_file(TEXT, ROOT)
    assert spec.nodes[0].servers == (ServerSpec("tests.support.programs:Ticker"),)
    sources = [path.read_text() for path in (ROOT / "machemu").rglob("*.py")]
    assert not any("import masix" in source or "from masix" in source for source in sources)


def test_a_server_has_the_options_that_its_class_knows() -> None:
    text = '[nodes.one]\nservers = [{ class = "tests.support.programs:Ticker", period_ms = 40 }]\n'
    with World(text) as world:
        world.run(95 * MS)
        assert 1 < len(ticks(world, "one")) < 4


@pytest.mark.parametrize("option", ["wrong = 1", "seed = 5", "node = true"])
def test_options_that_a_class_does_not_know_are_refused(option: str) -> None:
    with pytest.raises(UserError, match=r"node one: server tests\.support\.programs:Ticker: has not these options"):
        World(f'[nodes.one]\nservers = [{{ class = "tests.support.programs:Ticker", {option} }}]\n')
