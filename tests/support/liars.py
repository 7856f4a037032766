"""A generic process server that lies: what others believe it to say is made up from outside."""

from __future__ import annotations

from typing import Any, Final

from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.mig.runtime import Routine
from machemu.user.message import NO_CALLER
from masix.gps.names import UqPid
from masix.gps.operations import Operation, Result
from masix.gps.processes import Pending
from tests.support.clusters import World
from tests.support.families import server

FORGED: Final = UqPid(0, 0, 1)
"""What is pending is not the server's own."""


def space_of(world: World, name: str) -> Space:
    kernel = world.node(name).kernel
    assert kernel is not None
    return next(task.space for task in kernel.kern.tasks.values() if task.name == "gps")


class Liar:
    """The server of the node `name` of a cluster."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    def broadcast(self, *operations: Operation) -> None:
        """Has the table do these with the server's next input; what became of them is nobody's."""
        gps = server(self.world, self.name)
        gps.later.extend((operation, Pending("_exited", FORGED, NO_CALLER)) for operation in operations)

    def outcomes(self) -> list[Result]:
        """What became of the last ones."""
        gps = server(self.world, self.name)
        return list(gps.table.pasts.get(gps.me, {}).values())

    def right(self, host: str, which: str) -> Port:
        """A right of its to another one's port: `named`, its service, or `right`, where it speaks to that."""
        name = getattr(server(self.world, self.name).peers[host.encode()], which)
        return space_of(self.world, self.name).table[name].port()

    def say(self, to: Port, routine: Routine, *values: Any) -> None:
        """Sends a request; nobody hears the answer."""
        node = self.world.node(self.name)
        assert node.kernel is not None
        right = ports.copy_send(node.kernel.ipc, to)
        assert isinstance(right, Port)
        self.world.post(node, right, routine, *values)
