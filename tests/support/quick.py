"""The quick part of the tests: what `dev.py test --quick` runs after each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import is_hypothesis_test

from tests.support.guests import ARCHS

MARKS: Final = (
    "slow: takes more than two seconds of a processor; --quick leaves it out",
    "whole: --quick takes every one of its parameters",
)
LEFT_OUT: Final = ("slow", "real_kernel")
"""Marks of tests that it leaves out."""


def chosen(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Each test that is not left out, with the first of its parameters for each architecture that they name."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    found = []
    for item in items:
        if any(item.get_closest_marker(mark) for mark in LEFT_OUT) or is_hypothesis_test(getattr(item, "obj", None)):
            continue
        test, _, parameters = item.nodeid.partition("[")
        key = test, tuple(name for name in ARCHS if name in parameters)
        if key not in seen or item.get_closest_marker("whole"):
            found.append(item)
        seen.add(key)
    return found
