"""Anonymous memory that gets a memory manager, and memory objects that become anonymous again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import pytest

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT
from machemu.abi.message import PORT_DEAD
from machemu.abi.migrate import OBJECT_MANAGED
from machemu.abi.types import VirtAddr
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import MEMORY_OBJECT_INTERNALIZE, VM_REGION_SET_MANAGER
from machemu.vm import manage
from machemu.vm import routines as vm
from machemu.vm.memory_object import PROT_NO_CHANGE, RETURN_ALL, RETURN_DIRTY
from machemu.vm.object import VmObject, deallocate
from machemu.vm.pager import COPY_TEMPORARY
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty
from tests.support.managers import NOBODY, Manager
from tests.support.maps import bytes_of, map_of, pages, told_map
from tests.support.routines import call

T = TypeVar("T")
AT = 0x100000
FAMILY = 0x20000000
RESULT = CODE + 0x800
STEP = 10_000_000


def new_task(machine: Machine) -> Task:
    return task_control.create(machine.kernel.kern, None, False, "owner")


def internalize(machine: Machine, manager: Manager) -> None:
    assert manager.control is not None
    call(machine.kernel, MEMORY_OBJECT_INTERNALIZE, manager.control)


def set_manager(machine: Machine, task: Task, address: int, right: Right) -> None:
    sent = ports.make_send(machine.kernel.ipc, right) if isinstance(right, Port) else right
    call(machine.kernel, VM_REGION_SET_MANAGER, task.itk_self, address, sent)


def returned(manager: Manager, how: int, size: int) -> dict[int, bytes]:
    """What the kernel returns for a lock request that changes no lock, by offset."""
    manager.tell("lock_request", 0, size, how, 0, PROT_NO_CHANGE, NOBODY)
    found = {}
    while (message := manager.take()) is not None:
        name, (_, offset, data, *_) = message
        assert name == "data_return"
        found[offset] = data
    return found


def write(task: Task, address: int, data: bytes) -> None:
    task.memory.write(VirtAddr(address), data)


def read(task: Task, address: int, size: int) -> bytes:
    return task.memory.read(VirtAddr(address), size)


def test_a_memory_object_becomes_anonymous_memory_and_leaves_its_manager_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        page, manager = arch.page, Manager(machine)
        task, _ = add_task(machine, arch.fetch(FAMILY + 2 * page) + arch.store(RESULT) + arch.stay)
        write(task, RESULT, b"\1\1\1\1")
        other = new_task(machine)
        for each in (task, other):
            manager.map(each, 4 * page, FAMILY)
        manager.ready(strategy=COPY_TEMPORARY)
        manager.supply(0, b"clean".ljust(page, b"\0"))
        manager.supply(page, b"locked".ljust(page, b"\0"), lock=7, precious=True)
        machine.run(STEP)
        assert manager.names() == ["data_request"]
        internalize(machine, manager)
        assert manager.names() == ["terminate"]
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0
        assert read(other, FAMILY + page, 6) == b"locked"
        write(other, FAMILY + 2 * page, b"seen")
        assert read(task, FAMILY + 2 * page, 4) == b"seen"
        told = told_map(machine, task).object_at(FAMILY)
        assert told is not None
        assert (told.flags, told.users) == (0, 2)
        kept = vm.vm_read(map_of(other), FAMILY, page)
        write(task, FAMILY, b"later")
        assert kept is not None
        assert kept.to_bytes()[:5] == b"clean"
        kept.discard()
        machine.check()
        assert machine.kernel.vm.pagers == {}


def test_pages_of_internalized_memory_are_not_thrown_away(arch: Arch) -> None:
    with empty(arch) as machine:
        task, manager, page = new_task(machine), Manager(machine), arch.page
        manager.map(task, 2 * page, FAMILY)
        manager.ready(strategy=COPY_TEMPORARY)
        manager.supply(0, b"only".ljust(page, b"\0"))
        internalize(machine, manager)
        obj = map_of(task).entries[0].object
        assert obj is not None
        assert all(machine.kernel.vm.must_clean(each) for each in obj.pages.values())
        machine.kernel.vm.check_invariants()


def test_a_region_gets_a_manager_to_whom_its_pages_are_new_and_only_writes_are_changes(arch: Arch) -> None:
    with empty(arch) as machine:
        task, manager, page = new_task(machine), Manager(machine), arch.page
        vm.vm_allocate(map_of(task), AT, 6 * page, False)
        write(task, AT, b"old")
        kept = vm.vm_read(map_of(task), AT, 6 * page)
        write(task, AT, b"first")
        write(task, AT + 3 * page, b"third")
        vm.vm_wire(map_of(task), AT + 3 * page, page, 3, True)
        before = [entry[:-1] for entry in told_map(machine, task).entries]
        set_manager(machine, task, AT, manager.port)
        manager.ready(strategy=COPY_TEMPORARY)
        told = told_map(machine, task)
        assert [entry[:-1] for entry in told.entries] == before
        assert told.object_at(AT).flags == OBJECT_MANAGED  # type: ignore[union-attr]
        machine.kernel.vm.check_invariants()
        assert returned(manager, RETURN_DIRTY, 6 * page) == {}
        vm.vm_wire(map_of(task), AT + 3 * page, page, 0, True)
        assert {offset: data[:5] for offset, data in returned(manager, RETURN_ALL, 6 * page).items()} == {
            0: b"first",
            3 * page: b"third",
        }
        write(task, AT + 8, b"more")
        assert {offset: data[:12] for offset, data in returned(manager, RETURN_DIRTY, 6 * page).items()} == {
            0: b"first\0\0\0more"
        }
        with pytest.raises(MustWait) as wait:
            read(task, AT + 2 * page, 1)
        deallocate(wait.value.held if isinstance(wait.value.held, VmObject) else None)
        assert manager.take() == ("data_request", (manager.control, 2 * page, page, 1))
        manager.tell("data_unavailable", 2 * page, page)
        assert read(task, AT + 2 * page, 1) == b"\0"
        assert kept is not None
        assert kept.to_bytes()[:3] == b"old"
        kept.discard()
        machine.check()


def test_what_a_child_inherited_gets_a_manager_without_its_parent(arch: Arch) -> None:
    with empty(arch) as machine:
        parent, manager, page = new_task(machine), Manager(machine), arch.page
        vm.vm_allocate(map_of(parent), AT, 4 * page, False)
        vm.vm_allocate(map_of(parent), FAMILY, 4 * page, False)
        vm.vm_inherit(map_of(parent), FAMILY, 4 * page, 0)
        write(parent, AT, b"inherited")
        write(parent, FAMILY, b"shared")
        child = task_control.create(machine.kernel.kern, parent, True, "child")
        write(child, AT + page, b"own")
        set_manager(machine, child, AT, manager.port)
        write(parent, AT, b"different")
        assert (read(child, AT, 9), read(child, AT + page, 3)) == (b"inherited", b"own")
        assert told_map(machine, parent).object_at(AT).flags == 0  # type: ignore[union-attr]
        both = Manager(machine)
        set_manager(machine, child, FAMILY, both.port)
        both.ready(strategy=COPY_TEMPORARY)
        assert told_map(machine, parent).object_at(FAMILY) == told_map(machine, child).object_at(FAMILY)
        write(parent, FAMILY, b"common")
        assert read(child, FAMILY, 6) == b"common"
        internalize(machine, both)
        write(child, FAMILY + page, b"still")
        assert read(parent, FAMILY + page, 5) == b"still"
        machine.check()


def test_memory_gets_a_manager_once_and_from_a_live_unused_port(arch: Arch) -> None:
    with empty(arch) as machine:
        task, manager, other, page = new_task(machine), Manager(machine), Manager(machine), arch.page
        vm.vm_allocate(map_of(task), AT, 4 * page, False)
        write(task, AT, b"content")
        manager.map(task, page, FAMILY)
        manager.take()
        before, words = machine.usage(), told_map(machine, task).words
        wrong: tuple[tuple[int, Right, int], ...] = (
            (FAMILY + page, other.port, KERN_INVALID_ADDRESS),
            (FAMILY, other.port, KERN_INVALID_ARGUMENT),
            (AT, manager.port, KERN_INVALID_ARGUMENT),
            (AT, task.itk_self, KERN_INVALID_ARGUMENT),
            (AT, PORT_DEAD, KERN_INVALID_ARGUMENT),
            (AT, None, KERN_INVALID_ARGUMENT),
        )
        for address, right, code in wrong:
            with pytest.raises(KernError) as failure:
                set_manager(machine, task, address, right)
            assert failure.value.code == code
            assert (machine.usage(), told_map(machine, task).words) == (before, words)
        with pytest.raises(KernError):
            call(machine.kernel, MEMORY_OBJECT_INTERNALIZE, task.itk_self)


class Store(Manager):
    """A manager that gives back what it was given."""

    def serve(self) -> None:
        while (message := self.take()) is not None:
            name, values = message
            if name == "init":
                self.tell("ready", 0, COPY_TEMPORARY)
            elif name == "data_return":
                page = self.machine.arch.page
                for at in range(0, len(values[2]), page):
                    self.data[0, values[1] + at] = values[2][at : at + page]
            elif name == "data_request":
                data = self.data.get((0, values[1]))
                if data is None:
                    self.tell("data_unavailable", values[1], values[2])
                else:
                    self.supply(values[1], data)


class Family:
    """Tasks whose memory is written, shared, copied, given to managers and taken from them at random, and what it should hold."""

    def __init__(self, machine: Machine, rng: random.Random) -> None:
        self.machine, self.rng, self.page = machine, rng, machine.arch.page
        self.stores: list[Store] = []
        self.private: list[dict[int, bytes]] = [{}]
        self.common: dict[int, bytes] = {}
        self.tasks = [new_task(machine)]
        for start, inheritance in ((AT, 1), (FAMILY, 0)):
            vm.vm_allocate(map_of(self.tasks[0]), start, 8 * self.page, False)
            vm.vm_inherit(map_of(self.tasks[0]), start, 8 * self.page, inheritance)

    def patient(self, call: Callable[[], T]) -> T:
        """Managers are asked as often as it takes."""
        while True:
            try:
                return call()
            except MustWait as wait:
                deallocate(wait.held if isinstance(wait.held, VmObject) else None)
                for store in self.stores:
                    store.serve()

    def access(self, task: Task, address: int, data: bytes | None) -> bytes:
        """Writes data, or reads four bytes."""
        if data is not None:
            self.patient(lambda: write(task, address, data))
        return self.patient(lambda: read(task, address, 4))

    def step(self) -> None:
        rng = self.rng
        index = rng.randrange(len(self.tasks))
        task = self.tasks[index]
        address = rng.choice((AT, FAMILY)) + rng.randrange(8) * self.page
        what = rng.choice(("write", "write", "read", "fork", "manage", "internalize", "evict", "protect", "get"))
        if what == "write":
            data = rng.randbytes(4)
            assert self.access(task, address, data) == data
            (self.common if address >= FAMILY else self.private[index])[address] = data
        elif what == "read":
            expected = (self.common if address >= FAMILY else self.private[index]).get(address, bytes(4))
            assert self.access(task, address, None) == expected
        elif what == "fork" and len(self.tasks) < 4:
            self.tasks.append(task_control.create(self.machine.kernel.kern, task, True, "child"))
            self.private.append(dict(self.private[index]))
        elif what == "manage":
            self.manage(task, address)
        elif what == "internalize" and self.stores:
            self.internalize(rng.choice(self.stores))
        elif what == "evict" and self.stores:
            store = rng.choice(self.stores)
            store.tell("lock_request", 0, 8 * self.page, RETURN_ALL, 1, PROT_NO_CHANGE, NOBODY)
            store.serve()
        elif what == "protect":
            vm.vm_protect(map_of(task), address, self.page, False, 3)
        elif what == "get":
            bytes_of(pages(self.machine, task, AT, 8 * self.page)[1])

    def manage(self, task: Task, address: int) -> None:
        store = Store(self.machine)
        try:
            maps = [map_of(each) for each in self.tasks]
            self.patient(lambda: manage.set_manager(map_of(task), maps, address, store.port))
        except KernError as failure:
            assert failure.code == KERN_INVALID_ARGUMENT
            self.machine.end(store.task)
            return
        store.serve()
        self.stores.append(store)

    def internalize(self, store: Store) -> None:
        """After its manager has given all that it has. An object that nothing shows any more has ended."""
        control = store.control
        assert control is not None
        for (_, offset), data in store.data.items():
            store.supply(offset, data, control=control)
        if control.kobject is not None:  # else its end has been told, if not heard yet
            internalize(self.machine, store)
        store.names()
        self.stores.remove(store)
        self.machine.end(store.task)

    def compare(self) -> None:
        for task, private in zip(self.tasks, self.private, strict=True):
            for at in range(8):
                for start, held in ((AT, private), (FAMILY, self.common)):
                    address = start + at * self.page
                    assert self.access(task, address, None) == held.get(address, bytes(4))


def test_memory_holds_what_was_written_whoever_manages_it(arch: Arch) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(12):
        with empty(arch) as machine:
            family = Family(machine, rng)
            for _ in range(60):
                family.step()
                machine.check()
            family.compare()
            machine.check()
