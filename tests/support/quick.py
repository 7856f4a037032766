"""The quick part of the tests: what `dev.py test --quick` runs after each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import is_hypothesis_test

from tests.support.guests import ARCHS

MARKS: Final = (
    "slow: takes more than a second of a processor; --quick leaves it out",
    "whole: --quick takes every one of its parameters",
)
LEFT_OUT: Final = ("slow", "real_kernel")
"""Marks of tests that it leaves out."""
IN_TURN: Final = tuple(f"tests/{name}/" for name in ("cli", "cluster", "debug", "front", "kernel", "lab", "replay", "servers"))
"""Where tests start commands, or run whole machines: each takes one processor, and the next one the other."""


def chosen(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Each test that is not left out, with the first of its parameters for each architecture that they name, or one of them."""
    fit = [item for item in items if not _is_left_out(item)]
    archs: dict[str, list[tuple[str, ...]]] = {}
    for item in fit:
        of = archs.setdefault(test_of(item), [])
        if _archs(item) not in of:
            of.append(_archs(item))
    for number, (test, of) in enumerate(archs.items()):
        if test.startswith(IN_TURN):
            archs[test] = [of[number % len(of)]]
    found = []
    for item in fit:
        wanted = archs[test_of(item)]
        if _archs(item) in wanted:
            found.append(item)
            if not item.get_closest_marker("whole"):
                wanted.remove(_archs(item))
    return found


def _is_left_out(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) for mark in LEFT_OUT) or is_hypothesis_test(getattr(item, "obj", None))


def test_of(item: pytest.Item) -> str:
    """A test's name, without its parameters."""
    return item.nodeid.partition("[")[0]


def _archs(item: pytest.Item) -> tuple[str, ...]:
    """The architectures that its parameters name."""
    parameters = item.nodeid.partition("[")[2]
    return tuple(name for name in ARCHS if name in parameters)
