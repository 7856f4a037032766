"""A node with the name and the network server and an interface, and tasks that ask the network server from Python."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from machemu.abi.message import PORT_SEND, CarriedPort
from machemu.cluster.node import mac_address
from machemu.device.ethernet import EthernetDriver
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc import right
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.machine.nic import EthernetNic
from machemu.mig.interfaces.device import DEVICE_SET_FILTER
from machemu.user.server import Server
from masix.gns.server import Gns
from masix.interfaces import gns_protocol as interface
from masix.net.ethernet import frame_of
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import Machine, new_node
from tests.support.name_servers import HOST, launch_servers

NODE = 1
OWN = mac_address(NODE, 0)
OTHER = mac_address(2, 0)
SLICE_NS = 2_000_000
NEXT, NEXT_OTHER = 0x88B5, 0x88B6
"""Ethernet types that IEEE 802 leaves to experiments."""


def frame(kind: int = NEXT, data: bytes = b"", target: bytes = OWN, source: bytes = OTHER) -> bytes:
    return target + source + struct.pack(">H", kind) + data


class Bench:
    """programs: what runs beside the two servers, with their tasks' names; early: begun before the network server. place:
    the name server's."""

    def __init__(
        self, arch: Arch, *programs: tuple[str, Server], nic: bool = True, early: bool = False, place: str = HOST
    ) -> None:
        self.nic = EthernetNic(OWN)
        self.machine = Machine(new_node(arch, nics={"eth0": self.nic} if nic else {}))
        self.sent: list[bytes] = []
        """Frames that have left the interface, but the network server's own."""
        self.nic.sink = self._sent
        self.gns = Gns.on_node(NODE, 1, bytes(32))
        gns = ("gns", self.gns)
        self.names = launch_servers(self.machine, place, (*programs, gns) if early else (gns, *programs))
        self.name_server = self.names.service
        self.run(20)
        self.service = self.port("gns", self.gns.service)
        self.master = self.machine.kernel.devices.master_port

    def _sent(self, data: bytes, delay: int) -> None:
        if data[23:24] != b"\x11" or data[34:36] != struct.pack(">H", 51988):
            self.sent.append(data)

    def run(self, slices: int = 5) -> None:
        for _ in range(slices):
            self.machine.run(SLICE_NS)

    def port(self, task: str, name: int) -> Port:
        """What a name stands for in a task."""
        (found,) = (each for each in self.machine.tasks if each.name == task)
        entry = found.space.lookup(name)
        assert entry is not None and isinstance(entry.object, Port)
        return entry.object

    def arrive(self, *frames: bytes) -> None:
        for data in frames:
            self.nic.receive(data)
        self.run()

    @property
    def filters(self) -> int:
        """How many filters the kernel has that could take a frame for somebody who lives."""
        driver = self.machine.kernel.devices.drivers[0]
        assert isinstance(driver, EthernetDriver)
        return sum(any(port.active for _, port in each.receivers) for each in driver.filters if len(each.words) > 2)


@contextmanager
def bench(arch: Arch, *programs: tuple[str, Server], nic: bool = True, early: bool = False, place: str = HOST) -> Iterator[Bench]:
    """Where the block ends well the servers' tables are empty once all other tasks have ended, and nothing leaks."""
    made = Bench(arch, *programs, nic=nic, early=early, place=place)
    try:
        yield made
        for task in made.machine.tasks[1:]:
            if task.name != "gns":
                made.machine.end(task)
        made.run()
        tables = made.gns.protocols
        assert (tables.protocols, tables.connections, tables.waiting, tables.retired) == ({}, {}, [], {})
        for space in (task.space for task in made.machine.tasks if task.name == "gns"):
            # Its task, thread and device, four ports, a set and a reply port; its registration; what it was given at first.
            assert len(list(space.entries())) <= 15
        made.machine.leave_nothing()
    finally:
        made.machine.node.close()


class Task(User):
    """A task that asks the network server."""

    def __init__(self, on: Bench) -> None:
        super().__init__(on.machine)
        self.on = on

    def send_right(self, port: Port) -> Port:
        """A right to be put into a message."""
        return ports.make_send(self.ipc, port)

    def register(
        self,
        name: bytes = b"next",
        kind: int = NEXT,
        ip_protocol: int = 0,
        environment: Port | None = None,
        privilege: Port | None = None,
        bare: bool = False,
    ) -> Any:
        """The protocol's port, or the code. environment: a new port without one; bare: without the privilege."""
        given = None if bare else self.send_right(privilege or self.on.master)
        owner = self.send_right(environment or self.make_port())
        routine = interface.GNS_PROTOCOL_REGISTER
        code, *results = self.call(self.on.service, routine, name, kind, ip_protocol, owner, given)
        return results[0] if code == 0 else code

    def connect(
        self,
        protocol: Port,
        receives: Sequence[int] = (),
        sends: Sequence[int] = (),
        receiver: Port | None = None,
        privilege: Port | None = None,
    ) -> Any:
        """The connection's and the device's port, or the code."""
        signed = [tuple(struct.unpack("h", struct.pack("H", word))[0] for word in words) for words in (receives, sends)]
        to = self.send_right(receiver or self.make_port())
        given = self.send_right(privilege) if privilege else None
        code, *results = self.call(protocol, interface.GNS_CONNECTION_OPEN, *signed, to, given)
        return tuple(results) if code == 0 else code

    def close(self, connection: Port) -> int:
        return int(self.call(connection, interface.GNS_CONNECTION_CLOSE)[0])

    def unregister(self, protocol: Port) -> int:
        return int(self.call(protocol, interface.GNS_PROTOCOL_UNREGISTER)[0])

    def write_to(self, connection: Port, data: bytes) -> None:
        """Sends a frame through the network server."""
        self.ask(connection, interface.GNS_CONNECTION_WRITE, data, answer=False)
        self.on.run()

    def frames(self, port: Port) -> list[bytes]:
        """What came to a receiver."""
        found = []
        while (body := self.discard(port)) is not None:
            found.append(frame_of(body, self.machine.arch.order))
        return found

    def filter_myself(self, device: Port, program: tuple[int, ...], priority: int) -> Port:
        """What a task that has the device can do."""
        port = self.make_port()
        assert self.call(device, DEVICE_SET_FILTER, self.send_right(port), priority, program)[0] == 0
        return port

    def give_up(self, port: Port) -> None:
        """Gives all rights to a port up that it got."""
        entry = right.reverse(self.task.space, port)
        assert entry is not None
        self.forget(port)
        self.on.run()

    def end(self) -> None:
        task_control.terminate(self.machine.kernel.kern, self.task)
        self.on.run()

    def attack(self, port: Port, msgh_id: int, garbage: bytes, right: Port | None) -> None:
        """A message of anything; with a send right before it where one is given."""
        carried: tuple[Any, ...] = ()
        if right is not None:
            arch = self.machine.arch
            garbage = arch.pack("I", arch.item(9, 8, len(garbage))) + garbage
            garbage = arch.pack("I", arch.item(PORT_SEND, 32, 1)) + bytes(4) + garbage
            carried = (CarriedPort(4, PORT_SEND, self.send_right(right)),)
        self.send_raw(port, msgh_id, garbage.ljust(-(-len(garbage) // 4) * 4, b"\0"), carried)

    def send_raw(self, port: Port, msgh_id: int, body: bytes, carried: tuple[Any, ...] = (), remote: Port | None = None) -> None:
        """Any message."""
        target = ports.copy_send(self.ipc, port)
        remote_type = PORT_SEND if remote is not None else 0
        kmsgs.kernel_send(self.ipc, kmsgs.make(self.ipc, target, PORT_SEND, remote, remote_type, msgh_id, body, carried))
        self.on.run()
