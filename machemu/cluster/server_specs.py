"""Servers as a cluster file names them: classes on the host, and guest programs."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from machemu.cluster.values import a_list, a_text, a_truth
from machemu.sim.state import state

SERVER: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
NAME_SERVER: Final = "name-server"


@state
class ServerSpec(NamedTuple):
    """A host-side server: `module:class`, and options, which the class knows."""

    name: str
    options: tuple[tuple[str, bool | int | str], ...] = ()


@state
class GuestSpec(NamedTuple):
    """A guest program as a server: its path and arguments. name_server: it is the node's."""

    command: str
    name_server: bool = False


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
