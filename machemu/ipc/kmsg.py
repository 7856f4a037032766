"""A message inside the kernel (Mach's ipc_kmsg.c): what it holds, how the kernel makes one, and how one is destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.abi.message import (
    HEADER_SIZE,
    MSGH_BITS_COMPLEX,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    PortDead,
)
from machemu.ipc import marequest, mqueue, notify
from machemu.ipc import port as ports
from machemu.sim.state import U8, U32, Natural, state

if TYPE_CHECKING:
    from machemu.ipc.carried import Carried
    from machemu.ipc.marequest import Marequest
    from machemu.ipc.port import Right
    from machemu.ipc.seams import MapCopy
    from machemu.ipc.subsystem import Ipc

for _kind in (CarriedPort, CarriedMemory, CarriedPorts, PortDead):
    state(_kind)

OVERHEAD: Final = 64
"""Bytes that a message costs besides its own, as the limit on the kernel's memory counts."""


@state
class Kmsg:
    """A message and all that it owns."""

    __slots__ = (
        "body", "carried", "charge", "circular", "direct", "flags", "id", "kept", "local", "local_type", "marequest", "remote",
        "remote_type", "resume", "seqno", "watched",
    )  # fmt: skip
    TRANSIENT = ("watched",)
    # Its header. The rights are of types PORT_SEND, PORT_SEND_ONCE or 0:
    remote: Right  # the destination
    remote_type: U8
    local: Right  # the reply right
    local_type: U8
    flags: U32  # the header's bits above the types, MSGH_BITS_COMPLEX among them
    seqno: U32  # what the header says; a receiver gets the port's number instead
    id: U32

    # Its body: the bytes after the header, in the machine's byte order, each descriptor as a receiver sees it. The words at the
    # places of `carried` are to be filled in:
    body: bytes | bytearray
    carried: list[Carried] | tuple[Carried, ...]
    circular: bool  # it carries a receive right that leads to its destination: a message that nobody could receive

    # What the kernel has to do with it:
    charge: Natural  # bytes it counts for in the node's message memory
    direct: bool  # it goes from hand to hand without being queued, and so without being counted
    marequest: Marequest | None  # what the sender is told when the message is received
    # While it is being copied in and waits for memory: the place of the item that is next, and whether one before it was more
    # than data; None otherwise.
    resume: tuple[Natural, bool] | None
    kept: MapCopy | None  # memory taken in order to do what the message asks for, while it waits for more

    # Transient, set by who watches alone:
    watched: tuple[object, int]  # who that is, and its number for the message

    def __init__(self, body: bytes | bytearray) -> None:
        self.remote = None
        self.remote_type = 0
        self.local = None
        self.local_type = 0
        self.flags = 0
        self.seqno = 0
        self.id = 0
        self.body = body
        self.carried = ()
        self.circular = False
        self.direct = False
        self.marequest = None
        self.charge = 0
        self.resume = None
        self.kept = None

    @property
    def complex(self) -> bool:
        return self.flags & MSGH_BITS_COMPLEX != 0

    @property
    def size(self) -> int:
        """msgh_size."""
        return HEADER_SIZE + len(self.body)

    def check_saved(self) -> None:
        """ValueError where its header names rights of other types than rights under way have."""
        for right, kind in ((self.remote, self.remote_type), (self.local, self.local_type)):
            if kind not in ((PORT_SEND, PORT_SEND_ONCE) if right is not None else (0, PORT_SEND, PORT_SEND_ONCE)):
                raise ValueError(f"a right in its header is of type {kind}")

    def check_invariants(self) -> None:
        if len(self.body) % 4:
            raise InvariantError(f"message {self.id} has a body of {len(self.body)} bytes")
        if self.carried and not self.complex:
            raise InvariantError(f"message {self.id} carries something but is simple")
        last = -4
        for item in self.carried:
            if not last < item.offset <= len(self.body) - 4:
                raise InvariantError(f"message {self.id} carries something at {item.offset}, after {last}")
            last = item.offset


def make(
    ipc: Ipc,
    remote: Right,
    remote_type: int,
    local: Right,
    local_type: int,
    msgh_id: int,
    body: bytes = b"",
    carried: tuple[Carried, ...] = (),
) -> Kmsg:
    """A message of the kernel's own, complex where it carries anything. It owns every right and all memory given to it.

    A receive right in the body leaves its receiver.
    """
    kmsg = Kmsg(body)
    kmsg.remote = remote
    kmsg.remote_type = remote_type
    kmsg.local = local
    kmsg.local_type = local_type
    kmsg.id = msgh_id
    if carried:
        kmsg.flags = MSGH_BITS_COMPLEX
        kmsg.carried = carried
        for item in carried:
            if isinstance(item, CarriedMemory) or item.disposition != PORT_RECEIVE:
                continue
            for right in item.ports if isinstance(item, CarriedPorts) else (item.port,):
                if isinstance(right, ports.Port):
                    ports.leave_receiver(right)
                    if isinstance(remote, ports.Port) and ports.check_circularity(right, remote):
                        kmsg.circular = True
    charge(ipc, kmsg, OVERHEAD + len(body))
    return kmsg


def kernel_send(ipc: Ipc, kmsg: Kmsg) -> None:
    """ipc_mqueue_send_always: sends a message of the kernel's own, whatever the queue's limit. Consumes it."""
    mqueue.send(ipc, None, kmsg, True)


def charge(ipc: Ipc, kmsg: Kmsg, size: int) -> None:
    """Counts a new message."""
    kmsg.charge = size
    ipc.message_count += 1
    ipc.message_bytes += size


def consume(ipc: Ipc, kmsg: Kmsg) -> None:
    """ikm_free: the message goes, all that it owned has been taken from it."""
    ipc.message_count -= 1
    ipc.message_bytes -= kmsg.charge
    kmsg.remote = kmsg.local = None
    kmsg.carried = ()


def destroy(ipc: Ipc, kmsg: Kmsg) -> None:
    """ipc_kmsg_destroy: destroys a message with all rights and memory in it.

    A receive right in it takes its port along, and the port its messages: they wait their turn in `dying`, so that no chain
    of ports inside messages makes this recur.
    """
    dying = ipc.dying
    dying.append(kmsg)
    if len(dying) > 1:
        return
    while dying:
        _clean(ipc, dying[0])
        consume(ipc, dying.popleft())


def _clean(ipc: Ipc, kmsg: Kmsg) -> None:
    if kmsg.marequest is not None:
        marequest.destroy(ipc, kmsg)
    destroy_right(ipc, kmsg.remote, kmsg.remote_type)
    destroy_right(ipc, kmsg.local, kmsg.local_type)
    destroy_carried(ipc, kmsg.carried)
    if kmsg.kept is not None:
        kmsg.kept.discard()


def destroy_carried(ipc: Ipc, carried: list[Carried] | tuple[Carried, ...]) -> None:
    """ipc_kmsg_clean_body: destroys what a body carries, in its order."""
    for item in carried:
        if isinstance(item, CarriedPort):
            destroy_right(ipc, item.port, item.disposition)
        elif isinstance(item, CarriedMemory):
            if item.copy is not None:
                item.copy.discard()
        elif isinstance(item, CarriedPorts):
            for right in item.ports:
                destroy_right(ipc, right, item.disposition)


def destroy_right(ipc: Ipc, right: Right, disposition: int) -> None:
    """ipc_object_destroy: a right under way is not wanted. A send-once right's port is told, a receive right's port dies."""
    if not isinstance(right, ports.Port):
        return
    if disposition == PORT_SEND:
        ports.release_send(ipc, right)
    elif disposition == PORT_SEND_ONCE:
        notify.send_once(ipc, right)
    elif disposition == PORT_RECEIVE:
        ports.release_receive(ipc, right)
    else:
        raise InvariantError(f"a right with disposition {disposition}")
