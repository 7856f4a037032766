"""A node's name server, as its loader sees it: the ports that tasks reach it by, and who has them next where it ends.

A message does not name its sender. So each task that the loader starts has a port of the name server's of its own, which its
children inherit: the name server counts by it what it is made to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from machemu.abi.message import MOVE_RECEIVE, PORT_RECEIVE, PORT_SEND
from machemu.abi.port import RIGHT_RECEIVE
from machemu.core.host_side import launch
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port, right
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.mig.interfaces.name_server import NAME_SERVER_BEGIN, NAME_SERVER_CLIENT
from machemu.mig.runtime import Routine
from machemu.sim.state import PortName, state
from machemu.user.server import Server
from machemu.user.thread import ServerThread

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


@state
class NameServer(NamedTuple):
    """A node's name server."""

    service: Port  # serves whoever has no port of its own
    privileged: Port  # at this one it does more, for those to whom the loader gives a right
    clients: list[Port]  # each serves one of the tasks that the loader has started since, and the task's children


def launch_server(
    kernel: Kernel, server: Server, name: str, name_server: NameServer | None, privileged: bool = False
) -> NameServer | None:
    """A server of a node, which knows the port of the node's name server as `name-server`, where there is one, and if it is
    privileged that port's other one as `privilege`. The node's name server.

    The name server is the server that says so (Server.name_server). It has the receive rights, as `service` and `privileged`: new
    ones, or those that it takes over where there was a name server.
    """
    known = None if server.name_server else name_server
    task = launch(kernel, server, name, given_rights(kernel, known, privileged))
    if not server.name_server:
        return name_server
    return give_ports(kernel, task, name_server)


def give_ports(kernel: Kernel, task: Task, before: NameServer | None) -> NameServer:
    """As `make_name_server`, of a host-side server's task, which knows the rights as `service` and `privileged`."""
    made, names = make_name_server(kernel, task, before)
    for thread in task.threads.values():
        assert isinstance(thread.program, ServerThread)
        thread.program.task.names |= dict(zip(("service", "privileged"), names, strict=True))
    return made


def make_name_server(kernel: Kernel, task: Task, before: NameServer | None) -> tuple[NameServer, list[PortName]]:
    """Makes a task the name server, with the ports of the one before it, where there was one, else new ones; and its names of the
    receive rights of its service and of the port for privileged servers. Ports that are dead, or in a message, are nobody's."""
    if before is None or not _is_whole(before):
        names = [mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE) for _ in range(2)]
        found = [task.space.lookup(name) for name in names]
        service, privileged = (entry.port() for entry in found if entry is not None)
        return NameServer(service, privileged, []), names
    clients = _clients(before)
    names = []
    for port in before[:2]:
        _leave(kernel, port)
        names.append(right.copyout(task.space, port, PORT_RECEIVE))
    _leave_clients(kernel, before, clients)
    return before, names


def send_ports(kernel: Kernel, legacy: Port, before: NameServer) -> None:
    """Makes a guest the name server that was to follow one which ends; it gets nothing where a port is dead. legacy: where it
    waits for what that leaves."""
    if not _is_whole(before):
        return
    clients = _clients(before)
    for port in before[:2]:
        _leave(kernel, port)
    _send(kernel, legacy, NAME_SERVER_BEGIN, before[:2])
    _leave_clients(kernel, before, clients)


def _is_whole(name_server: NameServer) -> bool:
    """Whether somebody receives from both of its ports."""
    return all(port.active and port.receiver is not None for port in name_server[:2])


def _clients(before: NameServer) -> list[Port]:
    """The ports of clients that a name server receives from."""
    return [port for port in before.clients if port.active and port.receiver is before.privileged.receiver]


def _leave_clients(kernel: Kernel, name_server: NameServer, clients: list[Port]) -> None:
    for port in clients:
        _leave(kernel, port)
        _hand_over(kernel, name_server, port)


def _leave(kernel: Kernel, port: Port) -> None:
    """The receive right leaves the space that it is in."""
    assert port.receiver is not None
    mach_port.mach_port_extract_right(kernel.ipc, port.receiver, port.receiver_name, MOVE_RECEIVE)


def _hand_over(kernel: Kernel, name_server: NameServer, port: Port) -> None:
    """Sends the name server the receive right of a client's port."""
    _send(kernel, name_server.privileged, NAME_SERVER_CLIENT, (port,))


def _send(kernel: Kernel, target: Port, routine: Routine, receives: Sequence[Port]) -> None:
    """Sends a port a message with receive rights, which are nobody's."""
    ipc = kernel.ipc
    body, carried = routine.request.pack(ipc.order, receives)
    to = ports.make_send(ipc, target)
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, to, PORT_SEND, None, 0, routine.request.id, body, carried))


def client_port(kernel: Kernel, name_server: NameServer) -> Port:
    """A port of the name server's for one task, by which the name server counts what that and its children make it keep."""
    port = kernel.ipc.make_kernel_port(None)
    _hand_over(kernel, name_server, port)
    name_server.clients[:] = [*(each for each in name_server.clients if each.active), port]
    return port


def given_rights(kernel: Kernel, name_server: NameServer | None, privileged: bool) -> dict[str, Port]:
    """The ports to which a server of a node has rights from its start, by what it knows them as."""
    rights = {"host-port": kernel.kern.host.host_priv_self, "device-port": kernel.devices.master_port}
    if name_server is not None:
        rights["name-server"] = client_port(kernel, name_server)
        if privileged:
            rights["privilege"] = name_server.privileged
    return rights
