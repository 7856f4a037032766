"""A thread's whole machine state as bytes, a task's name, and the tasks that can only move together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_HOST
from machemu.abi.vm import VM_INHERIT_SHARE
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.kern import freeze, task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.i386.pcb import EFL_USER_CLEAR, EFLAGS, I386Pcb
from machemu.machine.m68k.pcb import SR_USER, M68kPcb
from machemu.mig.interfaces.mach_host import PROCESSOR_SET_TASKS, PROCESSOR_SET_THREADS
from machemu.mig.interfaces.mach_migrate import (
    TASK_GET_FAMILY,
    TASK_IDENTIFY,
    TASK_SET_IDENTITY,
    TASK_SURRENDER,
    TASK_THAW,
    THREAD_GET_CONTEXT,
    THREAD_SET_CONTEXT,
)
from machemu.mig.runtime import OutOfLine
from machemu.sim.graph import Writer
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from tests.support.guests import Arch
from tests.support.machine import Machine, add_task, empty
from tests.support.routines import call, send_right

Held = tuple[Machine, Task, Thread, Thread]


@pytest.fixture
def held(arch: Arch) -> Iterator[Held]:
    """A frozen task with a thread that has run, and another one that has not."""
    with empty(arch) as machine:
        task, ran = add_task(machine, arch.stay)
        machine.run(1_000_000)
        fresh = thread_control.create(machine.kernel.kern, task)
        freeze.freeze(machine.kernel.kern, task)
        yield machine, task, ran, fresh
        machine.check()


def context_of(machine: Machine, thread: Thread) -> bytes:
    (told,) = call(machine.kernel, THREAD_GET_CONTEXT, thread.ith_self)
    data: bytes = told.copy.to_bytes()
    told.copy.discard()
    return data


def set_context(machine: Machine, thread: Thread, data: bytes, by_host: bool = True) -> None:
    kernel = machine.kernel
    copy = OutOfLine(VmMapCopy.from_bytes(kernel.vm, data) if data else None, len(data))
    host = kernel.kern.host.host_priv_self if by_host else kernel.kern.host.host_self
    call(kernel, THREAD_SET_CONTEXT, host, send_right(kernel, thread.ith_self), copy)


def test_a_thread_has_the_state_of_the_one_whose_context_it_takes(held: Held) -> None:
    machine, _, ran, fresh = held
    ran.retval = 0xFFFFFFFF
    data = context_of(machine, ran)
    assert context_of(machine, fresh) != data
    set_context(machine, fresh, data)
    assert context_of(machine, fresh) == data
    assert fresh.retval == 0xFFFFFFFF
    assert fresh.pcb.pc == ran.pcb.pc


def test_a_context_brings_nobody_the_supervisors_mode(held: Held) -> None:
    machine, _, ran, fresh = held
    pcb = ran.pcb
    if isinstance(pcb, I386Pcb):
        pcb.registers[EFLAGS] |= EFL_USER_CLEAR
    else:
        assert isinstance(pcb, M68kPcb)
        pcb.sr = 0xFFFF
    set_context(machine, fresh, context_of(machine, ran))
    if isinstance(fresh.pcb, I386Pcb):
        assert not fresh.pcb.registers[EFLAGS] & EFL_USER_CLEAR
    else:
        assert isinstance(fresh.pcb, M68kPcb)
        assert fresh.pcb.sr == SR_USER


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_are_no_context_are_refused_or_are_a_sound_one(held: Held, data: st.DataObject) -> None:
    machine, _, ran, fresh = held
    before = context_of(machine, fresh)
    broken = bytearray(context_of(machine, ran))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place:] = data.draw(st.sampled_from((broken[place + 1 :], bytes((broken[place] ^ 0x55,)) + broken[place + 1 :])))
        if not broken:
            break
    try:
        set_context(machine, fresh, bytes(broken))
    except KernError as error:
        assert error.code == KERN_INVALID_ARGUMENT
        assert context_of(machine, fresh) == before
    else:
        set_context(machine, fresh, before)


@pytest.mark.parametrize("what", (None, (None, None), (1, 2, 3), (1 << 40, "pcb"), b""))
def test_other_state_is_no_context(held: Held, what: object) -> None:
    machine, _, _, fresh = held
    with pytest.raises(KernError) as error:
        set_context(machine, fresh, b"" if what == b"" else Writer().encode(what))
    assert error.value.code == KERN_INVALID_ARGUMENT


def test_a_context_is_told_and_set_while_the_task_is_frozen_and_set_by_the_privileged_host_port(held: Held) -> None:
    machine, task, ran, fresh = held
    data = context_of(machine, ran)
    with pytest.raises(KernError) as error:
        set_context(machine, fresh, data, by_host=False)
    assert error.value.code == KERN_INVALID_HOST
    freeze.thaw(machine.kernel.kern, task)
    for request in (lambda: context_of(machine, ran), lambda: set_context(machine, fresh, data)):
        with pytest.raises(KernError) as error:
            request()
        assert error.value.code == KERN_FAILURE


def test_a_task_tells_its_number_and_name(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.stay)
        assert call(machine.kernel, TASK_IDENTIFY, task.itk_self) == (task.number, False, b"guest")


@pytest.mark.parametrize("name", ("g" * 31, "guests/grüße.elf", "a/longer/path/" * 20))
def test_a_frozen_task_gets_the_whole_name_that_another_one_told(arch: Arch, name: str) -> None:
    with empty(arch) as machine:
        first, _ = add_task(machine, arch.stay)
        second, _ = add_task(machine, arch.stay)
        kernel = machine.kernel
        first.name = name
        host, told = kernel.kern.host.host_priv_self, call(kernel, TASK_IDENTIFY, first.itk_self)[2]
        with pytest.raises(KernError) as refused:
            call(kernel, TASK_SET_IDENTITY, host, send_right(kernel, second.itk_self), told)
        assert refused.value.code == KERN_FAILURE
        freeze.freeze(kernel.kern, second)
        call(kernel, TASK_SET_IDENTITY, host, send_right(kernel, second.itk_self), told)
        assert second.name == name
        freeze.thaw(kernel.kern, second)
        machine.check()


def test_the_host_gives_nobody_a_right_to_a_frozen_task(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread = add_task(machine, arch.stay)
        other, _ = add_task(machine, arch.stay)
        kernel = machine.kernel
        mach_port.copyout_send(kernel.ipc, other.space, send_right(kernel, task.itk_self))
        control = kernel.kern.psets[0].pset_self

        def given() -> list[object]:
            host, known = kernel.kern.host.host_priv_self, send_right(kernel, other.itk_self)
            told = call(kernel, PROCESSOR_SET_TASKS, control), call(kernel, PROCESSOR_SET_THREADS, control)
            rights = [right for (found,) in (*told, call(kernel, TASK_GET_FAMILY, host, known)) for right in found]
            for right in rights:
                ports.release_send(kernel.ipc, right)
            return [right.kobject if right is not None else None for right in rights]

        before = given()
        assert before.count(task) == 2 and before.count(thread) == 1 and None not in before
        freeze.freeze(kernel.kern, task)
        assert given() == [None if each in (task, thread) else each for each in before]
        freeze.thaw(kernel.kern, task)
        assert given() == before
        machine.check()


def test_a_frozen_task_that_nobody_can_reach_any_more_ends(arch: Arch) -> None:
    with empty(arch) as machine:
        kernel = machine.kernel
        tasks = [add_task(machine, arch.stay)[0] for _ in range(3)]
        machine.run(1_000_000)
        left, thawed, _ = sorted(tasks, key=lambda task: task is kernel.kern.current.task)
        for task in (left, thawed):
            freeze.freeze(kernel.kern, task)
            control, own, threads, replies = call(kernel, TASK_SURRENDER, task.itk_self)
            if task is thawed:
                call(kernel, TASK_THAW, control)
            for port in (own, *threads, *filter(None, replies)):
                ports.dealloc_kernel(kernel.ipc, port)
            assert task.active
            ports.release_send(kernel.ipc, control)
        assert (left.active, thawed.active) == (False, True)
        assert left.number not in kernel.kern.tasks
        machine.check()


def family_of(machine: Machine, task: Task) -> list[int]:
    """The numbers of the tasks of a family."""
    kernel = machine.kernel
    (rights,) = call(kernel, TASK_GET_FAMILY, kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self))
    numbers = [right.kobject.number for right in rights]
    for right in rights:
        ports.release_send(kernel.ipc, right)
    return numbers


def test_tasks_that_share_memory_or_know_each_other_are_a_family(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        first, _ = add_task(machine, arch.stay)
        stranger, _ = add_task(machine, arch.stay)
        assert first.map is not None
        shared = vm.vm_allocate(first.map, 0, arch.page, True)
        vm.vm_inherit(first.map, shared, arch.page, VM_INHERIT_SHARE)
        child = task_control.create(kern, first, True, "child")
        known, thread = add_task(machine, arch.stay)
        mach_port.copyout_send(machine.kernel.ipc, child.space, send_right(machine.kernel, thread.ith_self))
        family = [first.number, child.number, known.number]
        for task in (first, child, known):
            assert sorted(family_of(machine, task)) == family
            assert family_of(machine, task)[0] == task.number
        assert family_of(machine, stranger) == [stranger.number]
        machine.check()
