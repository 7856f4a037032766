"""A map in words, as vm_map_info tells it and vm_map_set takes it; machemu/abi/migrate.py says what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ObjectWords(NamedTuple):
    number: int
    size: int
    flags: int
    users: int


class EntryWords(NamedTuple):
    start: int
    size: int
    offset: int
    protection: int
    max_protection: int
    inheritance: int
    wired_access: int
    flags: int
    object: int

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def window(self) -> tuple[int, int]:
        """What it shows of its object."""
        return self.offset, self.offset + self.size


class MapWords(NamedTuple):
    page_size: int
    flags: int
    first_free: int
    """A start, or NONE."""
    objects: list[ObjectWords]
    entries: list[EntryWords]
    gaps: list[int]
    """Starts, in their order."""
    mapped: list[int]
    """Of each page that the page tables have its address and, in the lowest bits, the access that they allow."""

    @classmethod
    def unpacked(cls, words: Sequence[int]) -> MapWords:
        """ValueError where there are fewer words than they say."""
        if len(words) < _HEAD:
            raise ValueError("a map's words end early")
        size, flags, first_free, object_count, entry_count, gap_count = words[:_HEAD]
        each_object, each_entry = len(ObjectWords._fields), len(EntryWords._fields)
        objects = _HEAD + object_count * each_object
        entries = objects + entry_count * each_entry
        gaps = entries + gap_count
        if gaps > len(words):
            raise ValueError("a map's words end early")
        return cls(
            size,
            flags,
            first_free,
            [ObjectWords(*words[at : at + each_object]) for at in range(_HEAD, objects, each_object)],
            [EntryWords(*words[at : at + each_entry]) for at in range(objects, entries, each_entry)],
            list(words[entries:gaps]),
            list(words[gaps:]),
        )

    def packed(self) -> list[int]:
        counts = len(self.objects), len(self.entries), len(self.gaps)
        words = (word for each in (*self.objects, *self.entries) for word in each)
        return [*self[:3], *counts, *words, *self.gaps, *self.mapped]


_HEAD = 6
"""The words before the objects: the last three are how many objects, entries and gaps there are."""
