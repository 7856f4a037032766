"""Servers as a cluster file names them: classes on the host, and guest programs."""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.sim.state import state

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


def name_of(spec: ServerSpec | GuestSpec) -> str:
    """What a server's task is called."""
    return spec.command.split()[0] if isinstance(spec, GuestSpec) else spec.name.partition(":")[2].lower()
