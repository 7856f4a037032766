"""Options of actions, checked when the cluster file is read."""

from __future__ import annotations

from collections.abc import Sequence

from machemu.abi.errors import UserError


def text(key: str, value: object, limit: int, example: str) -> str:
    """UserError where it is no text of 1 to `limit` bytes that can be printed."""
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.encode()) <= limit:
        raise UserError(f"{key} = {value!r}: write {example}, of at most {limit} bytes that can be printed")
    return value


def truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key} = {value!r}: write true or false")
    return value


def node(key: str, value: str, names: Sequence[str]) -> None:
    """names: of the cluster's nodes. UserError where it is none."""
    if value not in names:
        raise UserError(f"{key} = {value!r}: there is no such node; there are {', '.join(names)}")
