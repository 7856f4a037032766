"""Dates are read as people write them, and mean the same everywhere."""

from __future__ import annotations

import pytest

from machemu.abi.errors import UserError
from machemu.sim.units import parse_date


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("2000-01-01", 946_684_800),
        ("1994-07-01T12:30:00", 773_065_800),
        ("1994-07-01 12:30:00Z", 773_065_800),
        ("1994-07-01T14:30:00+02:00", 773_065_800),
        (" 1994-07-01T12:30 ", 773_065_800),
        ("2038-01-19T03:14:07", (1 << 31) - 1),
    ],
)
def test_a_date_is_seconds_since_1970_in_utc_unless_it_says_otherwise(
    text: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert parse_date(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "now", "12:30", "1994-13-01", "0", "1e9", "1969-12-31", "2038-01-19T03:14:08", "9999-12-31"]
)
def test_what_is_no_date_of_mach_s_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"^'{text}' is no date"):
        parse_date(text)
