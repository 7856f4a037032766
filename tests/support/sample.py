"""A sample of the tests, another one with each seed: of those that take long, a third of each one's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from tests.support.quick import test_of

LEFT_OUT: Final = "real_kernel"
"""The real kernel is the same with either engine."""
SHARE: Final = 3


def sampled(items: Sequence[pytest.Item], seed: int) -> list[pytest.Item]:
    """All that are quick, and at least one of each test that is marked `slow`."""
    long: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            long.setdefault(test_of(item), []).append(item)
    random = Random(seed)
    left = {item for each in long.values() for item in random.sample(each, len(each) - -(-len(each) // SHARE))}
    return [item for item in items if item not in left and not item.get_closest_marker(LEFT_OUT)]
