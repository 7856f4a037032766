"""State: the one way in which anything of the simulated world is saved, restored and digested.

Every class whose instances belong to a machine's state is marked `@state`. Its slots hold plain data only: None, bool, int,
float, str, bytes, bytearray, tuples, lists, dicts, deques, members of registered enums, registered named tuples, and other state
objects.
Slots named in the class's `TRANSIENT` are host-side (engines, callbacks, caches): they are neither saved nor digested, and the
owner attaches them again after a load. Slots that the class annotates are checked when they are loaded, as `sim.slots` says.
Dicts and lists keep their order; sets are refused, since their order is the host's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple, TypeVar

C = TypeVar("C", bound=type)

REGISTRY: dict[str, type] = {}
"""Every state class and enum by its qualified name; the only classes that a saved file can name."""


def state(cls: C) -> C:
    """Marks a class (with __slots__), a named tuple or an Enum as part of the simulated world's state."""
    if not issubclass(cls, Enum | tuple):
        for base in cls.__mro__[:-1]:
            if "__slots__" not in base.__dict__ and base.__module__ not in ("typing", "abc"):
                raise TypeError(f"{base.__qualname__} has no __slots__")
        if any("TRANSIENT" in base.__dict__ for base in cls.__mro__):
            cls.__getstate__ = _saved_part(fields(cls))  # type: ignore[method-assign, assignment]
    REGISTRY[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return cls


def _saved_part(names: tuple[str, ...]) -> Callable[[Any], object]:
    """What pickle keeps of an object: its saved slots alone."""
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda self: (None, {names[0]: values(self)})
    return lambda self: (None, dict(zip(names, values(self), strict=True)))


def fields(cls: type) -> tuple[str, ...]:
    """The saved slots of a state class, base classes first."""
    names: list[str] = []
    transient: set[str] = set()
    for base in reversed(cls.__mro__):
        slots = base.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
        transient.update(base.__dict__.get("TRANSIENT", ()))
    return tuple(name for name in names if name not in transient)


class Range(NamedTuple):
    """Numbers from `low` to `high`: what an `Annotated[int, Range(...)]` may be."""

    low: int
    high: int


class Size(NamedTuple):
    """How many bytes an `Annotated[bytes, Size(...)]` has: from `low` to `high`."""

    low: int
    high: int


NATURAL: Final = Range(0, (1 << 62) - 1)
"""What a slot that is annotated as `int` holds: counts, names."""
TIME_MAX: Final = (1 << 127) - 1
Time = Annotated[int, Range(0, TIME_MAX)]
"""Nanoseconds since power-on: a guest that only waits gets beyond 62 bits, which are 146 years, in seconds of the host's."""
Signed = Annotated[int, Range(-(1 << 80), 1 << 80)]
Natural = Annotated[int, NATURAL]
"""A count or a size of the kernel's, where `int` stands for Signed."""
Word = Annotated[int, Range(-(1 << 31), (1 << 32) - 1)]
"""32 bits, taken as a signed or an unsigned number."""
COST_MAX: Final = 10**12
Cost = Annotated[int, Range(0, COST_MAX)]
"""Nanoseconds that something takes by a machine's profile."""
U3 = Annotated[int, Range(0, (1 << 3) - 1)]
U8 = Annotated[int, Range(0, (1 << 8) - 1)]
U16 = Annotated[int, Range(0, (1 << 16) - 1)]
U31 = Annotated[int, Range(0, (1 << 31) - 1)]
U32 = Annotated[int, Range(0, (1 << 32) - 1)]
U64 = Annotated[int, Range(0, (1 << 64) - 1)]
PortName = U32
"""A name in a task's port name space; 0 and 0xFFFFFFFF stand for none and for a dead one."""


class NamesRight(NamedTuple):
    """What an `Annotated[PortName, NamesRight]` names in its task's space: a right of one of these types (MACH_PORT_TYPE bits).
    owns: whether each place that names one has a user reference of its own. optional: whether a slot may be 0 and name none;
    in a list or dict none ever is."""

    types: int
    owns: bool = False
    optional: bool = True


_SEND, _RECEIVE, _SEND_ONCE, _PORT_SET, _DEAD_NAME = (1 << bit for bit in range(16, 21))
Receive = Annotated[PortName, NamesRight(_RECEIVE)]
PortSet = Annotated[PortName, NamesRight(_PORT_SET)]
Receives = Annotated[PortName, NamesRight(_RECEIVE | _PORT_SET)]
Right = Annotated[PortName, NamesRight(_SEND | _RECEIVE | _SEND_ONCE | _DEAD_NAME)]
"""Names of rights of a host-side server's task."""
Reply = Annotated[PortName, NamesRight(_SEND | _SEND_ONCE | _DEAD_NAME, owns=True)]
"""The right of somebody who waits for an answer."""
SendRight = Annotated[PortName, NamesRight(_SEND | _DEAD_NAME, owns=True, optional=False)]
SendOnceRight = Annotated[PortName, NamesRight(_SEND_ONCE | _DEAD_NAME, owns=True, optional=False)]
ReceiveRight = Annotated[PortName, NamesRight(_RECEIVE, optional=False)]
"""Rights that each place which names one gives back."""
AnyName = Annotated[PortName, NamesRight(_SEND | _RECEIVE | _SEND_ONCE | _PORT_SET | _DEAD_NAME)]
