"""A node: one machine with its kernel, powered on, saved and loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.abi.types import PhysAddr
from machemu.boot.machines import MACHINES, load_all
from machemu.core import host_side, invariants
from machemu.core.kernel import Kernel
from machemu.device.block import CD_BLOCK, FLOPPIES, RECORD, CdDriver, DiskDriver, FloppyDriver
from machemu.device.ethernet import EthernetDriver
from machemu.device.kd_event import EventDriver
from machemu.kern.clock import DEFAULT_DATE, SECOND_US
from machemu.machine.memory import PhysicalMemory
from machemu.machine.profile import Profile
from machemu.machine.seams import Disk, Nic
from machemu.sim import saved, snapshot
from machemu.sim.graph import StateError
from machemu.sim.pages import PAGE
from machemu.sim.snapshot import Snapshot

RAM_MIN = 1 << 20
RAM_MAX = 2 << 30
DISK_NAME = re.compile("(hd|sd)[0-7]|fd[01]")
NIC_NAME = re.compile("eth[0-3]")


class Node:
    """A machine of a profile with `ram` bytes, its CPU and its kernel. Use as a context manager, or call `close`.

    disks: by name, hd0 to hd7, sd0 to sd7, and of a PC the floppies fd0 and fd1; the machine's own from then on.
    nics: by name, eth0 to eth3.
    date: the time of day at power-on, in seconds since 1970.
    """

    def __init__(
        self,
        profile: Profile,
        ram: int | None = None,
        disks: Mapping[str, Disk] | None = None,
        nics: Mapping[str, Nic] | None = None,
        date: int = DEFAULT_DATE,
    ) -> None:
        for pattern, names in ((DISK_NAME, disks), (NIC_NAME, nics)):
            for name in names or ():
                if not pattern.fullmatch(name):
                    raise UserError(f"there can be no device '{name}': its name is of the form {pattern.pattern}")
        for name, disk in (disks or {}).items():
            _check_floppy(name, disk, profile)
            _check_cd(name, disk)
        size = profile.ram if ram is None else ram
        if not RAM_MIN <= size <= RAM_MAX:
            raise UserError(f"{size} bytes of memory: a machine has between 1M and 2G")
        make_cpu = MACHINES[profile.architecture].cpu
        memory = PhysicalMemory(size, make_cpu.page_size)
        self.cpu = make_cpu(memory)
        self.kernel = Kernel(profile, memory, self.cpu)
        self.kernel.kern.clock.time.value = date * SECOND_US
        self._known: Mapping[int, bytes] = {}
        devices = self.kernel.devices
        devices.drivers[:0] = [
            *(
                (FloppyDriver if name.startswith("fd") else CdDriver if disk.is_cd else DiskDriver)(
                    devices.io, name, disk, profile.disk_seek_ns, profile.disk_byte_ns
                )
                for name, disk in (disks or {}).items()
            ),
            *(EthernetDriver(devices.io, name, nic, profile.ethernet_byte_ns) for name, nic in (nics or {}).items()),
        ]

    def give(self, events: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """Lets events wait at the keyboard, kbd, and the mouse, mouse. UserError for a device that the machine has not."""
        drivers = {driver.name: driver for driver in self.kernel.devices.drivers if isinstance(driver, EventDriver)}
        for name, its in events.items():
            if name in drivers:
                drivers[name].events.extend(its)
            elif its:
                raise UserError(f"a machine of {self.cpu.architecture} has no device {name}: it is no PC")

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the host's resources back."""
        self.cpu.close()
        self.kernel.memory.close()
        self.kernel.devices.detach()

    def digest(self) -> str:
        """SHA-256 over everything that the guest could ever see: equal digests, equal machines.

        The CPU's own frames are left out: no guest reaches them, and a new CPU makes them anew.
        """
        self.kernel.kern.clock.fold()
        with self._authors_told():
            return saved.digest(self.kernel, ram=self.kernel.memory.view[self.cpu.own_memory :])

    def save(self, path: Path) -> None:
        """Writes the whole machine to a file."""
        self.kernel.kern.clock.fold()
        with self._authors_told():
            saved.save(path, saved.FileKind.MACHINE, [saved.part(self.kernel, self.kernel.memory.view)])

    @contextmanager
    def _authors_told(self) -> Iterator[None]:
        """What cannot be saved of a host-side server is its author's mistake, a UserError."""
        try:
            yield
        except StateError as error:
            raise host_side.unsaved(self.kernel, error) or error from None

    def snapshot(self, root: object | None = None) -> Snapshot:
        """The machine as it is, to go back to with `restore`, here or in another node that is a copy of it.

        root: state that the kernel is a part of; then `become` goes back. UserError for a machine that writes a disk image: the
        file cannot go back.
        """
        for driver in self.kernel.devices.drivers:
            if isinstance(driver, DiskDriver) and driver.disk.writable:
                raise UserError(f"{driver.name}: its image is written, and cannot go back: give the disk without 'writable'")
        self.kernel.kern.clock.fold()
        with self._authors_told():
            taken = snapshot.take(root or self.kernel, self._used_memory(), self._known)
        self._known = taken.pages
        return taken

    def restore(self, earlier: Snapshot) -> None:
        """Makes the machine what it was. `kernel` is another object then, which nobody watches.

        The console's sinks, the sources of its input and the segments of its network interfaces stay joined.
        """
        self.become(earlier.state(), earlier)

    def become(self, new: Kernel, earlier: Snapshot) -> None:
        """As `restore`, with the kernel out of the snapshot's state."""
        old = self.kernel
        memory = old.memory
        memory.used = max(memory.used, (self.cpu.own_memory + earlier.size) // memory.frame_size)
        for number, page in snapshot.changes(earlier, self._used_memory()):
            memory.write(PhysAddr(self.cpu.own_memory + number * PAGE), page)
        self._known = earlier.pages
        new.memory.take_over(memory)
        self.cpu.resume(new.memory, new.mmu)
        new.take_over(old)
        new.input_sources = old.input_sources
        self.kernel = new

    def _used_memory(self) -> memoryview:
        """The frames that may be other than zeros, and are not the CPU's own."""
        memory = self.kernel.memory
        return memory.view[self.cpu.own_memory : memory.used * memory.frame_size]

    @classmethod
    def load(cls, path: Path, disks: Mapping[str, Disk] | None = None) -> Node:
        """The machine that a file holds, ready to run on. disks: the images of its disks; they stay the caller's."""
        load_all()
        with saved.SavedFile(path, saved.FileKind.MACHINE) as file:
            if len(file.head.memories) != 1 or not RAM_MIN <= file.head.memories[0] <= RAM_MAX:
                raise UserError(f"{path}: is damaged: its memory is not that of a machine")
            [(root, ram)] = file.parts()
        try:
            assert ram is not None
            return cls.resume(root, ram, disks or {})
        except UserError:
            raise
        except Exception as error:  # whatever the graph of objects in a file may be wrong in, it is the file that is wrong
            raise UserError(f"{path}: is damaged: it holds no machine that could be: {error or type(error).__name__}") from None

    @classmethod
    def resume(cls, root: object, ram: mmap, disks: Mapping[str, Disk]) -> Node:
        """The machine of a kernel and RAM that were loaded. UserError; whatever comes of a graph that is no kernel's."""
        node = cls.__new__(cls)
        try:
            node._resume(root, ram, disks)
        except Exception:
            node._abandon()
            raise
        return node

    def _abandon(self) -> None:
        """Gives back what a load that failed had taken; devices look after their own."""
        if "cpu" in vars(self):
            self.cpu.close()
            self.kernel.memory.close()

    def _resume(self, root: object, ram: mmap, disks: Mapping[str, Disk]) -> None:
        """Puts a loaded kernel onto a new CPU, and believes nothing of it unseen."""
        if not isinstance(root, Kernel):
            raise ValueError("its root is no kernel")
        make_cpu = next((machine.cpu for machine in MACHINES.values() if isinstance(root.mmu, machine.mmu)), None)
        if make_cpu is None:
            raise ValueError("its kernel is of no machine")
        self.kernel = root
        self._known = {}
        memory = root.memory
        if memory.frame_size != make_cpu.page_size or memory.frame_count * memory.frame_size != len(ram):
            raise ValueError("its memory is not that of its machine")
        memory.attach(ram)
        self.cpu = make_cpu(memory, root.mmu)
        if (root.ipc.prefix, root.ipc.page_size) != (self.cpu.order.prefix, self.cpu.page_size):
            raise ValueError("its messages are another machine's")
        if (root.vm.page_size, (root.vm.min_offset, root.vm.max_offset)) != (self.cpu.page_size, self.cpu.user_range):
            raise ValueError("its address spaces are another machine's")
        root.attach(self.cpu, disks)
        try:
            known = [driver.name for driver in root.devices.drivers if isinstance(driver, DiskDriver)]
            if unknown := [name for name in disks if name not in known]:
                raise UserError(f"the saved machine has no disk {unknown[0]}")
            invariants.check(root)
            host_side.check(root)
        except BaseException:
            root.devices.detach()
            raise


def _check_floppy(name: str, disk: Disk, profile: Profile) -> None:
    """UserError where a disk is to be a floppy, and cannot."""
    if not name.startswith("fd"):
        return
    if profile.architecture != "i386":
        raise UserError(f"there can be no device '{name}': a machine of {profile.architecture} has no floppy drive")
    if disk.sectors not in FLOPPIES:
        sizes = ", ".join(str(sectors * RECORD) for sectors in FLOPPIES)
        raise UserError(f"{name}: has {disk.sectors * RECORD} bytes, and a floppy one of {sizes}")


def _check_cd(name: str, disk: Disk) -> None:
    """UserError where a disk is to be a CD, and cannot."""
    if not disk.is_cd:
        return
    if not name.startswith("hd"):
        raise UserError(f"{name}: takes no CD: one is in a drive such as hd2")
    if disk.writable:
        raise UserError(f"{name}: a CD is not written: give it without 'writable'")
    if disk.sectors % CD_BLOCK or disk.sectors < 2 * CD_BLOCK:
        raise UserError(
            f"{name}: has {disk.sectors * RECORD} bytes: a CD is whole blocks of {CD_BLOCK * RECORD} bytes, two at least"
        )
