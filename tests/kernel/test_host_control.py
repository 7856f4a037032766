"""The host, its processors and sets, as tasks use their ports: how machines end, time, hostile arguments, save and load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE
from machemu.abi.types import VirtAddr
from machemu.boot.node import Node
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control, thread_control
from machemu.kern.clock import DEFAULT_DATE, TICK_NS
from machemu.kern.host import Halt
from machemu.kern.task import Task
from machemu.kern.thread import POLICY_FIXEDPRI, TH_RUN, Thread
from machemu.machine.profile import load_profile
from machemu.mig.interfaces import mach, mach_host
from machemu.vm.page import PageShortage
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty, load, new_node

SECOND = 1_000_000_000
MESSAGE = CODE + 0x1000
SEND, RECEIVE = 1, 2
RB_HALT, RB_DEBUGGER = 0x8, 0x1000


def name_for(machine: Machine, task: Task, port: Port) -> int:
    ipc = machine.kernel.ipc
    return mach_port.copyout_send(ipc, task.space, ports.make_send(ipc, port))


def ask(machine: Machine, task: Task, target: Port, msgh_id: int, *words: int) -> bytes:
    """Code that sends words to a port of the kernel's and receives the answer at MESSAGE."""
    reply = mach_port.mach_port_allocate(machine.kernel.ipc, task.space, 1)
    size = 24 + 8 * len(words)
    arch = machine.arch
    header = arch.pack("6I", COPY_SEND | MAKE_SEND_ONCE << 8, size, name_for(machine, task, target), reply, 0, msgh_id)
    body = b"".join(arch.pack("2I", arch.integer, word & 0xFFFFFFFF) for word in words)
    task.memory.write(VirtAddr(MESSAGE), header + body)
    return arch.trap(25, MESSAGE, SEND | RECEIVE, size, 256, reply, 0, 0)


def spin(machine: Machine, task: Task) -> Thread:
    task.memory.write(VirtAddr(CODE + 0x800), machine.arch.stay)
    return add_thread(machine, task, CODE + 0x800, STACK_END - 0x1000)


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (0, Halt.REBOOT),
        (1, Halt.REBOOT),
        (RB_HALT, Halt.HALT),
        (RB_HALT | 2, Halt.HALT),
        (RB_DEBUGGER, Halt.PANIC),
        (-1, Halt.PANIC),
    ],
)
def test_host_reboot_ends_the_run_for_good(arch: Arch, options: int, how: Halt, tmp_path: Path) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        task, thread = add_task(machine, b"")
        other = spin(machine, task)
        task.memory.write(VirtAddr(CODE), ask(machine, task, kern.host.host_priv_self, 2635, options) + arch.stay)
        assert machine.run(SECOND) is Stop.HALTED
        assert (machine.kernel.halted, machine.kernel.reboot_options) == (how, options)
        used, now = thread.user_time + other.user_time, kern.clock.now()
        assert machine.run(SECOND) is Stop.HALTED
        assert (thread.user_time + other.user_time, kern.clock.now()) == (used, now)
        machine.check()
        machine.node.save(tmp_path / "halted")
    with load(tmp_path / "halted") as again:
        assert again.run(SECOND) is Stop.HALTED
        assert (again.kernel.halted, again.kernel.reboot_options) == (how, options)
        assert f"{options & 0xFFFFFFFF:#x}" in again.kernel.halt_reason


@pytest.mark.parametrize("microseconds", [-1, 1_000_000, (1 << 31) - 1, -(1 << 31)])
def test_microseconds_that_are_none_bring_the_kernel_down(arch: Arch, microseconds: int) -> None:
    with empty(arch) as machine:
        user = User(machine)
        user.ask(machine.kernel.kern.host.host_priv_self, mach_host.HOST_SET_TIME, (5, microseconds))
        assert machine.run(SECOND) is Stop.HALTED
        assert machine.kernel.halted is Halt.PANIC


@pytest.mark.slow
def test_the_time_of_day_can_be_set_to_any_second(arch: Arch) -> None:
    """Seconds wrap; what tells the time answers all the same."""
    with empty(arch) as machine:
        user, kern = User(machine), machine.kernel.kern
        add_task(machine, arch.stay)
        for seconds in (0, (1 << 31) - 1, -(1 << 31), -1, 1_000_000_000):
            assert user.call(kern.host.host_priv_self, mach_host.HOST_SET_TIME, (seconds, 999_999)) == (KERN_SUCCESS,)
            machine.run(2 * SECOND)
            code, (now, _) = user.call(kern.host.host_self, mach_host.HOST_GET_TIME)
            assert code == KERN_SUCCESS
            assert (now - seconds) % (1 << 32) in (2, 3)
            child = task_control.create(kern, user.task, False)
            assert child.itk_self is not None
            code, words = user.call(child.itk_self, mach.TASK_INFO, 1, 10)
            assert code == KERN_SUCCESS
            assert (words[8] - seconds) % (1 << 32) in (2, 3)


def test_the_time_goes_on_in_ticks(arch: Arch) -> None:
    with empty(arch) as machine:
        user, kern = User(machine), machine.kernel.kern
        add_task(machine, arch.stay)
        machine.run(5 * TICK_NS + TICK_NS // 2)
        assert user.call(kern.host.host_self, mach_host.HOST_GET_TIME) == (KERN_SUCCESS, (DEFAULT_DATE, 5 * TICK_NS // 1000))
        assert user.call(kern.host.host_priv_self, mach_host.HOST_ADJUST_TIME, (0, 100)) == (KERN_SUCCESS, (0, 0))
        machine.run(10 * TICK_NS)
        assert user.call(kern.host.host_self, mach_host.HOST_GET_TIME) == (
            KERN_SUCCESS,
            (DEFAULT_DATE, 15 * TICK_NS // 1000 + 50),
        )
        assert user.call(kern.host.host_priv_self, mach_host.HOST_ADJUST_TIME, (0, 0)) == (KERN_SUCCESS, (0, 50))


def test_a_machine_is_switched_on_at_the_date_that_it_is_given(arch: Arch) -> None:
    with Node(load_profile(arch.profile), date=773_065_800) as node:
        assert node.kernel.kern.clock.time_of_day() == (773_065_800, 0)
    with new_node(arch) as node:
        assert node.kernel.kern.clock.time_of_day() == (DEFAULT_DATE, 0)


def test_a_thread_sees_its_own_times_up_to_now(arch: Arch) -> None:
    """Not those up to when it last left the CPU."""
    with empty(arch) as machine:
        task, thread = add_task(machine, b"")
        assert thread.ith_self is not None
        task.memory.write(VirtAddr(CODE), arch.spend(100_000) + ask(machine, task, thread.ith_self, 2019, 1, 13) + arch.stay)
        machine.run(TICK_NS * 9 // 10)
        assert arch.unpack("i", task.memory.read(VirtAddr(MESSAGE + 28), 4)) == (KERN_SUCCESS,)
        seconds, micros = arch.unpack("2i", task.memory.read(VirtAddr(MESSAGE + 36), 8))
        assert seconds == 0
        assert 100_000 * machine.kernel.kern.clock.instruction_ns // 1000 <= micros < TICK_NS // 1000


def test_events_are_counted_for_the_task_that_runs(arch: Arch) -> None:
    touch = arch.touch(CODE + 2 * arch.page, 5)
    with empty(arch) as machine:
        kern = machine.kernel.kern
        idle, _ = add_task(machine, arch.stay)
        busy, _ = add_task(machine, touch + arch.trap(26) + arch.stay)
        machine.run(SECOND // 2)
        machine.kernel.kern.charge_events()
        _, zero_fills, *_ = busy.events
        assert zero_fills >= 5
        assert idle.events[1] == 0
        assert sum(task.events[1] for task in kern.tasks.values()) == kern.counted[1]


def test_a_thread_that_is_to_stay_gets_the_frames_that_are_kept(arch: Arch) -> None:
    with empty(arch, 1 << 20) as machine:
        kern, vm = machine.kernel.kern, machine.kernel.vm
        task, thread = add_task(machine, b"")
        host, self_port = kern.host.host_priv_self, thread.ith_self
        assert self_port is not None
        _, other = add_task(machine, arch.stay)
        user = User(machine)
        for port in (self_port, other.ith_self, user.reply_port, None):
            right = ports.make_send(machine.kernel.ipc, port) if port is not None else None
            assert user.call(host, mach_host.THREAD_WIRE, right, 1) == (KERN_INVALID_ARGUMENT,)
        kern.sched.current, running = thread, kern.sched.current
        kern.sched.rem_runq(thread)
        user.ask(host, mach_host.THREAD_WIRE, ports.make_send(machine.kernel.ipc, self_port), 1)
        assert user.answer(mach_host.THREAD_WIRE) == (KERN_SUCCESS,)
        assert (thread.vm_privilege, vm.privileged, other.vm_privilege) == (True, True, False)
        keep = vm.free_min
        spare = len(machine.kernel.memory.free) - keep
        vm.check_frames(spare + keep)
        vm.privileged = False
        with pytest.raises(PageShortage):
            vm.check_frames(spare + 1)
        vm.pageout_wanted = False
        kern.sched.current = running
        thread.state |= TH_RUN
        kern.sched.setrun(thread, False)
        task.memory.write(VirtAddr(CODE), arch.stay)
        machine.run(SECOND)
        assert vm.privileged == (kern.sched.current is thread)


def test_sets_list_what_lives(arch: Arch) -> None:
    with empty(arch) as machine:
        user, kern = User(machine), machine.kernel.kern
        pset = kern.psets[0]
        tasks = [task_control.create(kern, user.task, False) for _ in range(5)]
        threads = [thread_control.create(kern, task) for task in tasks for _ in range(3)]
        for task in tasks[::2]:
            task_control.terminate(kern, task)
        thread_control.force_terminate(kern, threads[3])
        code, _, words = user.call(pset.pset_name_self, mach_host.PROCESSOR_SET_INFO, 1, 5)
        assert (code, words[:3]) == (KERN_SUCCESS, (1, 4, 5))
        assert list(pset.tasks.values()) == [kern.kernel_task, user.task, tasks[1], tasks[3]]
        machine.check()


def objects(machine: Machine, user: User, thread: Thread) -> list[Port]:
    """A port of every kind, the user's own last."""
    kern = machine.kernel.kern
    pset, task = kern.psets[0], kern.kernel_task
    assert user.task.itk_self is not None and task.itk_self is not None and thread.ith_self is not None
    return [
        kern.host.host_self, kern.host.host_priv_self, pset.pset_self, pset.pset_name_self, kern.processors[0].processor_self,
        user.task.itk_self, task.itk_self, thread.ith_self, machine.kernel.devices.master_port, user.reply_port,
    ]  # fmt: skip


LISTS = ("host_processors", "processor_set_tasks", "processor_set_threads", "host_processor_sets")
NUMBER = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 70)
PLAIN = [routine for routine in mach_host.ROUTINES.values() if routine.name not in (*LISTS, "host_reboot", "host_set_time")]


def arguments(machine: Machine, names: tuple[str, ...], targets: list[Port], numbers: list[int], which: int) -> list[Any]:
    """Values for a routine: rights where it takes rights, numbers elsewhere."""
    values: list[Any] = []
    for place, name in enumerate(names):
        number = numbers[place % len(numbers)]
        if name in ("new_set", "processor_set", "set_name", "task", "thread"):
            target = targets[(which + place) % len(targets)]
            values.append(ports.make_send(machine.kernel.ipc, target))
        elif name == "new_adjustment":
            values.append((number, numbers[-1]))
        elif name == "processor_cmd":
            values.append(tuple(numbers))
        else:
            values.append(number & 0xFFFFFFFF if name in ("address", "size") or name.endswith("outCnt") else number)
    return values


@pytest.mark.slow
def test_no_arguments_by_any_port_harm_the_kernel(arch: Arch) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(PLAIN), st.integers(0, 8), st.integers(0, 9), st.lists(NUMBER, min_size=1, max_size=5))
    def run(routine: Any, target: int, which: int, numbers: list[int]) -> None:
        targets = objects(machine, user, thread)
        values = arguments(machine, routine.request.names, targets, numbers, which)
        code, *_ = user.call(targets[target], routine, *values)
        assert -310 <= code <= 26
        machine.run(TICK_NS)
        machine.check()

    with empty(arch) as machine:
        user = User(machine)
        _, thread = add_task(machine, arch.stay)
        run()
        assert machine.kernel.halted is None


def test_sets_policies_and_times_are_saved(arch: Arch, tmp_path: Path) -> None:
    """A machine that was loaded goes on as the one that was not."""
    digests = []
    for saved in (False, True):
        with empty(arch) as machine:
            user, kern = User(machine), machine.kernel.kern
            pset, host = kern.psets[0], kern.host.host_priv_self
            task, first = add_task(machine, arch.stay)
            second = spin(machine, task)
            assert user.call(pset.pset_self, mach_host.PROCESSOR_SET_POLICY_ENABLE, POLICY_FIXEDPRI) == (KERN_SUCCESS,)
            for thread, priority in ((first, 30), (second, 30)):
                assert thread.ith_self is not None
                assert user.call(thread.ith_self, mach_host.THREAD_POLICY, POLICY_FIXEDPRI, 70) == (KERN_SUCCESS,)
                assert user.call(thread.ith_self, mach_host.THREAD_PRIORITY, priority, 1) == (KERN_SUCCESS,)
            assert user.call(pset.pset_self, mach_host.PROCESSOR_SET_MAX_PRIORITY, 28, 0) == (KERN_SUCCESS,)
            assert user.call(host, mach_host.HOST_SET_TIME, (1_000_000_000, 5)) == (KERN_SUCCESS,)
            assert user.call(host, mach_host.HOST_ADJUST_TIME, (-1, 0)) == (KERN_SUCCESS, (0, 0))
            machine.run(SECOND // 7)
            if saved:
                machine.node.save(tmp_path / "machine")
            else:
                machine.run(2 * SECOND)
                digests.append(machine.node.digest())
    with load(tmp_path / "machine") as again:
        kern = again.kernel.kern
        [pset] = kern.psets
        assert (pset.policies, pset.max_priority) == (3, 28)
        assert [(thread.policy, thread.sched_data, thread.max_priority) for thread in pset.threads.values()] == [(2, 7, 30)] * 2
        assert kern.clock.time_of_day()[0] == 1_000_000_000
        assert pset.processors[0] is kern.processors[0]
        assert kern.processors[0].sched is kern.sched
        again.run(2 * SECOND)
        digests.append(again.node.digest())
    assert digests[0] == digests[1]
