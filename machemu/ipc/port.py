"""A port (Mach's ipc_port.c): its rights, its requests, its death; and how the kernel itself handles rights."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.message import MACH_MSG_SUCCESS, MACH_RCV_PORT_DIED, PORT_DEAD, PORT_SEND, PortDead
from machemu.abi.port import QLIMIT_DEFAULT, QLIMIT_MAX
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue, notify, pset
from machemu.ipc.waitq import WaitQueue
from machemu.sim.state import U32, Natural, PortName, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.pset import PortSet
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc

COUNT_MASK: Final = 0xFFFFFFFF


@cache
def request_table_sizes(page: int) -> tuple[int, ...]:
    """How the table of dead-name requests grows (ipc_table_fill) on a machine with pages of `page` bytes, a power of two.

    It decides the order in which the requests are answered.
    """
    slot = 8
    sizes = [size // slot for size in (1 << bit for bit in range(4, page.bit_length() - 1))]
    size = increment = page
    while len(sizes) < 63:
        for _ in range(min(15, 63 - len(sizes))):
            sizes.append(size // slot)
            size += increment
        increment = min(increment * 2, page * 8)
    return tuple(sizes)


@state
class ReplyPort(Enum):
    """What a reply port of the kernel's stands for, besides nothing."""

    ABANDONED = auto()
    """Its thread has ended. As in the real kernel it lives on while somebody may answer."""


ABANDONED: Final = ReplyPort.ABANDONED


@state
class Port:
    """A protected message queue."""

    __slots__ = (
        "active", "destination", "dnfree", "dnrequests", "kobject", "lost_requests", "lost_srights", "messages", "mscount",
        "msgcount", "nsrequest", "number", "payload", "pdrequest", "pset", "qlimit", "receiver", "receiver_name", "receivers",
        "senders", "seqno", "sorights", "srights",
    )  # fmt: skip
    number: Natural  # unique on the node
    active: bool  # False once it is dead; then only `number`, `active` and `sorights` mean anything
    kobject: object | None  # what the port stands for inside the kernel
    payload: U32 | None  # what receivers get instead of their name for the port (GNU Mach's protected payload)

    # Who receives:
    receiver: Space | None  # the space that holds the receive right, the kernel's own two among them; None while it is under way
    receiver_name: PortName  # its name there
    destination: Port | None  # while the receive right is in a message: the port that the message goes to, if known
    pset: PortSet | None  # the set it is in

    # The rights in existence:
    mscount: U32  # the make-send count
    srights: Natural  # send rights
    sorights: Natural  # send-once rights
    # Of srights those that nobody holds. As in the real kernel, a task that drops its receive right by mach_port_mod_refs loses
    # its own send right with it; a port that lives on by a port-destroyed request still counts it.
    lost_srights: Natural

    # Who is told of its end; send-once rights that the port owns:
    nsrequest: Port | None  # of no-senders
    pdrequest: Port | None  # of port-destroyed
    dnrequests: list[tuple[PortName, Port] | None]  # the table of dead-name requests, slot 0 unused: a name and a right each
    dnfree: list[Natural]  # its empty slots, the next one to be used last
    lost_requests: list[Natural]  # slots of dead-name requests that came with lost send rights, and that no name tells of

    # Its queue, empty while it is in a set:
    messages: deque[Kmsg]
    receivers: WaitQueue
    senders: WaitQueue  # threads that find the queue full
    seqno: U32  # the next message's number
    msgcount: Natural  # messages queued, or handed to receivers that have not run yet
    qlimit: Natural  # its limit

    def __init__(self, number: int, receiver: Space, name: PortName) -> None:
        self.number = number
        self.active = True
        self.receiver = receiver
        self.receiver_name = name
        self.destination = None
        self.mscount = 0
        self.srights = 0
        self.sorights = 0
        self.lost_srights = 0
        self.nsrequest = None
        self.pdrequest = None
        self.dnrequests = []
        self.dnfree = []
        self.lost_requests = []
        self.pset = None
        self.messages = deque()
        self.receivers = WaitQueue()
        self.senders = WaitQueue()
        self.seqno = 0
        self.msgcount = 0
        self.qlimit = QLIMIT_DEFAULT
        self.payload = None
        self.kobject = None

    def queued(self) -> list[Kmsg]:
        """The messages in its queue, in order."""
        return list(self.messages) if self.pset is None else [kmsg for kmsg in self.pset.messages if kmsg.remote is self]

    def next_seqno(self) -> int:
        seqno = self.seqno
        self.seqno = seqno + 1 & COUNT_MASK
        return seqno

    def check_invariants(self) -> None:
        if not self.active:
            if self.messages or self.receivers.threads or self.senders.threads or self.pset is not None:
                raise InvariantError(f"dead port {self.number} has messages or threads")
            return
        if self.srights < 0 or self.sorights < 0 or not 0 <= self.qlimit <= QLIMIT_MAX:
            raise InvariantError(
                f"port {self.number}: {self.srights} send, {self.sorights} send-once rights, limit {self.qlimit}"
            )
        if self.messages and self.receivers.threads:
            raise InvariantError(f"threads wait at port {self.number}, which has messages")
        if self.pset is not None and (self.messages or self.receivers.threads):
            raise InvariantError(f"port {self.number} is in a set but has messages or receivers of its own")
        if self.receiver is None and (self.pset is not None or self.receivers.threads):
            raise InvariantError(f"port {self.number} is under way and received from")
        if any(kmsg.remote is not self for kmsg in self.messages):
            raise InvariantError(f"port {self.number} has a message for another port")
        if sorted(self.dnfree) != [index for index, slot in enumerate(self.dnrequests) if index and slot is None]:
            raise InvariantError(f"port {self.number}: the free dead-name request slots are wrong")
        self.receivers.check_invariants()
        self.senders.check_invariants()


# Rights in the kernel's own hands


Right = Port | PortDead | None
"""A right under way, or what a name stood for: None is MACH_PORT_NULL. Its disposition says which right it is."""


def make_send(ipc: Ipc, port: Port) -> Port:
    """A new send right, made as a receiver makes it."""
    port.mscount = port.mscount + 1 & COUNT_MASK
    port.srights += 1
    return port


def copy_send(ipc: Ipc, right: Right) -> Right:
    """A copy of a send right: PORT_DEAD where the port is dead. Consumes nothing."""
    if not isinstance(right, Port):
        return PORT_DEAD if right is PORT_DEAD else None
    if not right.active:
        return PORT_DEAD
    right.srights += 1
    return right


def make_sonce(ipc: Ipc, port: Port) -> Port:
    """A new send-once right."""
    port.sorights += 1
    return port


def release_send(ipc: Ipc, right: Right) -> None:
    """Gives a send right up; None and PORT_DEAD are nothing to give up."""
    if not isinstance(right, Port) or not right.active:
        return
    right.srights -= 1
    if not right.srights:
        senders_gone(ipc, right)


def senders_gone(ipc: Ipc, port: Port) -> None:
    """Tells whoever asked that the last send right is gone."""
    request = port.nsrequest
    if request is not None:
        port.nsrequest = None
        notify.no_senders(ipc, request, port.mscount)
    end_abandoned(ipc, port)


def end_abandoned(ipc: Ipc, port: Port) -> None:
    """A reply port whose thread has ended goes with the last right by which somebody could answer."""
    if port.kobject is ABANDONED and not port.srights and not port.sorights:
        dealloc_kernel(ipc, port)


def release_sonce(ipc: Ipc, right: Right) -> None:
    """Gives a send-once right up without telling its port: it was used, or nobody shall know."""
    if isinstance(right, Port):
        right.sorights -= 1


def release_used(ipc: Ipc, right: Right, disposition: int) -> None:
    """Gives up the right by which a message came that the kernel has taken."""
    if disposition == PORT_SEND:
        release_send(ipc, right)
    else:
        release_sonce(ipc, right)


def release_receive(ipc: Ipc, port: Port) -> None:
    """Destroys a receive right that was under way."""
    destroy(ipc, port)


def dealloc_kernel(ipc: Ipc, port: Port) -> None:
    """ipc_port_dealloc_special: the kernel gives up a port of its own, which dies."""
    port.receiver = None
    port.kobject = None
    clear_receiver(ipc, port)
    destroy(ipc, port)


# The receive right


def leave_receiver(port: Port) -> None:
    """A receive right leaves whoever has it, and goes into a message."""
    if port.receiver is not None:
        port.mscount = 0
        port.receiver = port.destination = port.payload = None
        port.receiver_name = 0


def clear_receiver(ipc: Ipc, port: Port) -> None:
    """ipc_port_clear_receiver: the receive right is about to move or die. The port leaves its set, or its receivers go."""
    if port.pset is not None:
        pset.remove(ipc, port.pset, port)
    else:
        mqueue.changed(ipc, port, MACH_RCV_PORT_DIED)
    port.mscount = 0
    port.seqno = 0


def check_circularity(port: Port, dest: Port) -> bool:
    """Whether a message to `dest` with the receive right of `port` could never be received; otherwise notes where it goes."""
    base = dest
    while base is not port and base.active and base.receiver is None and base.destination is not None:
        base = base.destination
    if base is port:
        return True
    port.destination = dest
    return False


def destroy(ipc: Ipc, port: Port) -> None:
    """ipc_port_destroy: consumes the receive right, which is in nobody's space any more (`clear_receiver` came first).

    With a port-destroyed request the receive right travels to the requester and the port lives on.
    """
    port.receiver = port.destination = None
    port.receiver_name = 0
    port.payload = None
    request, port.pdrequest = port.pdrequest, None
    if request is not None:
        if not check_circularity(port, request):
            notify.port_destroyed(ipc, request, port)
            return
        release_sonce(ipc, request)
    mqueue.wake_senders(ipc, port)
    port.active = False
    del ipc.ports[port.number]
    request, port.nsrequest = port.nsrequest, None
    if request is not None:
        notify.send_once(ipc, request)
    while port.messages:
        kmsg = port.messages.popleft()
        kmsg.remote = None
        kmsgs.destroy(ipc, kmsg)
    requests, port.dnrequests, port.dnfree = port.dnrequests, [], []
    for slot in requests:
        if slot is not None:
            name, soright = slot
            notify.dead_name(ipc, soright, name)
    if port.kobject is not None:
        ipc.kernel.died(port)
        port.kobject = None


def set_qlimit(ipc: Ipc, port: Port, qlimit: int) -> None:
    """Sets the queue limit, and wakes as many blocked senders as it grew by."""
    for _ in range(qlimit - port.qlimit):
        sender = port.senders.dequeue()
        if sender is None:
            break
        sender.ith_state = MACH_MSG_SUCCESS
        ipc.scheduler.wake(sender)
    port.qlimit = qlimit


# Requests


def dnrequest(ipc: Ipc, port: Port, name: PortName, soright: Port, wanted: int = 0) -> int:
    """Notes a dead-name request of an active port and returns its slot: `wanted` where that can be had. Consumes `soright`, but
    not where it fails."""
    wanted = wanted if wanted < request_table_sizes(ipc.page_size)[-1] else 0
    while not port.dnfree or wanted >= len(port.dnrequests):
        table = port.dnrequests
        old = max(len(table), 1)
        new = next((size for size in request_table_sizes(ipc.page_size) if size > old), None)
        if new is None:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        table.extend([None] * (new - len(table)))
        port.dnfree.extend(range(old, new))
    if wanted and port.dnrequests[wanted] is None:
        port.dnfree.remove(wanted)
        index = wanted
    else:
        index = port.dnfree.pop()
    port.dnrequests[index] = (name, soright)
    return index


def dncancel(port: Port, index: int) -> Port:
    """Takes a dead-name request back; the caller gets its send-once right."""
    slot = port.dnrequests[index]
    if slot is None:
        raise InvariantError(f"port {port.number} has no dead-name request {index}")
    port.dnrequests[index] = None
    port.dnfree.append(index)
    return slot[1]


def dnrename(port: Port, index: int, name: PortName) -> None:
    slot = port.dnrequests[index]
    assert slot is not None
    port.dnrequests[index] = (name, slot[1])


def nsrequest(ipc: Ipc, port: Port, sync: int, request: Port | None) -> Port | None:
    """ipc_port_nsrequest: consumes `request`, which is answered at once where there are no senders; gives the previous one."""
    previous, port.nsrequest = port.nsrequest, request
    if not port.srights and sync <= port.mscount and request is not None:
        port.nsrequest = None
        notify.no_senders(ipc, request, port.mscount)
    return previous


def kernel_address(number: int) -> str:
    """What the kernel prints as the address of one of its objects: eight digits that tell objects of a kind apart."""
    return f"{0xC1000000 + number & 0xFFFFFFFF:08x}"
