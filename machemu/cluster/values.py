"""Values of a cluster file: tables whose keys are taken one by one, and what TOML's values stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from machemu.abi.errors import UserError
from machemu.cluster.lan import BANDWIDTH_MAX, TIME_MAX, Properties
from machemu.cluster.server_specs import NAME_SERVER, GuestSpec, ServerSpec
from machemu.sim.units import parse_time

T = TypeVar("T")
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
BANDWIDTH: Final = re.compile(r"(\d{1,12})([kMG]?)")
SERVER: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
BANDWIDTH_MIN: Final = 1000
LIMITS: Final = {"bandwidth": (BANDWIDTH_MIN, BANDWIDTH_MAX), "latency": (0, TIME_MAX), "delay": (1, TIME_MAX)}
"""Of a segment's properties that are whole numbers, in bits a second and nanoseconds. The others are from 0 to 1."""
MULTIPLES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(slots=True)
class Table:
    """A table of the file under examination: each key is taken once, and `end` refuses those that nobody took."""

    place: str
    values: dict[str, Any]
    taken: list[str] = field(default_factory=list)

    def take(self, key: str, convert: Callable[[Any], T], default: T | None = None) -> T:
        """A key's value as `convert` makes it, which raises ValueError or UserError; without the key, the default."""
        self.taken.append(key)
        if key not in self.values:
            if default is None:
                raise UserError(f"{self.place}{key}: is missing")
            return default
        return self.convert(key, self.values[key], convert)

    def convert(self, key: str, value: object, convert: Callable[[Any], T]) -> T:
        try:
            return convert(value)
        except (ValueError, UserError) as error:
            raise UserError(f"{self.place}{key}: {error}") from None

    def tables(self, key: str) -> dict[str, Table]:
        """The tables in a table, by name."""
        nothing: dict[str, Any] = {}
        tables = self.take(key, a_table, nothing)
        self.convert(key, list(tables), lambda names: [a_name(name) for name in names])
        return {
            name: Table(f"{self.place}{key}.{name}.", self.convert(f"{key}.{name}", value, a_table))
            for name, value in tables.items()
        }

    def end(self) -> None:
        for key in self.values:
            if key not in self.taken:
                raise UserError(f"{self.place}{key}: there is no such key; there are {', '.join(self.taken)}")


def properties_of(table: Table, default: Properties) -> Properties:
    """A segment's properties; those that are not named stay as in `default`."""
    return Properties(
        table.take("bandwidth", a_bandwidth, default.bandwidth),
        table.take("latency", a_time, default.latency),
        table.take("loss", a_probability, default.loss),
        table.take("duplication", a_probability, default.duplication),
        table.take("reordering", a_probability, default.reordering),
        table.take("delay", a_delay, default.delay),
    )


def check_properties(given: Mapping[str, object]) -> None:
    """UserError for numbers that a segment's properties cannot be."""
    if unknown := [name for name in given if name not in Properties._fields]:
        raise UserError(f"a segment has no {unknown[0]}: it has {', '.join(Properties._fields)}")
    for name, value in given.items():
        low, high = LIMITS.get(name, (0, 1))
        fits = isinstance(value, int if name in LIMITS else int | float) and not isinstance(value, bool)
        if not fits or not low <= value <= high:  # type: ignore[operator]
            raise UserError(f"{name}={value!r}: write a {'whole ' if name in LIMITS else ''}number from {low} to {high}")


# Values: each gives what a TOML value stands for, or raises ValueError.


def a_table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, and is {value!r}")
    return value


def a_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, and is {value!r}")
    return value


def a_text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be a text, and is {value!r}")
    return value


def texts(value: object) -> tuple[str, ...]:
    return tuple(a_text(item) for item in a_list(value))


def a_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name: 1 to 32 letters, digits, '_', '-' and '.'")
    return value


def a_time(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError(f"must be a time such as '5ms', and is {value!r}")
    time = parse_time(value)
    if time > TIME_MAX:
        raise ValueError(f"{value!r} is more than an hour")
    return time


def a_delay(value: object) -> int:
    time = a_time(value)
    if not time:
        raise ValueError(f"must be more than no time, and is {value!r}")
    return time


def a_probability(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"must be a number from 0 to 1, and is {value!r}")
    return float(value)


def a_truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, and is {value!r}")
    return value


def a_bandwidth(value: object) -> int:
    match = BANDWIDTH.fullmatch(value) if isinstance(value, str) else None
    bits = int(match[1]) * MULTIPLES[match[2]] if match is not None else 0
    if not BANDWIDTH_MIN <= bits <= BANDWIDTH_MAX:
        raise ValueError(f"must be bits a second from '1k' to '100G', such as '10M', and is {value!r}")
    return bits


def index_in(value: object, names: Sequence[str], what: str) -> int:
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"there is no {what} {value!r}; there are {', '.join(names) or 'none'}")
    return names.index(value)


def servers(value: object) -> tuple[ServerSpec | GuestSpec, ...]:
    return tuple(map(a_server, a_list(value)))


def a_server(value: object) -> ServerSpec | GuestSpec:
    """`module:class`, or a table of that as `class` and the options that the class has; or a table with a `guest`."""
    options: dict[str, Any] = dict(value) if isinstance(value, dict) else {"class": value}
    if "guest" in options:
        return a_guest(options)
    name = a_text(options.pop("class", None))
    if not SERVER.fullmatch(name):
        raise ValueError(f"{name!r} is no server: write 'module:class'")
    for key, option in options.items():
        if not isinstance(option, bool | int | str):
            raise ValueError(f"{name}: {key}: must be true, false, a whole number or a text, and is {option!r}")
    return ServerSpec(name, tuple(options.items()))


def a_class(value: object) -> ServerSpec:
    """As `a_server`, and no guest."""
    found = a_server(value)
    if isinstance(found, GuestSpec):
        raise ValueError(f"{found.command.split()[0]}: is a guest: write 'module:class'")
    return found


def a_guest(options: dict[str, Any]) -> GuestSpec:
    command = a_text(options["guest"])
    if not command.split():
        raise ValueError("guest: names no program")
    if others := [key for key in options if key not in ("guest", NAME_SERVER)]:
        raise ValueError(f"guest: has no {others[0]}; its arguments stand behind its path")
    try:
        return GuestSpec(command, a_truth(options.get(NAME_SERVER, False)))
    except ValueError as error:
        raise ValueError(f"{NAME_SERVER}: {error}") from None
