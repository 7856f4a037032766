"""Tasks with sockets of a node's datagram server, from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from machemu.abi.message import PORT_SEND
from machemu.core.name_server import client_port
from machemu.ipc import right
from machemu.ipc.port import Port
from masix.interfaces import udp, udp_client
from masix.net.ip import ip_of
from masix.protocols.udp import Udp
from tests.support.guests import Arch
from tests.support.name_servers import HOST
from tests.support.protocols import NODE, Bench, Task
from tests.support.protocols import bench as node_bench


def number(node: int) -> int:
    return int.from_bytes(ip_of(node), "big")


class Client(Task):
    """A task with sockets. client: what it says is its port of the name server."""

    service: Port
    client: Port | None = None

    def is_client(self) -> None:
        """As if the loader had started it."""
        self.client = client_port(self.on.machine.kernel, self.on.names)
        right.copyout(self.task.space, self.send_right(self.client), PORT_SEND)

    def socket(
        self,
        port: int = 7,
        remote: int = 0,
        remote_port: int = 0,
        library: bool = False,
        receiver: Port | None = None,
        **given: Port,
    ) -> Any:
        """(socket, link, direct, address, station, port), or the code. privilege: in `given`."""
        privilege = self.send_right(given["privilege"]) if given else None
        to = self.send_right(receiver or self.make_port())
        client = self.send_right(self.client) if self.client else None
        code, *results = self.call(self.service, udp.UDP_OPEN, int(library), port, remote, remote_port, to, privilege, client)
        return tuple(results) if code == 0 else code

    def send(self, socket: Port, address: int, port: int, data: bytes) -> None:
        self.ask(socket, udp.UDP_SEND, address, port, data, answer=False)
        self.on.run()

    def datagrams(self, receiver: Port) -> list[tuple[Any, ...]]:
        """(address, port, data) of each that has come."""
        found = []
        while (body := self.discard(receiver)) is not None:
            found.append(udp_client.UDP_DATAGRAM.request.unpack(self.machine.arch.order, body, (), False))
        return found

    def counts(self) -> tuple[int, ...]:
        return tuple(self.call(self.service, udp.UDP_COUNTS)[1])


@contextmanager
def bench(arch: Arch, place: str = HOST) -> Iterator[tuple[Bench, Client]]:
    """With the server's service in the hands of clients; nothing is left of their sockets when they have ended."""
    server = Udp(NODE)
    with node_bench(arch, ("udp", server), place=place) as on:
        Client.service = on.port("udp", server.service)
        yield on, Client(on)
        for task in on.machine.tasks:
            if task.name == "user":
                on.machine.end(task)
        on.run()
        assert (server.sockets, server.receivers, server.questions, len(on.gns.protocols.connections)) == ({}, {}, {}, 1)
        (space,) = (task.space for task in on.machine.tasks if task.name == "udp")
        # Its task, the host, devices and name server, the network server, its device, four ports of its own with their set, two
        # protocols, ARP's connection and frames, a reply port.
        assert len(list(space.entries())) <= 16
        on.machine.check()


def refusals(codes: list[Any]) -> list[int]:
    return [code for code in codes if not isinstance(code, tuple)]
