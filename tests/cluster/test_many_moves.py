"""A task that moves many times, and the nodes that it was on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.guests import Arch
from tests.support.travellers import GROWTH, travel


@pytest.mark.slow
def test_a_task_that_moves_many_times_leaves_nothing_behind(arch: Arch, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    early, late = travel(arch, seed, (12, 60), tmp_path)
    assert late.moves >= 60
    assert late.by_node == early.by_node
    assert late.blocks - early.blocks < GROWTH
