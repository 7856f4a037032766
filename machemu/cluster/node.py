"""A node of a cluster: a machine that is there or not, its disks, and the frames that are on their way to it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import mmap
from operator import attrgetter
from typing import Final

from machemu.abi.errors import InvariantError, UserError
from machemu.boot.bootstrap import boot_modules
from machemu.boot.disks import opened
from machemu.boot.modules import Modules
from machemu.boot.node import Node
from machemu.cluster.faults import Action, StartServer, StopServer
from machemu.cluster.file import NodeSpec
from machemu.cluster.link import Arrival, Sent, Status
from machemu.cluster.servers import Servers, start_servers
from machemu.core import board
from machemu.core.host_side import unsaved
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.device.ethernet import ARRIVED_MAX, HEADER_SIZE, EthernetDriver
from machemu.kern.clock import TICK_NS
from machemu.kern.host import Halt
from machemu.kern.task import Task
from machemu.machine.disk import ImageDisk
from machemu.machine.nic import EthernetNic
from machemu.machine.seams import Nic
from machemu.sim import saved, snapshot
from machemu.sim.graph import StateError
from machemu.sim.saved import Part
from machemu.sim.snapshot import Snapshot
from machemu.sim.state import Time, fields, state

NIC_NAMES: Final = ("eth0", "eth1", "eth2", "eth3")


def slack_of(spec: NodeSpec) -> int:
    """How many nanoseconds a frame takes into an interface of a node at least, so that it sends nothing within them."""
    return HEADER_SIZE * spec.profile.ethernet_byte_ns if spec.nics else TICK_NS


def mac_address(node: int, interface: int) -> bytes:
    """A locally administered address: 02:00:00, the node's number, the interface's."""
    return b"\x02\0\0" + node.to_bytes(2, "big") + bytes((interface,))


ARRIVAL_TIME: Final = attrgetter("time")


@state
class ClusterNode:
    """A node that runs in this process: its cluster's NodeLink."""

    __slots__ = (
        "number", "name", "kernel", "servers", "disks", "powered", "paused", "idle", "inbox", "frames",
        "spec", "machine", "drivers", "nics", "slack", "sent", "switched_on", "pace",
    )  # fmt: skip
    TRANSIENT = ("spec", "machine", "drivers", "nics", "slack", "sent", "switched_on", "pace")
    number: int  # from 1
    name: str

    # Its power:
    kernel: Kernel | None  # None while it has none
    servers: Servers | None  # those that it runs, None without power
    powered: Time  # when it was last switched on
    disks: dict[str, ImageDisk]  # by name

    # How it stands:
    paused: bool  # it stands still
    idle: bool  # no thread of it can run before its next event, or a frame, comes; then its clock stays where it was

    # Frames:
    inbox: list[Arrival]  # those to come, the next one first
    frames: int  # how many it has sent since the cluster began

    # Transient:
    spec: NodeSpec  # what it is made of
    slack: int  # nanoseconds that a frame takes into an interface at least
    machine: Node | None  # the kernel's, None without power
    drivers: list[EthernetDriver]  # of its interfaces
    nics: dict[int, EthernetNic]  # its interfaces by number
    sent: list[Sent]  # frames which no status has told of
    switched_on: Callable[[ClusterNode], None] | None  # called when it has power, before it runs
    pace: Callable[[int], Stop] | None  # runs its kernel up to a time at most, where what comes in it is looked for

    def __init__(self, spec: NodeSpec) -> None:
        self.number = spec.number
        self.name = spec.name
        self.kernel = None
        self.servers = None
        self.disks = {}
        self.powered = 0
        self.paused = False
        self.idle = False
        self.inbox = []
        self.frames = 0
        self.attach(spec)

    def attach(self, spec: NodeSpec) -> None:
        """Names what it is made of; after a load, too."""
        self.spec = spec
        self.machine = None
        self.drivers = []
        self.nics = {}
        self.slack = slack_of(spec)
        self.sent = []
        self.switched_on = None
        self.pace = None

    def status(self) -> Status:
        sent, self.sent = self.sent, []
        kernel = self.kernel
        if kernel is None:
            return Status(False, False, 0, FOREVER, FOREVER, sent)
        now = kernel.kern.clock.now()
        time = self._next_time(kernel, now)
        return Status(True, kernel.halted is Halt.REBOOT, now, time, self._send_time(kernel, time), sent)

    # Power

    def power_on(self, time: int, seed: int) -> Status:
        """Boots it from its servers and modules. UserError where it cannot be booted."""
        self.power_off()
        spec = self.spec
        try:
            self._insert_disks()
            kernel = self._make_machine().kernel
            # The time of day goes on while a machine is off; the cluster's clock and the nodes' are one.
            kernel.kern.clock.base = time
            kernel.kern.begin_at(time // TICK_NS)
            self.powered = time
            self.paused = self.idle = False
            self.join()
            self.servers = start_servers(kernel, spec, seed)
            if spec.lines:
                boot_modules(kernel, spec.lines, spec.variables, self.servers.name_server, Modules(spec.folder))
        except BaseException:
            self.power_off()
            for disk in self.disks.values():
                disk.close()
            raise
        if self.switched_on is not None:
            self.switched_on(self)
        return self.status()

    def _make_machine(self) -> Node:
        """A new machine, with nothing in it."""
        nics: dict[str, Nic] = {
            name: EthernetNic(mac_address(self.number, NIC_NAMES.index(name))) for name in NIC_NAMES if name in self.spec.nics
        }
        self.machine = Node(self.spec.profile, self.spec.ram, self.disks, nics)
        self.kernel = self.machine.kernel
        return self.machine

    def _insert_disks(self) -> None:
        """Opens the images; the disks of a node that was on before keep what was written."""
        with opened(self.spec.disks) as given:
            for name in self.spec.disks:
                if name in self.disks:
                    self.disks[name].attach(name, given[name])
                else:
                    self.disks[name] = given.pop(name)

    def power_off(self) -> None:
        """All that it held is lost, but its disks."""
        if self.machine is not None:
            self.machine.close()
        self.machine = self.kernel = self.servers = None
        self.drivers = []
        self.nics = {}
        self.paused = self.idle = False

    close = power_off

    def crash(self) -> Status:
        self.power_off()
        self.inbox.clear()
        return self.status()

    def pause(self) -> Status:
        self.paused = self.kernel is not None
        return self.status()

    def resume(self, time: int) -> Status:
        if self.kernel is not None:
            self.paused = False
            self.pass_time(time)
        return self.status()

    def act(self, action: Action, seed: int) -> tuple[Status, str]:
        kernel, servers = self.kernel, self.servers
        if kernel is None or servers is None:
            return self.status(), "it has no power"
        if not self.paused:
            self.pass_time(action.time)
        try:
            if isinstance(action, StartServer):
                servers.start(kernel, self.spec, action.server, seed)
            elif isinstance(action, StopServer):
                servers.stop(kernel, action.name)
            else:
                servers.replace(kernel, self.spec, action.name, action.server, seed)
        except UserError as error:
            return self.status(), str(error)
        self.idle = False
        return self.status(), ""

    def rebuild(self, ram: mmap) -> None:
        """After a load, of a node with power: puts its kernel onto a new machine. Raises what Node.resume does."""
        with opened(self.spec.disks) as disks:
            self.machine = Node.resume(self.kernel, ram, disks)
        self.join()
        made = {driver.name: driver.byte_ns for driver in self.drivers}
        if made != dict.fromkeys(self.spec.nics, self.spec.profile.ethernet_byte_ns):
            raise ValueError("its interfaces are not those of its cluster file")

    def join(self) -> None:
        """Listens to what its interfaces send, and for servers that end."""
        assert self.kernel is not None
        self.kernel.loader = self._ending
        self.kernel.board[board.NODE] = self.number
        self.drivers = [driver for driver in self.kernel.devices.drivers if isinstance(driver, EthernetDriver)]
        for driver in self.drivers:
            assert isinstance(driver.nic, EthernetNic)
            interface = NIC_NAMES.index(driver.name)
            self.nics[interface] = driver.nic
            driver.nic.sink = self._sink(interface)

    def _ending(self, task: Task) -> None:
        if self.servers is not None and self.kernel is not None:
            self.servers.revive(self.kernel, self.spec, task)

    def _sink(self, interface: int) -> Callable[[bytes, int], None]:
        def sink(frame: bytes, delay: int) -> None:
            assert self.kernel is not None
            self.frames += 1
            self.sent.append(Sent(self.kernel.kern.clock.now() + delay, self.frames, interface, frame))
            self.kernel.stop()  # what the frame brings about must be known before time goes on

        return sink

    # Time

    def _next_time(self, kernel: Kernel, now: int) -> int:
        """When it does something next, FOREVER if never."""
        if kernel.halted is not None or self.paused:
            return FOREVER
        if not self.idle:
            return now
        time = kernel.kern.events.next_time()
        heard = next((arrival.time for arrival in self.inbox if self._wakes(arrival)), None)
        if heard is not None:
            time = heard if time is None else min(time, heard)
        return FOREVER if time is None else max(time, now)

    def _wakes(self, arrival: Arrival) -> bool:
        """Whether an idle node does anything about a frame. While it is idle that does not change."""
        return self.nics[arrival.interface].accepts(arrival.frame)

    def _send_time(self, kernel: Kernel, time: int) -> int:
        """Before when it sends nothing, if `time` is its next time."""
        if time == FOREVER:
            return FOREVER
        if any(driver.requests for driver in self.drivers):
            sent = kernel.kern.events.next_time()
            return min(time + self.slack, time if sent is None else max(time, sent))
        return time + self.slack

    def hear(self, arrival: Arrival, sent: int) -> Status | str | None:
        if self.kernel is None:
            return "no power"
        if self.kernel.halted is not None:
            return "halted"
        if len(self.inbox) >= ARRIVED_MAX:
            self.forget(sent)
        if self.paused and len(self.inbox) >= ARRIVED_MAX:
            return "full"
        insort(self.inbox, arrival)
        return self.status() if self.idle and self._wakes(arrival) else None

    def forget(self, time: int) -> None:
        """Frames that do not wake it, and come before `time`, are gone."""
        if self.idle and not self.paused:
            past = bisect_left(self.inbox, time, key=ARRIVAL_TIME)
            self.inbox[:past] = [arrival for arrival in self.inbox[:past] if self._wakes(arrival)]

    def run(self, horizon: int) -> Status:
        """A frame is given to its interface at the first end of an instruction, or of the kernel's work, that is not before its
        time, and after the node's own events of that moment.
        """
        assert self.kernel is not None
        clock = self.kernel.kern.clock
        now = clock.now()
        time = self._next_time(self.kernel, now)
        clock.base += time - now
        while self.inbox and self.inbox[0].time <= time:
            arrival = self.inbox.pop(0)
            self.nics[arrival.interface].receive(arrival.frame)
        if self.idle and self._rests(self.kernel):
            return self.status()
        if self.inbox:
            horizon = min(horizon, self.inbox[0].time)
        stop = self.kernel.run(horizon, wait=False) if self.pace is None else self.pace(horizon)
        self.idle = stop is Stop.WEDGED
        if stop is Stop.HALTED:
            again = self.kernel.halted is Halt.REBOOT
            self.inbox = [arrival for arrival in self.inbox if again and arrival.time > clock.now()]
        return self.status()

    @staticmethod
    def _rests(kernel: Kernel) -> bool:
        """Whether an idle node has nothing to do yet: its interface has kept what came."""
        due = kernel.kern.events.next_time()
        return (due is None or due > kernel.kern.clock.now()) and not kernel.input_sources

    def stop(self) -> None:
        if self.kernel is not None:
            self.kernel.stop()

    def pass_time(self, time: int) -> None:
        """Its clock goes on to `time` where it has not come so far."""
        assert self.kernel is not None
        clock = self.kernel.kern.clock
        clock.base += max(0, time - clock.now())

    # Saving

    def digest(self) -> str:
        with self._authors_told():
            return saved.digest_pages(self, self._memory(with_own=False))

    def save(self) -> Part:
        with self._authors_told():
            return saved.part(self, self._memory(with_own=True))

    def _memory(self, with_own: bool) -> memoryview:
        """Its RAM, ready to be looked at; nothing without power. with_own: with the CPU's own frames, which come first."""
        machine = self.machine
        if machine is None:
            return memoryview(b"")
        machine.kernel.kern.clock.fold()
        return machine.kernel.memory.view[0 if with_own else machine.cpu.own_memory :]

    def snapshot(self) -> Snapshot:
        """The node as it is, with or without power, to go back to with `restore`. UserError for one that writes a disk image."""
        for name, disk in self.spec.disks.items():
            if disk.writable:
                raise UserError(f"{name}: its image is written, and cannot go back: give the disk without 'writable'")
        return snapshot.take(self, memoryview(b""), {}) if self.machine is None else self.machine.snapshot(self)

    def restore(self, earlier: Snapshot) -> None:
        """Makes the node what it was. Nobody watches its kernel, which is another object."""
        then = earlier.state()
        if then.kernel is None:
            self.power_off()
        else:
            if self.machine is None:
                self._insert_disks()
            (self.machine or self._make_machine()).become(then.kernel, earlier)
        for name in fields(ClusterNode):
            setattr(self, name, getattr(then, name))
        self.sent = []
        if self.kernel is not None:
            self.join()

    @contextmanager
    def _authors_told(self) -> Iterator[None]:
        """What cannot be saved of a host-side server is its author's mistake, a UserError."""
        try:
            yield
        except StateError as error:
            raise (None if self.kernel is None else unsaved(self.kernel, error)) or error from None

    def check_invariants(self) -> None:
        """InvariantError where the frames on their way to it are not as they must be."""
        if self.inbox != sorted(self.inbox) or (self.inbox and not self.kernel):
            raise InvariantError(f"frames for node {self.name} are not as they must be")
        made = None if self.servers is None else self.servers.name_server
        known = () if self.kernel is None else self.kernel.ipc.ports.values()
        lost = made is not None and any(port not in known for port in made[:2])
        if (self.kernel is None) is not (self.servers is None) or lost:
            raise InvariantError(f"the servers of node {self.name} are not as they must be")
        if any(arrival.interface not in self.nics for arrival in self.inbox):
            raise InvariantError(f"a frame is for an interface that node {self.name} does not have")
