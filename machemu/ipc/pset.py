"""A port set: ports that are received from as one (Mach's ipc_pset.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_NOT_IN_SET
from machemu.abi.message import MACH_RCV_PORT_CHANGED, MACH_RCV_PORT_DIED
from machemu.ipc import mqueue
from machemu.ipc.waitq import WaitQueue
from machemu.sim.state import PortName, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.subsystem import Ipc


@state
class PortSet:
    """A set and the one queue of its members' messages."""

    __slots__ = ("active", "local_name", "members", "messages", "receivers")
    active: bool
    local_name: PortName  # its name in the space that owns it
    members: dict[int, Port]  # by port number
    messages: deque[Kmsg]  # as a port's; none while any thread waits
    receivers: WaitQueue

    def __init__(self, name: PortName) -> None:
        self.active = True
        self.local_name = name
        self.members = {}
        self.messages = deque()
        self.receivers = WaitQueue()

    def check_invariants(self) -> None:
        if self.messages and self.receivers.threads:
            raise InvariantError("threads wait at a set that has messages")
        for number, port in self.members.items():
            if port.pset is not self or port.number != number or not port.active:
                raise InvariantError(f"port {number} is no member of its set")
        for kmsg in self.messages:
            port_of = kmsg.remote
            if getattr(port_of, "number", None) not in self.members:
                raise InvariantError("a set has a message for no member")
        self.receivers.check_invariants()


def add(ipc: Ipc, pset: PortSet, port: Port) -> None:
    """ipc_pset_add: messages join the set's queue; who received from the port itself is told that it changed."""
    port.pset = pset
    pset.members[port.number] = port
    mqueue.move(ipc, pset, port, port)
    mqueue.changed(ipc, port, MACH_RCV_PORT_CHANGED)


def remove(ipc: Ipc, pset: PortSet, port: Port) -> None:
    """ipc_pset_remove: the port's messages leave with it."""
    port.pset = None
    del pset.members[port.number]
    mqueue.move(ipc, port, pset, port)


def move(ipc: Ipc, port: Port, pset: PortSet | None) -> None:
    """ipc_pset_move: into a set, out of one, or both. KERN_NOT_IN_SET where the port is in none and shall be."""
    old = port.pset
    if pset is None and old is None:
        raise KernError(KERN_NOT_IN_SET)
    if old is pset:
        return
    if old is not None:
        remove(ipc, old, port)
    if pset is not None:
        add(ipc, pset, port)


def destroy(ipc: Ipc, pset: PortSet) -> None:
    """ipc_pset_destroy: the members live on with their messages; who received from the set is told that it died."""
    pset.active = False
    ipc.set_count -= 1
    for port in list(pset.members.values()):
        remove(ipc, pset, port)
    mqueue.changed(ipc, pset, MACH_RCV_PORT_DIED)
