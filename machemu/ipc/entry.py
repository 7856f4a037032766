"""One name of a port name space and the rights it denotes (Mach's ipc_entry.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.port import TYPE_DEAD_NAME, TYPE_NONE, TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.sim.state import U32, Natural, PortName, state

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.ipc.pset import PortSet

TYPE_SEND_RECEIVE: Final = TYPE_SEND | TYPE_RECEIVE
TYPE_SEND_RIGHTS: Final = TYPE_SEND | TYPE_SEND_ONCE
TYPE_PORT_RIGHTS: Final = TYPE_SEND_RIGHTS | TYPE_RECEIVE
TYPE_PORT_OR_DEAD: Final = TYPE_PORT_RIGHTS | TYPE_DEAD_NAME


@state
class Entry:
    """A name in use."""

    __slots__ = ("marequest", "name", "object", "request", "type", "urefs")
    name: PortName
    type: U32  # TYPE_ bits; of a send and a receive right both. TYPE_NONE: a right is on its way in or out
    urefs: Natural  # references of the send right or dead name, 1 for a send-once right; receive rights and sets count none
    object: Port | PortSet | None  # None for a dead name. A right to a dead port becomes a dead name when it is next used
    request: Natural  # the slot of its dead-name request in the port's table, 0 for none
    marequest: bool  # a msg-accepted notification is due

    def __init__(self, name: PortName) -> None:
        self.name = name
        self.type = TYPE_NONE
        self.urefs = 0
        self.object = None
        self.request = 0
        self.marequest = False

    def to_dead_name(self) -> None:
        """The port died, or its receive right goes: the name stays. A pending dead-name notification counts as a reference."""
        self.type = TYPE_DEAD_NAME
        self.object = None
        self.marequest = False
        if self.request:
            self.request = 0
            self.urefs += 1

    def port(self) -> Port:
        """The port of an entry with port rights."""
        assert self.object is not None
        return self.object  # type: ignore[return-value]
