"""A cluster with servers on the host does the same wherever its run is cut: also at a clock tick, within a server's work."""

from __future__ import annotations

from itertools import chain, repeat

import pytest

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from tests.support.busy_cluster import IMAGES, TEXT
from tests.support.clusters import MS, US

SPEC = parse_file(TEXT, IMAGES)
END = 80 * MS


def digest(step: int) -> str:
    """At END, when the run was cut at each multiple of `step` nanoseconds."""
    with Cluster(SPEC) as cluster:
        cluster.boot()
        for time in chain(range(step, END, step), repeat(END, 1)):
            cluster.run(time)
        return cluster.digest()


@pytest.mark.parametrize("step", [10 * MS, 1 * MS, 137 * US])
def test_a_cluster_does_the_same_however_its_run_is_cut(step: int, whole: str) -> None:
    assert digest(step) == whole


@pytest.fixture(scope="module")
def whole() -> str:
    return digest(END)
