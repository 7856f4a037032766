"""A dictionary whose replicas agree: the application of a group with total order.

Every replica applies the same operations in the same order to the same state, so it needs no other word with the others. What a
replica answers is what it has applied so far: a reader that must see its own writing waits for `completed`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

from machemu.sim.state import state
from masix.groups.broadcast import PAYLOAD_MAX
from masix.groups.group import Group
from masix.groups.view import Member, View
from masix.groups.wire import PacketError

KEY_MAX: Final = 1 << 10
VALUE_MAX: Final = PAYLOAD_MAX - KEY_MAX - 16
ENTRIES_MAX: Final = 1 << 16
CHANGES_MAX: Final = 1 << 12
"""Keys of which a watcher has not yet heard at most; beyond, it is told to look at all."""
PUT: Final = 1
DELETE: Final = 2
_OPERATION: Final = struct.Struct(">BH")
_ENTRY: Final = struct.Struct(">HI")
_COUNT: Final = struct.Struct(">I")


@state
class Watch:
    """prefix: of the keys watched. changed: those that changed since the watcher asked last. all: too many to list did."""

    __slots__ = ("all", "changed", "prefix")
    all: bool
    changed: dict[bytes, None]
    prefix: bytes

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.changed = {}
        self.all = False

    def note(self, key: bytes) -> None:
        if not self.all and key.startswith(self.prefix):
            self.changed[key] = None
            if len(self.changed) > CHANGES_MAX:
                self.note_all()

    def note_all(self) -> None:
        self.changed.clear()
        self.all = True


@state
class Dictionary:
    """entries: by key. group: who carries the operations; set by `join`. watches: by number. view: the last one installed, or
    None.

    An operation is its kind u8 (1 put, 2 delete), the key's size u16, the key, and for put the value. A snapshot is a count u32
    and as many (key's size u16, value's size u32, key, value), in the keys' order. Big-endian.
    """

    __slots__ = ("entries", "group", "view", "watches", "watches_made")
    entries: dict[bytes, bytes]
    group: Group | None
    view: View | None
    watches: dict[int, Watch]
    watches_made: int

    def __init__(self) -> None:
        self.entries = {}
        self.group = None
        self.watches = {}
        self.watches_made = 0
        self.view = None

    def join(self, group: Group) -> None:
        """The group (of total order) that this dictionary was opened with."""
        self.group = group

    def put(self, key: bytes, value: bytes) -> int | None:
        """Sets a key at all replicas. The ticket that `completed` reaches; None: not taken, as too much waits already."""
        if len(key) > KEY_MAX or len(value) > VALUE_MAX:
            raise ValueError(f"a key of {len(key)} or value of {len(value)} bytes is too long")
        return self._broadcast(_OPERATION.pack(PUT, len(key)) + key + value)

    def delete(self, key: bytes) -> int | None:
        """Removes a key, if it is there, at all replicas; as `put`."""
        if len(key) > KEY_MAX:
            raise ValueError(f"a key of {len(key)} bytes is too long")
        return self._broadcast(_OPERATION.pack(DELETE, len(key)) + key)

    def get(self, key: bytes) -> bytes | None:
        """What this replica has."""
        return self.entries.get(key)

    @property
    def completed(self) -> int:
        """All operations asked for here up to this ticket are applied here."""
        return self.group.settled if self.group is not None else 0

    def watch(self, prefix: bytes) -> int:
        """Begins to note which keys with this prefix change; the watch's number."""
        self.watches_made += 1
        self.watches[self.watches_made] = Watch(prefix)
        return self.watches_made

    def unwatch(self, number: int) -> None:
        del self.watches[number]

    def changes(self, number: int) -> tuple[bytes, ...] | None:
        """The keys that changed since the last call, in the order of their first change; None: look at all."""
        watch = self.watches[number]
        found = None if watch.all else tuple(watch.changed)
        watch.changed, watch.all = {}, False
        return found

    def drop(self, keys: Iterable[bytes]) -> None:
        """Removes keys at this replica alone: for `installed`, where all have the same, and drop the same."""
        for key in keys:
            del self.entries[key]
            self._note(key)

    def accepts(self, key: bytes, value: bytes) -> bool:
        """Whether there may be such an entry: something that all replicas answer alike. One that may not be is left out."""
        return True

    def _note(self, key: bytes) -> None:
        for watch in self.watches.values():
            watch.note(key)

    def digest(self) -> str:
        """SHA-256 of the snapshot, in hexadecimal: replicas that have applied the same have the same."""
        return hashlib.sha256(self.snapshot()).hexdigest()

    def _broadcast(self, operation: bytes) -> int | None:
        return None if self.group is None else self.group.broadcast(operation)

    # The group's application

    def deliver(self, origin: Member, payload: bytes) -> None:
        """Applies an operation. One that is none, or that is one key too many, is left out at all replicas alike."""
        del origin
        if len(payload) < _OPERATION.size:
            return
        kind, size = _OPERATION.unpack_from(payload)
        key, value = payload[_OPERATION.size :][:size], payload[_OPERATION.size + size :]
        if len(key) != size or (kind == DELETE and value) or kind not in (PUT, DELETE):
            return
        if kind == DELETE:
            if self.entries.pop(key, None) is None:
                return
        elif self.accepts(key, value) and (key in self.entries or len(self.entries) < ENTRIES_MAX):
            self.entries[key] = value
        else:
            return
        self._note(key)

    def installed(self, view: View) -> None:
        self.view = view

    def snapshot(self) -> bytes:
        parts = [_COUNT.pack(len(self.entries))]
        for key, value in sorted(self.entries.items()):
            parts += [_ENTRY.pack(len(key), len(value)), key, value]
        return b"".join(parts)

    def restore(self, snapshot: bytes) -> None:
        """Takes another replica's state over. PacketError: it is none, and nothing has changed."""
        entries: dict[bytes, bytes] = {}
        try:
            (count,) = _COUNT.unpack_from(snapshot)
            place = _COUNT.size
            for _ in range(count):
                key_size, size = _ENTRY.unpack_from(snapshot, place)
                place += _ENTRY.size
                entries[snapshot[place : place + key_size]] = snapshot[place + key_size : place + key_size + size]
                place += key_size + size
        except struct.error:
            raise PacketError("it is no dictionary") from None
        if place != len(snapshot) or len(entries) != count or count > ENTRIES_MAX:
            raise PacketError("it is no dictionary")
        if not all(self.accepts(*entry) for entry in entries.items()):
            raise PacketError("it has entries that cannot be")
        self.entries = entries
        for watch in self.watches.values():
            watch.note_all()
