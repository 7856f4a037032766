"""Tasks that are frozen, surrender their ports, adopt them again and go on, and who may do that."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_HOST
from machemu.abi.message import (
    MACH_RCV_MSG,
    MACH_RCV_TIMEOUT,
    PORT_SEND_ONCE,
)
from machemu.abi.migrate import (
    FOREVER,
    NONE,
    REDO_EXCEPTION,
    REDO_FAULT,
    REDO_GSYNC,
    REDO_NOTHING,
    REDO_REDIRECT,
    REDO_SEND,
    REDO_TRAP,
    REDO_YIELD,
    STAY_CACHED,
    STAY_ESSENTIAL,
    STAY_IO_PERM,
    STAY_PROXY,
    WANTS_DEAD_NAME,
)
from machemu.abi.port import QLIMIT_MAX, RIGHT_RECEIVE, TYPE_RECEIVE, TYPE_SEND, UREFS_MAX
from machemu.abi.types import VirtAddr
from machemu.core import proxies
from machemu.core.kernel import Kernel
from machemu.ipc import mach_port, space_move
from machemu.ipc import port as ports
from machemu.ipc.port import Right
from machemu.ipc.space_move import NAME_WORDS
from machemu.kern import freeze, pc_sample, task_control, thread_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import (
    MACH_PORT_EXTRACT_ALL,
    MACH_PORT_INSERT_ALL,
    TASK_ADOPT,
    TASK_FREEZE,
    TASK_GET_ACCOUNT,
    TASK_SET_ACCOUNT,
    TASK_SURRENDER,
    TASK_THAW,
    THREAD_GET_ACCOUNT,
    THREAD_GET_WAIT,
    THREAD_SET_ACCOUNT,
    THREAD_SET_WAIT,
)
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from tests.support import modules
from tests.support.frozen import frozen_task
from tests.support.guests import I386, Arch
from tests.support.machine import CODE, Machine, add_task, empty, module
from tests.support.managers import Manager
from tests.support.maps import numbers
from tests.support.moves import Waits, disturbed, give_up, relocate
from tests.support.routines import call, send_right

MODULES = (
    "exceptions",
    "gsync",
    "notifications",
    "pager",
    "pagersend",
    "pagerwrite",
    "psetwaits",
    "sendtimeouts",
    "twotasks",
    "waits",
)
SEEN = {"EXCEPTION_REPLY", "FAULT", "GSYNC", "RECEIVE", "RETRY", "SEND"}
"""The waits that are seen in these modules, whatever the seed."""
ANYHOW = ("gsync", "messages", "notifications", "twotasks", "waits")
"""Modules that do not depend on which thread runs first where several could."""


def test_modules_print_the_same_where_moves_of_their_tasks_are_given_up(arch: Arch, tmp_path: Path) -> None:
    seed, seen = random.randrange(1 << 32), Waits()
    print("seed", seed)
    for name in MODULES:
        printed, waits = disturbed(arch, name, give_up, seed, tmp_path)
        assert printed == modules.transcript_of(module(arch, name)).read_bytes(), name
        seen += waits
    assert seen.keys() >= SEEN


@pytest.mark.parametrize("name", ANYHOW)
def test_waits_that_were_told_begin_anew(arch: Arch, name: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    printed, _ = disturbed(arch, name, partial(give_up, told=True), seed, tmp_path)
    assert printed == modules.transcript_of(module(arch, name)).read_bytes()


MOVED = (
    "devices", "emulation", "gsync", "hosts", "lines", "longform", "managerrequests", "memory", "messages", "pager",
    "pageranswers", "pagerattrs", "pagercopy", "pagerlocks", "pageroffsets", "pagerwire", "ports", "psets", "regions",
    "sendtimeouts", "states", "threads", "traps", "twotypes", "waits", "wiredcopies", "wirefailures",
)  # fmt: skip
"""Modules that see nothing of it where another task comes in the place of theirs. Others ask for msg-accepted notifications of
messages to a task that stays, or see in which order threads run, or the shadows of objects."""


@pytest.mark.slow
def test_modules_print_the_same_where_other_tasks_come_in_the_place_of_theirs(arch: Arch, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    for name in MOVED:
        printed, _ = disturbed(arch, name, relocate, seed, tmp_path)
        assert printed == modules.transcript_of(module(arch, name)).read_bytes(), name


def test_senders_who_were_told_of_room_send_when_they_run_and_others_do_not_take_it(tmp_path: Path) -> None:
    """One of them is suspended meanwhile, in this module with this seed."""
    printed, _ = disturbed(I386, "sendtimeouts", relocate, 0, tmp_path)
    assert printed == modules.transcript_of(module(I386, "sendtimeouts")).read_bytes()


@pytest.fixture
def held(arch: Arch) -> Iterator[tuple[Machine, Task]]:
    with frozen_task(arch) as task:
        yield task


Change = Callable[[list[int]], object]


@pytest.mark.parametrize(
    "change",
    (
        lambda words: words.clear(),
        lambda words: words.__setitem__(0, words[0] + 1),
        lambda words: words.__setitem__(0, 0xFFFFFFFF),
        lambda words: words.__setitem__(1, 0),
        lambda words: words.__setitem__(1, words[1 + NAME_WORDS]),
        lambda words: words.__setitem__(2, 0),
        lambda words: words.__setitem__(2, TYPE_SEND),
        lambda words: words.__setitem__(3, UREFS_MAX + 1),
        lambda words: words.__setitem__(4, WANTS_DEAD_NAME),
        lambda words: words.__setitem__(4 + NAME_WORDS, WANTS_DEAD_NAME),
        lambda words: words.__setitem__(5, 77),
        lambda words: words.__setitem__(8, QLIMIT_MAX + 1),
        lambda words: words.__setitem__(-2, 0xFFFFFFFF),
        lambda words: words.__setitem__(-1, words[1]),
        lambda words: words.append(0),
    ),
)
def test_a_name_space_that_is_none_is_refused_and_a_sound_one_taken(held: tuple[Machine, Task], change: Change) -> None:
    machine, task = held
    ipc, space = machine.kernel.ipc, task.space
    before = [(name, entry.type, entry.urefs) for name, entry in space.entries()]
    parts = space_move.extract(ipc, space)
    words = list(parts.words)
    change(words)
    with pytest.raises(KernError):
        space_move.insert(ipc, space, parts._replace(words=tuple(words)))
    assert not space.table
    space_move.insert(ipc, space, parts)
    assert [(name, entry.type, entry.urefs) for name, entry in space.entries()] == before
    machine.check()
    freeze.thaw(machine.kernel.kern, task)


@pytest.mark.parametrize(
    "words",
    (
        (),
        (REDO_NOTHING, FOREVER),
        (REDO_FAULT + 1, FOREVER, 0),
        (REDO_NOTHING, FOREVER, 0, 1),
        (REDO_SEND, FOREVER, 0, *range(7)),
        (REDO_SEND, FOREVER, 0, *range(8)),
        (REDO_TRAP, FOREVER, 0),
        (REDO_TRAP, FOREVER, 0, 1 << 31),
        (REDO_TRAP, FOREVER, 0, 25, 1),
        (REDO_REDIRECT, FOREVER, 0, 130),
        (REDO_YIELD, FOREVER, 0, 3),
        (REDO_EXCEPTION, FOREVER, 0, 1, 1, 1),
        (REDO_FAULT, FOREVER, 0, 4096, 8),
        (REDO_FAULT, FOREVER, 0, 4096),
        (REDO_GSYNC, FOREVER, 0, 4096, 0, *range(7)),
        (REDO_GSYNC, FOREVER, 0, 4096, 0, *range(7), 77),
    ),
)
def test_a_wait_that_is_none_is_refused(held: tuple[Machine, Task], words: tuple[int, ...]) -> None:
    machine, task = held
    kernel = machine.kernel
    [thread] = task.threads.values()
    right = ports.make_send(kernel.ipc, thread.ith_self)  # type: ignore[arg-type]
    nobody = PolyPort(None, PORT_SEND_ONCE)
    with pytest.raises(KernError):
        call(kernel, THREAD_SET_WAIT, kernel.kern.host.host_priv_self, right, words, OutOfLine(None, 0), nobody)
    freeze.thaw(kernel.kern, task)


def test_a_wait_for_a_word_names_its_task_s_own_port_that_is_answered(held: tuple[Machine, Task]) -> None:
    """No other kernel has the right on its way, by which the answer would go round."""
    machine, task = held
    kernel, host, nobody = machine.kernel, machine.kernel.kern.host.host_priv_self, PolyPort(None, PORT_SEND_ONCE)
    [thread] = task.threads.values()
    [(own, entry)] = [(name, each) for name, each in task.space.entries() if each.type & TYPE_RECEIVE]
    words = (REDO_GSYNC, FOREVER, 0, 4096, 0, *range(7), own)

    def set_wait(told: tuple[int, ...]) -> None:
        right = ports.make_send(kernel.ipc, thread.ith_self)  # type: ignore[arg-type]
        call(kernel, THREAD_SET_WAIT, host, right, told, OutOfLine(None, 0), nobody)

    set_wait(words)
    assert entry.port().sorights == 1
    told, _, reply = call(kernel, THREAD_GET_WAIT, thread.ith_self)
    assert (told, reply) == (words, nobody)
    assert entry.port().sorights == 0
    set_wait((REDO_NOTHING, FOREVER, 0))
    freeze.thaw(kernel.kern, task)
    machine.check()


def told(machine: Machine, routine: Routine, port: Right) -> tuple[int, ...]:
    """The words of an account."""
    return numbers(machine, call(machine.kernel, routine, port)[0])


def sent(machine: Machine, words: Sequence[int]) -> OutOfLine:
    data = machine.arch.pack(f"{len(words)}I", *words)
    return OutOfLine(VmMapCopy.from_bytes(machine.kernel.vm, data), len(data))


@pytest.mark.parametrize("place, word", ((0, 1 << 31), (1, 64), (2, 64), (3, 64), (4, 0), (7, 64), (21, 1), (24, 1 << 31)))
def test_an_account_that_no_thread_has_is_refused(held: tuple[Machine, Task], place: int, word: int) -> None:
    machine, task = held
    kernel, host = machine.kernel, machine.kernel.kern.host.host_priv_self
    [thread] = task.threads.values()
    right = ports.make_send(kernel.ipc, thread.ith_self)  # type: ignore[arg-type]
    words = told(machine, THREAD_GET_ACCOUNT, thread.ith_self)
    changed = [*words]
    changed[place] = word
    for wrong in (changed, words[:-1], (*words, 0), (*words, 1, 1, 0, 7, 1, 1, 1), (*words, 1, 0, 0, NONE, 1, 1, 1)):
        with pytest.raises(KernError):
            call(kernel, THREAD_SET_ACCOUNT, host, right, sent(machine, wrong))
    assert told(machine, THREAD_GET_ACCOUNT, thread.ith_self) == words
    ports.release_send(kernel.ipc, right)
    freeze.thaw(kernel.kern, task)


def test_a_thread_s_usage_is_as_old_where_it_comes_also_at_a_node_that_is_younger(held: tuple[Machine, Task]) -> None:
    machine, task = held
    kernel, sched = machine.kernel, machine.kernel.kern.sched
    [thread] = task.threads.values()
    thread.sched_stamp = sched.sched_tick - 7
    words = sent(machine, told(machine, THREAD_GET_ACCOUNT, thread.ith_self))
    thread.sched_stamp = sched.sched_tick
    right = ports.make_send(kernel.ipc, thread.ith_self)  # type: ignore[arg-type]
    call(kernel, THREAD_SET_ACCOUNT, kernel.kern.host.host_priv_self, right, words)
    assert sched.sched_tick < 7 and sched.sched_tick - thread.sched_stamp == 7
    machine.check()
    freeze.thaw(kernel.kern, task)


def test_samples_go_with_a_thread_and_its_task_under_its_new_number(held: tuple[Machine, Task]) -> None:
    machine, task = held
    kernel, host = machine.kernel, machine.kernel.kern.host.host_priv_self
    [thread] = task.threads.values()
    gone = thread.number + 100
    for target in (thread, task):
        pc_sample.enable(target, 1)
    task.pc_sample.samples.append((gone, 0x44, 1))  # type: ignore[union-attr]
    task.pc_sample.seqno = 1  # type: ignore[union-attr]
    pc_sample.take(thread, 1, 0x55)
    parts = [told(machine, *each) for each in ((THREAD_GET_ACCOUNT, thread.ith_self), (TASK_GET_ACCOUNT, task.itk_self))]
    new = task_control.create(kernel.kern, None, False, "new")
    its = thread_control.create(kernel.kern, new)
    freeze.freeze(kernel.kern, new)
    for routine, port, words in ((THREAD_SET_ACCOUNT, its.ith_self, parts[0]), (TASK_SET_ACCOUNT, new.itk_self, parts[1])):
        call(kernel, routine, host, ports.make_send(kernel.ipc, port), sent(machine, words))  # type: ignore[arg-type]
    assert its.number != thread.number
    assert pc_sample.get(its, 0) == (1, ((its.number, 0x55, 1),))
    assert pc_sample.get(new, 0) == (2, ((gone, 0x44, 1), (its.number, 0x55, 1)))
    task_control.terminate(kernel.kern, new)
    freeze.thaw(kernel.kern, task)


def test_suspensions_go_with_a_task(held: tuple[Machine, Task]) -> None:
    machine, task = held
    kernel, kern = machine.kernel, machine.kernel.kern
    [thread] = task.threads.values()
    words = sent(machine, (2, *told(machine, TASK_GET_ACCOUNT, task.itk_self)[1:]))
    call(kernel, TASK_SET_ACCOUNT, kern.host.host_priv_self, ports.make_send(kernel.ipc, task.itk_self), words)  # type: ignore[arg-type]
    freeze.thaw(kern, task)
    assert (task.user_stop_count, thread.suspend_count) == (2, 1)
    task_control.resume(kern, task)
    assert thread.suspend_count == 1
    task_control.resume(kern, task)
    assert thread.suspend_count == 0


def test_the_longest_time_out_is_not_taken_for_none(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread = add_task(machine, b"")
        name = mach_port.mach_port_allocate(machine.kernel.ipc, task.space, RIGHT_RECEIVE)
        option = MACH_RCV_MSG | MACH_RCV_TIMEOUT
        task.memory.write(VirtAddr(CODE), arch.trap(25, CODE, option, 0, 64, name, FOREVER, 0) + arch.stay)
        machine.run(1_000_000)
        assert thread.wait_timer is not None
        time = thread.wait_timer.time
        give_up(machine, task, told=True)
        assert thread.wait_timer is not None
        assert time - 20_000_000 <= thread.wait_timer.time <= time


def test_what_makes_a_task_of_parts_needs_the_privileged_host_port(held: tuple[Machine, Task]) -> None:
    machine, task = held
    kernel, nobody = machine.kernel, PolyPort(None, PORT_SEND_ONCE)
    [thread] = task.threads.values()
    bytes_of_none = OutOfLine(None, 0)
    requests = (
        (THREAD_SET_WAIT, thread.ith_self, ((REDO_NOTHING, FOREVER, 0), bytes_of_none, nobody)),
        (MACH_PORT_INSERT_ALL, task.itk_self, (bytes_of_none, (), (), (), ())),
        (TASK_ADOPT, task.itk_self, (None, (), ())),
        (TASK_SET_ACCOUNT, task.itk_self, (bytes_of_none,)),
        (THREAD_SET_ACCOUNT, thread.ith_self, (bytes_of_none,)),
    )
    for routine, port, values in requests:
        for host in (kernel.kern.host.host_self, task.itk_self):
            with pytest.raises(KernError) as refused:
                call(kernel, routine, host, ports.make_send(kernel.ipc, port), *values)  # type: ignore[arg-type]
            assert refused.value.code == KERN_INVALID_HOST
    freeze.thaw(kernel.kern, task)


def test_a_task_that_is_not_frozen_is_told_of_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread = add_task(machine, arch.stay)
        machine.run(1_000_000)
        kernel = machine.kernel
        asked = ((TASK_THAW, task), (TASK_SURRENDER, task), (MACH_PORT_EXTRACT_ALL, task), (THREAD_GET_WAIT, thread))
        for routine, target in asked:
            with pytest.raises(KernError) as refused:
                call(kernel, routine, target.itk_self if isinstance(target, Task) else target.ith_self)
            assert refused.value.code == KERN_FAILURE
        freeze.freeze(kernel.kern, task)
        with pytest.raises(KernError):
            freeze.freeze(kernel.kern, task)
        call(kernel, TASK_THAW, task.itk_self)


def frozen(kernel: Kernel, task: Task) -> tuple[int, ...]:
    """What task_freeze answers."""
    return call(kernel, TASK_FREEZE, kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self))


def test_reasons_to_stay_are_told_and_a_task_freezes_others_only(arch: Arch) -> None:
    with empty(arch) as machine:
        other, _ = add_task(machine, arch.stay)
        task, _ = add_task(machine, arch.stay)
        machine.run(1_000_000)
        kernel = machine.kernel
        current = kernel.kern.current.task
        with pytest.raises(KernError) as refused:
            frozen(kernel, current)
        assert refused.value.code == KERN_INVALID_ARGUMENT
        unprivileged = send_right(kernel, current.itk_self)
        with pytest.raises(KernError) as refused:
            call(kernel, TASK_FREEZE, kernel.kern.host.host_self, unprivileged)
        assert refused.value.code == KERN_INVALID_HOST
        victim = other if current is task else task
        assert frozen(kernel, victim) == (0,)
        call(kernel, TASK_THAW, victim.itk_self)
        victim.essential = True
        assert frozen(kernel, victim) == (STAY_ESSENTIAL,)
        call(kernel, TASK_THAW, victim.itk_self)
        victim.essential = False


def test_the_manager_of_memory_that_nobody_maps_and_the_kernel_keeps_stays(arch: Arch) -> None:
    with empty(arch) as machine:
        manager = Manager(machine)
        task, _ = add_task(machine, arch.stay)
        address = manager.map(task, arch.page)
        manager.ready(cache=True)
        manager.supply(0, bytes(arch.page))
        machine.run(1_000_000)
        assert frozen(machine.kernel, manager.task) == (0,)
        call(machine.kernel, TASK_THAW, manager.task.itk_self)
        assert task.map is not None
        vm.vm_deallocate(task.map, address, arch.page)
        assert frozen(machine.kernel, manager.task) == (STAY_CACHED,)
        call(machine.kernel, TASK_THAW, manager.task.itk_self)
        manager.tell("destroy", 0)


@pytest.mark.parametrize("reason", (STAY_IO_PERM, STAY_PROXY))
def test_a_task_that_has_a_right_to_what_its_kernel_alone_knows_stays(reason: int) -> None:
    with empty(I386) as machine:
        kernel = machine.kernel
        tasks = [add_task(machine, I386.stay)[0] for _ in range(2)]
        machine.run(1_000_000)
        [task] = [task for task in tasks if task is not kernel.kern.current.task]
        if reason == STAY_PROXY:
            right = proxies.create(kernel.ipc, Manager(machine).new_port(), 3, 0, 0x1000)
        else:
            right = kernel.io_perms.create(kernel.ipc, 0x300, 0x300)
        name = mach_port.copyout_send(kernel.ipc, task.space, right)
        assert frozen(kernel, task) == (reason,)
        call(kernel, TASK_THAW, task.itk_self)
        mach_port.mach_port_deallocate(kernel.ipc, task.space, name)
        assert frozen(kernel, task) == (0,)
        call(kernel, TASK_THAW, task.itk_self)
