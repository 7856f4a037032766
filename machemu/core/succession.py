"""A server in the place of another one, which hands its ports over to it. Either is a host-side server or a guest.

The successor waits at a port of its own for what it is left, and the predecessor is told of that at another one: by the loader,
or where the successor is a guest, by that, once it can inherit. The rest is between the two (user.kit, images/lib/succession.h).
Where the predecessor ends without a word, the successor begins as any server does.

The port where a host-side server is told is made for that. A guest has put one of its own into the last of its registered ports.
A successor that is a guest finds a right to the port where it inherits there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from machemu.abi.errors import UserError
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE
from machemu.abi.port import RIGHT_RECEIVE
from machemu.core.host_side import launch
from machemu.core.kernel import Kernel
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.mig.interfaces.succession import SUCCESSION_BEGIN, SUCCESSION_FOLLOW
from machemu.mig.runtime import Routine
from machemu.sim.state import PortName
from machemu.user.kit import HostServer
from machemu.user.server import Server
from machemu.user.task import ServerTask
from machemu.user.thread import ServerThread

SLOT: Final = -1
"""Among a guest's registered ports."""


def shared_of(task: Task) -> ServerTask | None:
    """What the threads of a host-side server's task share; None for a guest."""
    programs = [program for thread in task.threads.values() if isinstance(program := thread.program, ServerThread)]
    return programs[0].task if programs else None


def check(task: Task, successor: Server | None, is_name_server: bool) -> None:
    """UserError, which says why, where a server cannot follow that of a task. successor: None for a guest. is_name_server:
    whether the task's is the node's name server."""
    shared = shared_of(task)
    servers = [server for server in (shared and shared.server, successor) if server is not None]
    for server in servers:
        if not isinstance(server, HostServer) or type(server).legacy is HostServer.legacy:
            raise UserError(f"{type(server).__name__} hands nothing over: it has no legacy(self, mach)")
    if successor is not None and successor.name_server is not is_name_server:
        raise UserError(f"{type(successor).__name__} is {'a' if successor.name_server else 'no'} name server")
    one, other = (server if isinstance(server, HostServer) else None for server in (successor, shared and shared.server))
    if reason := (one and one.refuses(other)) or (other and other.refuses(one)):
        raise UserError(reason)
    if shared is None:
        if one is not None and type(one).accepts is HostServer.accepts:
            raise UserError(f"{type(one).__name__} follows no guest: it has no accepts(self, legacy)")
        _registered(task)
    elif not {"control", "successor"}.isdisjoint(shared.names) or not shared.port or shared.leaves:
        raise UserError("is about to be replaced already, or has not begun")


def _registered(task: Task) -> Port:
    """The port where a guest hears of its successor. UserError where it has none."""
    right = task.itk_registered[SLOT]
    if not isinstance(right, Port) or not right.active or right.receiver is not task.space:
        raise UserError(
            "is a guest program that hands nothing over, or has not begun: the last of its registered ports is no port of its own"
        )
    return right


def replace(kernel: Kernel, task: Task, successor: Server, name: str, rights: Mapping[str, Port]) -> Task:
    """A host-side server's task that takes over what a task's server leaves. Both have been checked. rights: as `launch`."""
    heir = launch(kernel, successor, name, rights, inherits=True)
    inherits = shared_of(heir)
    assert inherits is not None
    legacy = _port(heir, inherits.names["legacy"])
    right = ports.make_send(kernel.ipc, legacy)
    ports.nsrequest(kernel.ipc, legacy, 0, ports.make_sonce(kernel.ipc, legacy))
    _tell(kernel, _control(kernel, task), PORT_SEND_ONCE, SUCCESSION_BEGIN, right)
    return heir


def make_legacy(kernel: Kernel, heir: Task) -> Port:
    """The port where a guest that has not run yet will inherit."""
    legacy = _port(heir, mach_port.mach_port_allocate(kernel.ipc, heir.space, RIGHT_RECEIVE))
    heir.itk_registered[SLOT] = ports.make_send(kernel.ipc, legacy)
    return legacy


def follow(kernel: Kernel, task: Task, legacy: Port) -> None:
    """Tells the guest that inherits at a port to follow a task's server. Both have been checked."""
    _tell(kernel, ports.make_send(kernel.ipc, legacy), PORT_SEND, SUCCESSION_FOLLOW, _control(kernel, task))


def _control(kernel: Kernel, task: Task) -> Port:
    """A send-once right to the port where a server hears of its successor, of which it will hear nothing again there."""
    shared = shared_of(task)
    if shared is not None:
        shared.names["control"] = mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE)
        mach_port.mach_port_move_member(kernel.ipc, task.space, shared.names["control"], shared.port)
        return ports.make_sonce(kernel.ipc, _port(task, shared.names["control"]))
    port = _registered(task)
    task.itk_registered[SLOT] = None
    right = ports.make_sonce(kernel.ipc, port)
    ports.release_send(kernel.ipc, port)
    return right


def _tell(kernel: Kernel, to: Port, kind: int, routine: Routine, right: Port) -> None:
    """Sends a message with a right by a right of a kind; both are consumed."""
    body, carried = routine.request.pack(kernel.ipc.order, (right,))
    kmsgs.kernel_send(kernel.ipc, kmsgs.make(kernel.ipc, to, kind, None, 0, routine.request.id, body, carried))


def _port(task: Task, name: PortName) -> Port:
    entry = task.space.lookup(name)
    assert entry is not None
    return entry.port()
