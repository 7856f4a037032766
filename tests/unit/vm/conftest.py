"""Machines for the VM's tests: a fake one over dicts, and the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_NONE, VM_PROT_WRITE
from machemu.boot.machines import MACHINES
from machemu.machine.memory import PhysicalMemory
from machemu.vm.map import VmMap
from machemu.vm.object import VmObject
from machemu.vm.seams import MemoryManagers
from machemu.vm.subsystem import Vm

PAGE = 4096
TABLE_SPAN = 4 << 20
USER_RANGE = (VirtAddr(0), VirtAddr(0xC0000000))


class FakePmap:
    """Mappings in a dict; a page table of one frame for every 4 MiB in use, as on i386."""

    def __init__(self, mmu: FakeMmu) -> None:
        self.mmu = mmu
        self.mappings: dict[int, tuple[Frame, int]] = {}
        self.tables: dict[int, Frame] = {}

    def enter(self, address: VirtAddr, frame: Frame, protection: int, wired: bool = False) -> None:
        assert address % PAGE == 0
        assert frame not in self.mmu.memory.free
        if address // TABLE_SPAN not in self.tables:
            self.tables[address // TABLE_SPAN] = self.mmu.memory.allocate()
        self.mappings[address] = (frame, protection)

    def remove(self, start: VirtAddr, end: VirtAddr) -> None:
        assert start % PAGE == 0
        for address in [address for address in self.mappings if start <= address < end]:
            del self.mappings[address]

    def protect(self, start: VirtAddr, end: VirtAddr, protection: int) -> None:
        for address, (frame, old) in list(self.mappings.items()):
            if start <= address < end:
                self.lower(address, frame, old & protection)

    def lower(self, address: int, frame: Frame, protection: int) -> None:
        if protection == VM_PROT_NONE:
            del self.mappings[address]
        else:
            self.mappings[address] = (frame, protection)

    def access(self, address: VirtAddr) -> int:
        return self.mappings[address][1] if address in self.mappings else VM_PROT_NONE

    def translate(self, address: VirtAddr, access: int) -> PhysAddr | None:
        frame, protection = self.mappings.get(address - address % PAGE, (Frame(0), 0))
        if access & ~protection:
            return None
        if access & VM_PROT_WRITE:
            self.mmu.modified[frame] = True
        return PhysAddr(frame * PAGE + address % PAGE)

    def resident_count(self) -> int:
        return len(self.mappings)

    def check_invariants(self) -> None:
        assert all(address >> 22 in self.tables for address in self.mappings)

    def destroy(self) -> None:
        assert not self.mappings
        for frame in self.tables.values():
            self.mmu.memory.release(frame)
        self.mmu.pmaps.remove(self)


class FakeMmu:
    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.pmaps: list[FakePmap] = []
        self.modified: dict[int, bool] = {}

    def create(self) -> FakePmap:
        pmap = FakePmap(self)
        self.pmaps.append(pmap)
        return pmap

    def page_protect(self, frame: Frame, protection: int) -> None:
        for pmap in self.pmaps:
            for address, (mapped, old) in list(pmap.mappings.items()):
                if mapped == frame:
                    pmap.lower(address, frame, old & protection)

    def forget(self, frame: Frame) -> None:
        self.page_protect(frame, VM_PROT_NONE)
        self.modified.pop(frame, None)

    def is_modified(self, frame: Frame) -> bool:
        return self.modified.get(frame, False)

    def clear_modified(self, frame: Frame) -> None:
        self.modified[frame] = False

    def is_referenced(self, frame: Frame) -> bool:
        return True

    def clear_referenced(self, frame: Frame) -> None:
        return

    def check_invariants(self) -> None:
        for pmap in self.pmaps:
            pmap.check_invariants()


class FakeManagers:
    """Memory managers that are never asked: `names` holds the ports made for objects and not given up yet, `pageouts` counts."""

    def __init__(self) -> None:
        self.names: list[object] = []
        self.pageouts = 0

    def name_port(self, obj: VmObject) -> object:
        self.names.append(object())
        return self.names[-1]

    def dealloc(self, port: object) -> None:
        self.names.remove(port)

    def name_object(self, name: object, obj: VmObject) -> None:
        assert name in self.names

    def print(self, line: str) -> None: ...

    def no_room(self, map_: VmMap) -> None: ...

    def pageout(self) -> None:
        self.pageouts += 1

    def wake(self, thread: object) -> None:
        raise AssertionError("nobody waits")


Boot = Callable[[int], Vm]
"""Gives the VM of a new machine with so many frames free."""


def fake_vm(frames: int) -> Vm:
    memory = PhysicalMemory(frames * PAGE, PAGE)
    return with_managers(Vm(memory, FakeMmu(memory), PAGE, USER_RANGE))


def with_managers(vm: Vm) -> Vm:
    """Frames are given out to the last one."""
    vm.managers = cast("MemoryManagers", FakeManagers())
    vm.free_min = vm.free_low = vm.free_high = 0
    return vm


@pytest.fixture(params=["fake", *MACHINES])
def boot(request: pytest.FixtureRequest) -> Iterator[Boot]:
    if request.param == "fake":
        yield fake_vm
        return
    make_cpu = MACHINES[request.param].cpu
    cpus = []

    def real_vm(frames: int) -> Vm:
        memory = PhysicalMemory((frames + 64) * make_cpu.page_size, make_cpu.page_size)
        cpu = make_cpu(memory)
        cpus.append((cpu, memory))
        while len(memory.free) > frames:
            memory.allocate()
        return with_managers(Vm(memory, cpu.mmu, cpu.page_size, cpu.user_range))

    yield real_vm
    for cpu, memory in cpus:
        cpu.close()
        memory.close()


@pytest.fixture
def vm(boot: Boot) -> Vm:
    return boot(256)


@pytest.fixture
def page_size(vm: Vm) -> int:
    return vm.page_size
