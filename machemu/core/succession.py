"""A host-side server in the place of another one, which hands its ports over to it.

The loader makes the successor, which waits at a port for what it is left, and tells the predecessor by a message of the kernel's
at a port to which nobody has a right. The rest is between the two (user.kit). Where the predecessor ends without a word, the
successor begins as any server does.
"""

from __future__ import annotations

from collections.abc import Mapping

from machemu.abi.errors import UserError
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE, CarriedPort, TypeDescriptor
from machemu.abi.port import RIGHT_RECEIVE
from machemu.core.host_side import launch
from machemu.core.kernel import Kernel
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.mig.interfaces.succession import SUCCESSION_BEGIN
from machemu.sim.state import PortName
from machemu.user.kit import HostServer
from machemu.user.server import Server
from machemu.user.task import ServerTask
from machemu.user.thread import ServerThread

WORD_BITS = 32


def shared_of(task: Task) -> ServerTask | None:
    """What the threads of a host-side server's task share; None for a guest."""
    programs = [program for thread in task.threads.values() if isinstance(program := thread.program, ServerThread)]
    return programs[0].task if programs else None


def check(task: Task, successor: Server) -> ServerTask:
    """UserError, which says why, where a server cannot follow that of a task."""
    shared = shared_of(task)
    if shared is None:
        raise UserError("is a guest program, which hands nothing over: stop it, and start another")
    for server in (shared.server, successor):
        if not isinstance(server, HostServer) or type(server).legacy is HostServer.legacy:
            raise UserError(f"{type(server).__name__} hands nothing over: it has no legacy(self, mach)")
    assert isinstance(shared.server, HostServer) and isinstance(successor, HostServer)
    if successor.name_server is not shared.server.name_server:
        raise UserError(f"{type(successor).__name__} is {'a' if successor.name_server else 'no'} name server")
    if reason := successor.refuses(shared.server) or shared.server.refuses(successor):
        raise UserError(reason)
    if not {"control", "successor"}.isdisjoint(shared.names) or not shared.port:
        raise UserError("is about to be replaced already, or has not begun")
    return shared


def replace(kernel: Kernel, task: Task, successor: Server, name: str, rights: Mapping[str, Port]) -> Task:
    """A task that takes over what a task's server leaves. rights: as `launch`. UserError as `check`."""
    shared = check(task, successor)
    heir = launch(kernel, successor, name, rights, inherits=True)
    inherits = shared_of(heir)
    assert inherits is not None
    legacy = _port(heir, inherits.names["legacy"])
    shared.names["control"] = mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE)
    mach_port.mach_port_move_member(kernel.ipc, task.space, shared.names["control"], shared.port)
    right = ports.make_send(kernel.ipc, legacy)
    ports.nsrequest(kernel.ipc, legacy, 0, ports.make_sonce(kernel.ipc, legacy))
    control = ports.make_sonce(kernel.ipc, _port(task, shared.names["control"]))
    word = TypeDescriptor(PORT_SEND, WORD_BITS, 1).word(kernel.cpu.order)
    carried = (CarriedPort(4, PORT_SEND, right),)
    body = kernel.ipc.pair.pack(word, 0)
    kmsgs.kernel_send(
        kernel.ipc, kmsgs.make(kernel.ipc, control, PORT_SEND_ONCE, None, 0, SUCCESSION_BEGIN.request.id, body, carried)
    )
    return heir


def _port(task: Task, name: PortName) -> Port:
    entry = task.space.lookup(name)
    assert entry is not None
    return entry.port()
