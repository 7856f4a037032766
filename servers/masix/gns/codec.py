"""The bytes of what network servers say to each other: described with construct, big-endian."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import construct as c

from masix.gns import deliver
from masix.gns.deliver import right_of, words_of
from masix.gns.wire import (
    ORDERS,
    Alive,
    Begun,
    Claim,
    Clash,
    Deliver,
    Died,
    Dropped,
    Flush,
    Flushed,
    Found,
    Gathering,
    Given,
    GivenUp,
    Home,
    Homed,
    Introduced,
    Known,
    Lay,
    Left,
    Moved,
    Onces,
    OnceUnused,
    Passed,
    Pause,
    Paused,
    Payload,
    Refused,
    Request,
    Resolve,
    RightKind,
    Stored,
    Taken,
    Unclaimed,
    Unused,
)
from masix.net.ip import NODE_MAX, NODE_MIN


class WireError(Exception):
    """What came is no message of this protocol."""


_RIGHT: Final = c.Struct("kind" / c.Int8ub, "node" / c.Int16ub, "number" / c.Int32ub, "more" / c.Int32ub)
"""more: a receive right's hops and limit, of two bytes each; another's pledge."""
_BYTES: Final = c.Prefixed(c.Int32ub, c.GreedyBytes)
_RIGHTS: Final = c.Struct(
    "offset" / c.Int32ub, "is_array" / c.Flag, "disposition" / c.Int8ub, "rights" / c.PrefixedArray(c.Int32ub, _RIGHT)
)
_MEMORY: Final = c.Struct("offset" / c.Int32ub, "size" / c.Int32ub, "token" / c.Int32ub, "place" / c.Int32ub, "data" / _BYTES)
"""token: 0 where the bytes are here."""
DELIVER: Final = c.Struct(
    "to" / _RIGHT,
    "answer" / _RIGHT,
    "order" / c.Int8ub,
    "id" / c.Int32sb,
    "flags" / c.Int32ub,
    "complex" / c.Flag,
    "body" / _BYTES,
    "rights" / c.PrefixedArray(c.Int32ub, _RIGHTS),
    "memory" / c.PrefixedArray(c.Int32ub, _MEMORY),
)
"""The reference for what deliver.py makes by hand."""
_NODE: Final = c.ExprValidator(c.Int16ub, lambda node, _: NODE_MIN <= node <= NODE_MAX)
_NODE_OR_0: Final = c.ExprValidator(c.Int16ub, lambda node, _: node <= NODE_MAX)
_NUMBER: Final = c.Struct("number" / c.Int32ub)
_KNOWN: Final = c.Struct("number" / c.Int32ub, "name" / _BYTES)
_REQUEST: Final = c.Struct(
    "number" / c.Int32ub,
    "node" / c.IfThenElse(c.this.number, c.Int16ub, c.Computed(0)),
    "pledge" / c.IfThenElse(c.this.node, c.Int32ub, c.Computed(0)),
)
_GIVEN: Final = c.Struct(
    "number" / c.Int32ub,
    "is_whole" / c.Flag,
    "is_unused" / c.Flag,
    "no_senders" / _REQUEST,
    "port_destroyed" / _REQUEST,
    "onces" / c.PrefixedArray(c.Int8ub, c.Struct("node" / _NODE_OR_0, "rights" / c.Int32ub)),
)
_SHAPES: Final[tuple[tuple[Any, Any], ...]] = (
    (Deliver, DELIVER),
    (Resolve, c.Struct("tag" / c.Int32ub, "name" / _BYTES, "host" / _BYTES)),
    (Found, c.Struct("tag" / c.Int32ub, "right" / _RIGHT)),
    (Known, _KNOWN),
    (Claim, c.Struct("number" / c.Int32ub, "via" / _NODE_OR_0, "pledge" / c.Int32ub)),
    (Passed, c.Struct("pledge" / c.Int32ub)),
    (Moved, c.Struct("number" / c.Int32ub, "right" / _RIGHT)),
    (Flush, c.Struct("number" / c.Int32ub, "origin" / _NODE, "home" / _NODE, "port" / c.Int32ub)),
    (Flushed, c.Struct("home" / _NODE, "port" / c.Int32ub)),
    (Unused, c.Struct("number" / c.Int32ub, "times" / c.Int32ub)),
    (Died, _NUMBER),
    (OnceUnused, _NUMBER),
    (Homed, c.Struct("homes" / c.PrefixedArray(c.Int16ub, c.Struct("token" / c.Int32ub, "number" / c.Int32ub)))),
    (Taken, c.Struct("number" / c.Int32ub, "times" / c.Int32ub)),
    (
        Lay,
        c.Struct(
            "token" / c.Int32ub,
            "total" / c.Int32ub,
            "place" / c.Int32ub,
            "address" / c.Int32ub,
            "size" / c.Int32ub,
            "unit" / c.ExprValidator(c.Int8ub, lambda unit, _: unit > 0),
            "order" / c.ExprValidator(c.Int8ub, lambda order, _: order < len(ORDERS)),
            "data" / _BYTES,
        ),
    ),
    (Stored, c.Struct("token" / c.Int32ub, "size" / c.Int32ub)),
    (Refused, c.Struct("token" / c.Int32ub)),
    (Dropped, c.Struct("token" / c.Int32ub)),
    (Left, c.Struct("name" / _BYTES)),
    (Clash, c.Struct("name" / _BYTES, "other" / _NODE)),
    (Alive, c.Struct()),
    (Gathering, c.Struct("group" / c.Int32ub)),
    (Introduced, c.Struct("services" / c.PrefixedArray(c.Int8ub, _KNOWN))),
    (Begun, c.Struct("age" / c.Int32ub)),
    (Unclaimed, c.Struct("home" / _NODE, "pledge" / c.Int32ub)),
    (GivenUp, c.Struct("rights" / c.PrefixedArray(c.Int16ub, _GIVEN))),
    (Pause, c.Struct("token" / c.Int32ub, "waits" / c.Flag, "numbers" / c.PrefixedArray(c.Int16ub, c.Int32ub))),
    (Paused, c.Struct("token" / c.Int32ub)),
)
"""By the first byte of a payload: what it becomes, and how it lies in the bytes behind."""
_NONE: Final = (RightKind.NULL, RightKind.DEAD)
_KINDS: Final[dict[Any, dict[str, tuple[RightKind, ...]]]] = {
    Found: {"right": (*_NONE, RightKind.SEND)},
    Moved: {"right": (RightKind.SEND,)},
}
"""The fields of a payload that are rights, and what they may be."""


def _request(said: Any) -> Request:
    if said.node > NODE_MAX:
        raise ValueError(f"{said.node} is no node")
    return Request(said.number, said.node, said.pledge)


def _given(said: Any) -> Given:
    onces = tuple([Onces(each.node, each.rights) for each in said.onces])
    return Given(said.number, said.is_whole, said.is_unused, _request(said.no_senders), _request(said.port_destroyed), onces)


_SEVERAL: Final[dict[Any, tuple[str, Callable[[Any], Any]]]] = {
    Introduced: ("services", lambda said: Known(said.number, said.name)),
    Homed: ("homes", lambda said: Home(said.token, said.number)),
    GivenUp: ("rights", _given),
    Pause: ("numbers", int),
}
"""The field of a payload that holds several of something, and what makes one of what has come."""
_NUMBERS: Final = {kind: number for number, (kind, _) in enumerate(_SHAPES)}
DELIVER_BEGIN: Final = bytes((_NUMBERS[Deliver],))


def _fields(each: Any) -> Any:
    if isinstance(each, int):
        return each
    fields = {name: _fields(value) if isinstance(value, Request) else value for name, value in each._asdict().items()}
    return fields | ({"onces": [several._asdict() for several in each.onces]} if isinstance(each, Given) else {})


def encode(payload: Payload) -> bytes:
    if isinstance(payload, Deliver):
        return DELIVER_BEGIN + deliver.encode(payload)
    number = _NUMBERS[type(payload)]
    fields = payload._asdict()
    for name in _KINDS.get(type(payload), ()):
        fields[name] = dict(zip(("kind", "node", "number", "more"), words_of(fields[name]), strict=True))
    if type(payload) in _SEVERAL:
        name, _ = _SEVERAL[type(payload)]
        fields[name] = [_fields(each) for each in fields[name]]
    return bytes((number,)) + bytes(_SHAPES[number][1].build(fields))


def decode(data: bytes) -> Payload:
    """Raises WireError."""
    if not data or data[0] >= len(_SHAPES):
        raise WireError("a message of no known kind")
    kind, shape = _SHAPES[data[0]]
    try:
        if kind is Deliver:
            return deliver.decode(data[1:])
        fields = c.Sequence(shape, c.Terminated).parse(data[1:])[0]
        values = {name: fields[name] for name in kind._fields}
        for name, kinds in _KINDS.get(kind, {}).items():
            said = values[name]
            values[name] = right_of(said.kind, said.node, said.number, said.more)
            if values[name].kind not in kinds:
                raise ValueError("a right of another kind")
        if kind in _SEVERAL:
            name, of = _SEVERAL[kind]
            values[name] = tuple(map(of, values[name]))
        return kind(**values)  # type: ignore[no-any-return]
    except (c.ConstructError, ValueError, LookupError, TypeError, struct.error) as error:
        raise WireError(f"a broken message: {error}") from None


def unverified(data: bytes) -> Resolve | Begun | None:
    """What a multicast says, if that is worth something before its sender's incarnation is verified."""
    try:
        payload = decode(data)
    except WireError:
        return None
    return payload if isinstance(payload, Resolve | Begun) else None
