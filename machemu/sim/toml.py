"""TOML that a user wrote: read with a bound on its numbers, and refused in one line."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from machemu.abi.errors import UserError

DIGITS_MAX: Final = 20
"""Digits of a whole number at most: 64 bits have no more."""


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a text. UserError, without the file's name, where it is no TOML or has a number of more than 64 bits."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"is not TOML: {error}") from None
    except RecursionError:
        raise UserError("its brackets are nested too deeply") from None
    except ValueError:  # Python's own limit for the digits of a number
        raise UserError(f"has a number of more than {DIGITS_MAX} digits") from None
    _check_numbers(table)
    return table


def _check_numbers(table: dict[str, Any]) -> None:
    """Numbers in other bases are read at any length."""
    left: list[tuple[str, object]] = [(key, value) for key, value in table.items()]
    while left:
        place, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{place}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            left += [(f"{place}[{n}]", each) for n, each in enumerate(value, 1)]
        elif isinstance(value, int) and value.bit_length() > 64:
            raise UserError(f"{place}: has a number of more than 64 bits, " + f"{value:#x}"[:40])
