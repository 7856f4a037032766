"""Sizes and times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from machemu.abi.errors import UserError

SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
TIMES = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}


def parse_size(text: str) -> int:
    """`64M`, `512K`, `1G` or a number of bytes."""
    match = re.fullmatch(r"(\d{1,20})\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise UserError(f"'{text}' is no size: write a number and K, M or G, such as 64M")
    return int(match[1]) * SIZES[match[2]]


def parse_time(text: str) -> int:
    """`100ms`, `2s`, `1.5s`, `3min` in nanoseconds."""
    match = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)\s*(ns|us|ms|s|min)", text.strip().lower())
    if match is None:
        raise UserError(f"'{text}' is no time: write a number and ns, us, ms, s or min, such as 500ms")
    whole, _, fraction = match[1].partition(".")
    unit = TIMES[match[2]]
    return int(whole) * unit + int(fraction or "0") * unit // int(10 ** len(fraction))


def parse_date(text: str) -> int:
    """`1994-07-01`, `1994-07-01T12:30:00` (UTC) or `1994-07-01T12:30:00+02:00` in seconds since 1970.

    UserError, too, for a date that Mach's 32 bits do not hold.
    """
    try:
        date = datetime.fromisoformat(text.strip())
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UserError(f"'{text}' is no date: write one such as 1994-07-01 or 1994-07-01T12:30:00, in UTC") from None
    if not 0 <= seconds < 1 << 31:
        raise UserError(f"'{text}' is no date of Mach's, which begin with 1970 and end in January 2038")
    return int(seconds)


def time_text(nanoseconds: int) -> str:
    """Virtual time in seconds with as many digits as it needs."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    digits = f"{rest:09}".rstrip("0")
    return f"{seconds}.{digits} s" if digits else f"{seconds} s"


def counted(number: int, what: str) -> str:
    """`1 trap`, `2 traps`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
