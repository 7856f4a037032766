"""What a name server leaves to its successor beside rights, in bytes that the one in Python and the one in C both read.

All numbers are of 32 bits, big-endian: a head with the last client's number and the counts of clients, names and watchers; the
clients' numbers; a record for each name, its text filled up with zeros, whose it is, and FLAGS; and for each watcher whose it is,
the counts of names of which it was told and of which it is to hear, and their places among the names. Whose: a client's number,
or NOBODY's for privileged servers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from machemu.user.kit import Legacy
from machemu.user.message import DEAD_NAME, NULL_NAME

TEXT_MAX: Final = 80
"""Bytes of a name, as of a netname_name_t."""
HEAD: Final = struct.Struct(">4I")
NAME: Final = struct.Struct(f">{TEXT_MAX}s2I")
WATCHER: Final = struct.Struct(">3I")
WORD_SIZE: Final = 4
NOBODY: Final = 0xFFFFFFFF
IS_THERE, ESSENTIAL, REGISTERED, SIGNED = FLAGS = (1, 2, 4, 8)
"""Of a name; one that is not there, with no flag, has gone, and a watcher has still to hear of that."""


class Name(NamedTuple):
    text: bytes
    client: int | None
    flags: int


class Watching(NamedTuple):
    client: int | None
    told: tuple[bytes, ...]
    waiting: tuple[bytes, ...]


class Estate(NamedTuple):
    """The rights are in the order of what they belong to. Received: the port for privileged servers', the clients', and those of
    names that are registered. Sent to: of each name that is there its service, and behind it its signature; then the watchers."""

    last: int
    clients: tuple[int, ...]
    names: tuple[Name, ...]
    watchers: tuple[Watching, ...]

    def receives(self) -> int:
        """How many receive rights go with it."""
        return 1 + len(self.clients) + sum(bool(name.flags & REGISTERED) for name in self.names)

    def sends(self) -> int:
        return sum(bool(name.flags & flag) for name in self.names for flag in (IS_THERE, SIGNED)) + len(self.watchers)


def pack(estate: Estate) -> bytes:
    places = {name.text: place for place, name in enumerate(estate.names)}
    parts = [HEAD.pack(estate.last, len(estate.clients), len(estate.names), len(estate.watchers)), _words(estate.clients)]
    parts += [NAME.pack(text, _number(client), flags) for text, client, flags in estate.names]
    for client, told, waiting in estate.watchers:
        parts.append(WATCHER.pack(_number(client), len(told), len(waiting)))
        parts.append(_words(places[text] for text in (*told, *waiting)))
    return b"".join(parts)


def unpack(data: bytes) -> Estate:
    """ValueError for what no name server leaves."""
    try:
        return _unpack(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"it ends too early, or names what is not there: {error}") from None


def is_whole(legacy: Legacy) -> bool:
    """Whether a name server can have left this, with the rights that belong to it."""
    try:
        left = unpack(legacy.data)
    except ValueError:
        return False
    receives, sends, onces = legacy.receives, legacy.sends, legacy.onces
    fits = (len(receives), len(sends), len(onces)) == (left.receives(), left.sends(), 0)
    return fits and NULL_NAME not in (*receives, *sends) and DEAD_NAME not in receives


def _unpack(data: bytes) -> Estate:
    last, clients, names, watchers = HEAD.unpack_from(data)
    place = HEAD.size
    numbers = struct.unpack_from(f">{clients}I", data, place)
    place += clients * WORD_SIZE
    found = list(_names(data[place : place + names * NAME.size], names))
    place += names * NAME.size
    watching = []
    for _ in range(watchers):
        client, told, waiting = WATCHER.unpack_from(data, place)
        places = struct.unpack_from(f">{told + waiting}I", data, place + WATCHER.size)
        texts = tuple(found[each].text for each in places)
        watching.append(Watching(_client(client), texts[:told], texts[told:]))
        place += WATCHER.size + len(places) * WORD_SIZE
    if place != len(data) or len({name.text for name in found}) < len(found):
        raise ValueError("it is too long, or has a name twice")
    return Estate(last, numbers, tuple(found), tuple(watching))


def _names(data: bytes, count: int) -> Iterator[Name]:
    if len(data) < count * NAME.size:
        raise ValueError("it ends within its names")
    for text, client, flags in NAME.iter_unpack(data):
        if not text[0] or flags not in range(sum(FLAGS) + 1) or (flags and not flags & IS_THERE):
            raise ValueError("a name in it is none")
        yield Name(text.partition(b"\0")[0], _client(client), flags)


def _words(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(WORD_SIZE, "big") for number in numbers)


def _number(client: int | None) -> int:
    return NOBODY if client is None else client


def _client(number: int) -> int | None:
    return None if number == NOBODY else number
