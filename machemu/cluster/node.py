"""A node of a cluster: a machine that is there or not, its disks, and the frames that are on their way to it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from mmap import mmap
from operator import attrgetter
from typing import Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import boot_modules
from machemu.boot.node import Node
from machemu.cluster.file import NodeSpec
from machemu.cluster.servers import start_servers
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.device.ethernet import ARRIVED_MAX, HEADER_SIZE, EthernetDriver
from machemu.kern.clock import TICK_NS
from machemu.kern.host import Halt
from machemu.machine.disk import ImageDisk
from machemu.machine.nic import EthernetNic
from machemu.machine.protocols import Nic
from machemu.sim.state import Time, state

NIC_NAMES: Final = ("eth0", "eth1", "eth2", "eth3")


def mac_address(node: int, interface: int) -> bytes:
    """A locally administered address: 02:00:00, the node's number, the interface's."""
    return b"\x02\0\0" + node.to_bytes(2, "big") + bytes((interface,))


@state
class Arrival(NamedTuple):
    """A frame that the node's interface hears at `time`. serial: its order among all."""

    time: Time
    serial: int
    interface: int
    frame: bytes


ARRIVAL_TIME: Final = attrgetter("time")


@state
class ClusterNode:
    """number: from 1. kernel: None while the node has no power. powered: when it was last switched on.

    paused: it stands still. idle: no thread of it can run before its next event, or a frame, comes; then its clock stays where it
    was. inbox: frames to come, the next one first. frames: how many it has sent, since the cluster began.
    Transient: spec; machine, the kernel's, None without one; drivers of its interfaces, and nics, these by number; slack, how
    many nanoseconds a frame takes into an interface at least; transmit, which takes what it sends: time, interface, frame.
    """

    __slots__ = (
        "number", "name", "kernel", "disks", "powered", "paused", "idle", "inbox", "frames",
        "spec", "machine", "drivers", "nics", "slack", "transmit",
    )  # fmt: skip
    TRANSIENT = ("spec", "machine", "drivers", "nics", "slack", "transmit")
    number: int
    name: str
    kernel: Kernel | None
    disks: dict[str, ImageDisk]
    powered: Time
    paused: bool
    idle: bool
    inbox: list[Arrival]
    frames: int

    def __init__(self, spec: NodeSpec) -> None:
        self.number = spec.number
        self.name = spec.name
        self.kernel = None
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
        self.machine: Node | None = None
        self.drivers: list[EthernetDriver] = []
        self.nics: dict[int, EthernetNic] = {}
        self.slack = HEADER_SIZE * spec.profile.ethernet_byte_ns if spec.nics else TICK_NS
        self.transmit: Callable[[int, int, bytes], None] | None = None

    # Power

    def power_on(self, time: int, seed: int) -> None:
        """Boots it from its servers and modules at a time of the cluster's, with disks as they were left. seed: for its servers.

        UserError where it cannot be booted.
        """
        spec = self.spec
        self._insert_disks()
        try:
            nics: dict[str, Nic] = {
                name: EthernetNic(mac_address(self.number, NIC_NAMES.index(name))) for name in NIC_NAMES if name in spec.nics
            }
            self.machine = Node(spec.profile, spec.ram, self.disks, nics)
            kernel = self.kernel = self.machine.kernel
            # The time of day goes on while a machine is off; the cluster's clock and the nodes' are one.
            kernel.kern.clock.base = time
            kernel.kern.ticks = time // TICK_NS
            self.powered = time
            self.paused = self.idle = False
            self.join()
            name_server = start_servers(kernel, spec.servers, self.number, seed, spec.key, spec.folder)
            if spec.lines:
                boot_modules(kernel, spec.lines, spec.variables, name_server, spec.folder)
        except BaseException:
            self.power_off()
            for disk in self.disks.values():
                disk.close()
            raise

    def _insert_disks(self) -> None:
        """Opens the images; the disks of a node that was on before keep what was written."""
        given: dict[str, ImageDisk] = {}
        try:
            for name, spec in self.spec.disks.items():
                given[name] = ImageDisk.of_file(spec.path, spec.writable)
                if name in self.disks:
                    self.disks[name].attach(name, given[name])
        except UserError:
            for disk in (*given.values(), *self.disks.values()):
                disk.close()
            raise
        for name, disk in given.items():
            if self.disks.setdefault(name, disk) is not disk:
                disk.close()

    def power_off(self) -> None:
        """All that it held is lost, but its disks."""
        if self.machine is not None:
            self.machine.close()
        self.machine = self.kernel = None
        self.drivers = []
        self.nics = {}
        self.paused = self.idle = False

    def resume(self, ram: mmap) -> None:
        """After a load, of a node with power: puts its kernel onto a new machine. Raises what Node.resume does."""
        disks: dict[str, ImageDisk] = {}
        try:
            for name, spec in self.spec.disks.items():
                disks[name] = ImageDisk.of_file(spec.path, spec.writable)
            self.machine = Node.resume(self.kernel, ram, disks)
        finally:
            for disk in disks.values():
                disk.close()
        self.join()
        made = {driver.name: driver.byte_ns for driver in self.drivers}
        if made != dict.fromkeys(self.spec.nics, self.spec.profile.ethernet_byte_ns):
            raise ValueError("its interfaces are not those of its cluster file")

    def join(self) -> None:
        """Has its interfaces' frames taken by `transmit`."""
        assert self.kernel is not None
        self.drivers = [driver for driver in self.kernel.devices.drivers if isinstance(driver, EthernetDriver)]
        for driver in self.drivers:
            assert isinstance(driver.nic, EthernetNic)
            interface = NIC_NAMES.index(driver.name)
            self.nics[interface] = driver.nic
            driver.nic.sink = self._sink(interface)

    def _sink(self, interface: int) -> Callable[[bytes], None]:
        def sink(frame: bytes) -> None:
            assert self.kernel is not None
            if self.transmit is not None:
                self.transmit(self.kernel.kern.clock.now(), interface, frame)
            self.kernel.stop()  # what the frame brings about must be known before time goes on

        return sink

    # Time

    @property
    def running(self) -> bool:
        """Whether it has power, has not ended and does not stand still."""
        return self.kernel is not None and self.kernel.halted is None and not self.paused

    def next_time(self) -> int:
        """When it does something next, FOREVER if never."""
        if not self.running or self.kernel is None:
            return FOREVER
        kern = self.kernel.kern
        if not self.idle:
            return kern.clock.now()
        time = kern.events.next_time()
        heard = next((arrival.time for arrival in self.inbox if self._wakes(arrival)), None)
        if heard is not None:
            time = heard if time is None else min(time, heard)
        return FOREVER if time is None else max(time, kern.clock.now())

    def _wakes(self, arrival: Arrival) -> bool:
        """Whether an idle node does anything about a frame. While it is idle that does not change."""
        return self.nics[arrival.interface].accepts(arrival.frame)

    def send_time(self) -> int:
        """Before when it sends nothing, FOREVER if it does nothing ever; never more than `slack` after its next time."""
        time = self.next_time()
        if time == FOREVER or self.kernel is None:
            return FOREVER
        if any(driver.requests for driver in self.drivers):
            sent = self.kernel.kern.events.next_time()
            return min(time + self.slack, time if sent is None else max(time, sent))
        return time + self.slack

    def hear(self, arrival: Arrival, sent: int) -> bool:
        """A frame, sent at `sent`, is on its way to it. Whether that may change its next time."""
        if self.kernel is None or self.kernel.halted is not None:
            return False
        if len(self.inbox) >= ARRIVED_MAX:
            self.forget(sent)
        if not (self.paused and len(self.inbox) >= ARRIVED_MAX):
            insort(self.inbox, arrival)
        return self.idle and self._wakes(arrival)

    def forget(self, time: int) -> None:
        """Nothing will reach it before `time`: frames that do not wake it, and come before, are gone."""
        if self.idle and not self.paused:
            past = bisect_left(self.inbox, time, key=ARRIVAL_TIME)
            self.inbox[:past] = [arrival for arrival in self.inbox[:past] if self._wakes(arrival)]

    def run(self, horizon: int) -> Stop:
        """Runs from its next time until `horizon`, or until it is idle or has sent a frame.

        A frame is given to its interface at the first end of an instruction, or of the kernel's work, that is not before its
        time, and after the node's own events of that moment.
        """
        assert self.kernel is not None
        clock = self.kernel.kern.clock
        self.pass_time(self.next_time())
        while self.inbox and self.inbox[0].time <= clock.now():
            arrival = self.inbox.pop(0)
            self.nics[arrival.interface].receive(arrival.frame)
        if self.inbox:
            horizon = min(horizon, self.inbox[0].time)
        stop = self.kernel.run(horizon, wait=False)
        self.idle = stop is Stop.WEDGED
        if stop is Stop.HALTED:
            again = self.kernel.halted is Halt.REBOOT
            self.inbox = [arrival for arrival in self.inbox if again and arrival.time > clock.now()]
        return stop

    def pass_time(self, time: int) -> None:
        """Its clock goes on to `time` where it has not come so far."""
        assert self.kernel is not None
        clock = self.kernel.kern.clock
        clock.base += max(0, time - clock.now())
