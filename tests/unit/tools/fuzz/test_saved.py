"""The hunt for saved clusters that hurt their host: what it changes, that it finds what it is to find, and a short one."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from machemu.cluster.cluster import Cluster
from tools.fuzz import saved
from tools.fuzz.__main__ import main
from tools.fuzz.saved import MOMENTS, Hunter

TRIALS = 60
NUMBERS = 24
"""So many trials that some of them load: two of three are refused."""


@pytest.fixture(scope="module")
def hunter(tmp_path_factory: pytest.TempPathFactory) -> Hunter:
    return Hunter(1, tmp_path_factory.mktemp("saved"))


@pytest.mark.slow
def test_what_is_saved_loads_and_runs_where_nothing_is_changed(hunter: Hunter) -> None:
    assert len(hunter.bases) == len(MOMENTS)
    for number in range(len(MOMENTS)):
        base = hunter.bases[number]
        hunter.saved.write_bytes(base.header + saved.packed(base.changer.plain))
        with Cluster.load(hunter.saved, hunter.spec) as cluster:
            sent = sum(node.frames for node in cluster.nodes)
            traps = sum(node.kernel.trap_count for node in cluster.nodes if node.kernel is not None)
            cluster.run(cluster.time + saved.RUN_NS)
            more = sum(node.kernel.trap_count for node in cluster.nodes if node.kernel is not None)
            assert (sum(node.frames for node in cluster.nodes), more) > (sent, traps), "something is under way"


def test_most_changes_are_in_what_servers_hold_and_each_kind_is_made(hunter: Hunter) -> None:
    chooser = random.Random(3)
    changer = hunter.bases[-1].changer
    said = [changer.change(chooser) for _ in range(400)]
    assert all(plain != changer.plain for plain, what in said if "a bit of" in what)
    assert sum("masix." in what or "machemu.user." in what for _, what in said) > len(said) // 2
    for kind in ("a bit of", "instead of", "changed places", "values of", "twice", "other bytes", "another object"):
        assert any(kind in what for _, what in said), kind


def test_a_trial_is_the_same_each_time(hunter: Hunter) -> None:
    first = (hunter.prepare(5), hunter.saved.read_bytes())
    assert hunter.prepare(6) != first[0]
    assert (hunter.prepare(5), hunter.saved.read_bytes()) == first


def test_what_a_load_or_a_run_raises_is_found(hunter: Hunter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise KeyError("broken")

    monkeypatch.setattr(Cluster, "run", broken)
    result = hunter.run(range(NUMBERS))
    assert result.find is None
    assert (result.refused + len(result.finds), result.ran) == (NUMBERS, 0)
    assert {each[1] for each in result.finds} == {"run"}
    monkeypatch.setattr(Cluster, "load", broken)
    assert Counter(each[1] for each in hunter.run(range(NUMBERS)).finds) == {"load": NUMBERS}


@pytest.mark.slow
def test_a_short_hunt_with_a_fresh_seed_finds_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    status = main(["--saved", "--count", str(TRIALS)])
    out = capfd.readouterr().out
    print(out)
    assert re.match(r"fuzz: seed \d+\n", out)
    assert status == 0, out
    figures = re.search(r"(\d+) saved clusters with (\d+) that ran and (\d+) refused, 0 found", out)
    assert figures is not None and int(figures[1]) == TRIALS and int(figures[2]) and int(figures[3])
