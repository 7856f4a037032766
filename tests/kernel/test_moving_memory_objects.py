"""Memory objects that move with the tasks that show them: their managers see nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_INVALID_HOST
from machemu.core.managers import control_pager
from machemu.ipc.port import Port
from machemu.kern import freeze, task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import MEMORY_OBJECT_ADOPT, MEMORY_OBJECT_SURRENDER, TASK_THAW
from machemu.mig.runtime import OutOfLine
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.memory_object import PROT_NO_CHANGE, RETURN_ALL, RETURN_DIRTY
from machemu.vm.pager import Pager
from tests.support.guests import ARCHS, Arch
from tests.support.machine import CODE, Machine, add_task, empty
from tests.support.managers import NOBODY, Manager
from tests.support.maps import map_of, numbers
from tests.support.moves import relocate
from tests.support.routines import call, send_right

WINDOW = 0x20000000
RESULT = CODE + 0x800
STEP = 10_000_000
Parts = tuple[tuple[int, ...], OutOfLine, Port, Port, Port]


def managed(machine: Machine, strategy: int = 0) -> tuple[Manager, Task]:
    """A task that reads the third of four pages: of those before one is written, and one is precious and may not be written."""
    arch, manager = machine.arch, Manager(machine)
    page = arch.page
    code = arch.increment(WINDOW) + arch.fetch(WINDOW + 2 * page) + arch.store(RESULT) + arch.stay
    task, _ = add_task(machine, code)
    manager.map(task, 4 * page, WINDOW)
    manager.ready(strategy=strategy)
    manager.supply(0, b"first".ljust(page, b"\0"))
    manager.supply(page, b"second".ljust(page, b"\0"), lock=2, precious=True)
    machine.run(STEP)
    assert manager.names() == ["data_request"]
    return manager, task


def state(manager: Manager) -> tuple[Any, ...]:
    """What the kernel knows of the object, behind its control port."""
    pager = control_pager(manager.control)
    assert isinstance(pager, Pager)
    is_modified = pager.object.vm.mmu.is_modified
    pages = [
        (page.offset, page.dirty or is_modified(page.frame), page.precious, page.lock, page.unlock_request)
        for page in sorted(pager.object.pages.values(), key=lambda page: page.offset)
    ]
    asked = [(offset, request.answer) for offset, request in pager.requests.items()]
    attributes = (pager.ready, pager.may_cache, pager.copy_strategy, pager.temporary, pager.known_size, pager.object.last_alloc)
    return pages, asked, attributes, pager.paging_offset, list(pager.paged_out)


def surrender(machine: Machine, task: Task) -> Parts:
    words, data, *rights = call(machine.kernel, MEMORY_OBJECT_SURRENDER, task.itk_self, WINDOW)
    return numbers(machine, words), data, *rights


def adopt(machine: Machine, task: Task, parts: Parts, words: tuple[int, ...] | None = None) -> None:
    told = parts[0] if words is None else words
    data = machine.arch.pack(f"{len(told)}I", *told)
    memory = OutOfLine(VmMapCopy.from_bytes(machine.kernel.vm, data) if data else None, len(data))
    kernel = machine.kernel
    host, right = kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self)
    call(kernel, MEMORY_OBJECT_ADOPT, host, right, WINDOW, memory, *parts[1:])


def test_a_manager_sees_nothing_of_a_move_and_goes_on_where_it_was(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task = managed(machine)
        control, before = manager.control, state(manager)
        assert before[0][0][1]
        new = relocate(machine, task)
        assert manager.take() is None
        assert (manager.control, state(manager)) == (control, before)
        machine.check()
        machine.run(STEP)
        assert manager.take() is None
        manager.supply(2 * arch.page, arch.pack("I", 0x1234).ljust(arch.page, b"\0"))
        machine.run(STEP)
        assert machine.word(new, RESULT) == 0x1234
        manager.tell("lock_request", 0, 4 * arch.page, RETURN_DIRTY, 0, PROT_NO_CHANGE, NOBODY)
        message, counted = manager.take(), arch.pack("I", arch.unpack("I", b"firs")[0] + 1)
        assert message is not None
        assert (message[0], message[1][1], message[1][2][:8]) == ("data_return", 0, counted + b"t\0\0\0")
        machine.end(new)
        assert manager.names() == ["data_return", "terminate"]


def test_a_task_that_adopts_its_own_object_again_has_it_as_before(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task = managed(machine)
        vm.vm_wire(map_of(task), WINDOW, arch.page, 3, True)
        before = state(manager)
        freeze.freeze(machine.kernel.kern, task)
        for thread in task.threads.values():
            freeze.detach(machine.kernel.kern, thread)
        parts = surrender(machine, task)
        manager.tell("data_unavailable", 2 * arch.page, arch.page)
        adopt(machine, task, parts)
        assert state(manager) == before
        machine.check()
        call(machine.kernel, TASK_THAW, task.itk_self)
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0
        assert manager.take() is None


def test_an_object_is_surrendered_only_where_frozen_tasks_alone_show_it(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task = managed(machine, strategy=2)
        other = task_control.create(machine.kernel.kern, None, False, "other")

        def refused(address: int = WINDOW) -> int:
            before = machine.usage()
            with pytest.raises(KernError) as failure:
                call(machine.kernel, MEMORY_OBJECT_SURRENDER, task.itk_self, address)
            assert machine.usage() == before
            return failure.value.code

        assert refused() == KERN_FAILURE
        freeze.freeze(machine.kernel.kern, task)
        for thread in task.threads.values():
            freeze.detach(machine.kernel.kern, thread)
        manager.map(other, arch.page, WINDOW)
        assert refused() == KERN_FAILURE
        vm.vm_deallocate(map_of(other), WINDOW, arch.page)
        copied = manager.map(other, arch.page, WINDOW, copy=True)
        assert refused() == KERN_FAILURE
        vm.vm_deallocate(map_of(other), copied, arch.page)
        assert refused(CODE) == KERN_INVALID_ARGUMENT
        assert refused(WINDOW - arch.page) == KERN_INVALID_ADDRESS
        machine.check()
        parts = surrender(machine, task)
        assert refused() == KERN_INVALID_ARGUMENT
        kernel, nothing = machine.kernel, OutOfLine(None, 0)
        values = (send_right(kernel, task.itk_self), WINDOW, nothing, nothing, None, None, None)
        with pytest.raises(KernError) as failure:
            call(kernel, MEMORY_OBJECT_ADOPT, kernel.kern.host.host_self, *values)
        assert failure.value.code == KERN_INVALID_HOST
        adopt(machine, task, parts)
        freeze.thaw(machine.kernel.kern, task)
        machine.check()


def test_an_object_whose_manager_dies_while_it_moves_leaves_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task = managed(machine)
        freeze.freeze(machine.kernel.kern, task)
        for thread in task.threads.values():
            freeze.detach(machine.kernel.kern, thread)
        words, data, memory_object, control, name = surrender(machine, task)
        machine.end(manager.task)
        with pytest.raises(KernError):
            adopt(machine, task, (words, data, memory_object, control, name))
        assert not control.active
        freeze.thaw(machine.kernel.kern, task)
        machine.run(STEP)
        machine.check()


VALUES = st.one_of(st.sampled_from((0, 1, 2, 3, 7, 8, 0x1000, 0x2000, 0xFFFFFFFF)), st.integers(0, 0xFFFFFFFF))
CHANGES: dict[str, Callable[[list[int], int, int], None]] = {
    "set": lambda words, place, value: words.__setitem__(place, value),
    "insert": lambda words, place, value: words.insert(place, value),
    "delete": lambda words, place, value: words.__delitem__(place),
}


@settings(max_examples=60)
@given(st.data())
def test_words_of_an_object_that_lie_are_refused_or_make_a_sound_one(data: st.DataObject) -> None:
    arch = ARCHS[data.draw(st.sampled_from(sorted(ARCHS)))]
    with empty(arch) as machine:
        manager, task = managed(machine)
        freeze.freeze(machine.kernel.kern, task)
        for thread in task.threads.values():
            freeze.detach(machine.kernel.kern, thread)
        parts = surrender(machine, task)
        words = list(parts[0])
        for _ in range(data.draw(st.integers(1, 2))):
            CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](
                words, data.draw(st.integers(0, len(words) - 1)), data.draw(VALUES)
            )
        try:
            adopt(machine, task, parts, tuple(words))
        except KernError as failure:
            assert failure.code == KERN_INVALID_ARGUMENT
            assert control_pager(parts[3]) is None
        freeze.thaw(machine.kernel.kern, task)
        machine.run(STEP)
        manager.tell("lock_request", 0, 4 * arch.page, RETURN_ALL, 1, PROT_NO_CHANGE, NOBODY)
        machine.check()
