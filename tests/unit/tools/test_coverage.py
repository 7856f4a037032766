"""The coverage page is what the tables say, and each of its rows is shown by a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu.core.coverage import ANSWERS, SERVED, UNKNOWN, Known, State, routines, traps
from machemu.core.routines.table import ROUTINES
from machemu.core.traps import ROWS
from tools import coverage

ROOT = Path(__file__).resolve().parents[3]
KNOWN = [*traps(), *routines()]
NOT_SHOWN = frozenset(
    (
        "device_close", "device_map", "device_read", "device_read_inband", "device_set_status", "device_get_status",
        "device_write", "device_open_reply", "device_write_reply", "device_write_reply_inband", "device_read_reply",
        "device_read_reply_inband",
        "mach_vm_region_info", "mach_vm_object_info", "mach_vm_object_pages", "memory_object_create_proxy",
        "vm_region_create_proxy", "vm_object_sync", "vm_set_default_memory_manager", "memory_object_create",
    )
)  # fmt: skip
"""Routines whose tests, if any, do not name them yet. To be emptied, never added to."""


def test_the_page_is_up_to_date() -> None:
    assert coverage.main(["--check"]) == 0


def test_every_handler_and_every_trap_has_a_row() -> None:
    assert set(ROUTINES) <= {known.number for known in routines()}
    assert {row.number for row in ROWS} == {known.number for known in traps()}
    assert {number for interface in SERVED for number in interface.ROUTINES} <= {known.number for known in routines()}


def test_no_row_is_there_twice() -> None:
    rows = [(known.interface, known.number) for known in KNOWN]
    assert len(set(rows)) == len(rows)


def test_what_is_declared_is_a_routine_or_trap() -> None:
    assert {*ANSWERS, *UNKNOWN, *coverage.DECLARED} <= {known.name for known in KNOWN}
    assert not [known.name for known in KNOWN if known.state is State.UNKNOWN and known.number in ROUTINES]


@pytest.mark.parametrize("known", [known for known in KNOWN if known.state is not State.USERS], ids=lambda known: known.name)
def test_each_is_shown_by_a_test_that_is_there(known: Known) -> None:
    tests = coverage.tests_of(known, coverage.sources())
    assert tests or known.name in NOT_SHOWN
    for test in tests:
        if "::" in test:
            path, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.M)
        else:
            assert (coverage.MODULES / f"{test}.expected").is_file()


def test_an_old_page_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(coverage, "PAGE", tmp_path / "coverage.md")
    assert coverage.main(["--check"]) == 1
    assert "run python3 tools/dev.py tables coverage" in capsys.readouterr().err
    assert coverage.main([]) == 0
    assert coverage.main(["--check"]) == 0
