"""The figures of docs/groups.md are those that come out, and its list of files is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from masix.groups import Order
from masix.groups.wire import GroupPacketKind
from tests.support.groups import MS, GroupWorld

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "groups.md").read_text()


def test_the_page_names_every_file() -> None:
    files = {file.name for file in (ROOT / "servers" / "masix" / "groups").glob("[a-z]*.py")}
    named = {name for line in PAGE.splitlines() if line.startswith("| `") for name in line.split("|")[1].split("`")[1::2]}
    assert named == files - {"view.py"}


@pytest.mark.slow
def test_a_view_of_many_does_not_fill_the_network_with_its_status() -> None:
    """One of 64 has four times the bytes of one of 32 to tell in all, and tells it four times less often."""
    counts = []
    for size in (32, 64):
        world = GroupWorld(1, size, Order.TOTAL)
        world.run(2_000 * MS)
        before = world.frames[GroupPacketKind.STATUS]
        world.run(40_000 * MS)
        counts.append((world.frames[GroupPacketKind.STATUS] - before) / size)
    assert counts == [4, 1]


@pytest.mark.slow
def test_members_that_wait_for_a_quorum_do_not_fill_the_network_with_their_status() -> None:
    """A half of 32 can end no view: each of its members tells its STATUS about every 160 ms, and none asks for the others."""
    world = GroupWorld(1, 32, Order.TOTAL)
    world.run(2_000 * MS)
    world.partition([number % 2 for number in range(32)])
    world.run(5_000 * MS)
    assert all(life.group.blocked for life in world.staying())
    before = world.frames[GroupPacketKind.STATUS]
    world.run(8_000 * MS)
    assert (world.frames[GroupPacketKind.STATUS] - before) / 32 <= 60
