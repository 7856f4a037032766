"""What of a map's words (machemu/abi/migrate.py) a space manager has to know: which regions there are, and of which objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from machemu.abi.migrate import NONE

HEAD_WORDS: Final = 5
"""Before the objects: the last two are how many objects and entries there are."""


class MapObject(NamedTuple):
    number: int
    size: int
    flags: int
    users: int


class MapEntry(NamedTuple):
    start: int
    size: int
    offset: int
    protection: int
    max_protection: int
    inheritance: int
    wired_access: int
    flags: int
    object: int


def parsed(words: Sequence[int]) -> tuple[list[MapObject], list[MapEntry]]:
    """A map's objects, and those of its entries that show one. ValueError for what is no map."""
    if len(words) < HEAD_WORDS:
        raise ValueError("it ends early")
    count, entries = words[HEAD_WORDS - 2 : HEAD_WORDS]
    middle = HEAD_WORDS + count * len(MapObject._fields)
    end = middle + entries * len(MapEntry._fields)
    if end > len(words):
        raise ValueError("it ends early")
    objects = [MapObject(*words[at : at + 4]) for at in range(HEAD_WORDS, middle, len(MapObject._fields))]
    found = [MapEntry(*words[at : at + 9]) for at in range(middle, end, len(MapEntry._fields))]
    return objects, [entry for entry in found if entry.object != NONE]
