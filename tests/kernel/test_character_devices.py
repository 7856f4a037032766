"""The devices that every machine has, where the conformance modules do not look: waits, limits, saved state, hostile callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.device import (
    D_ALREADY_OPEN,
    D_DEVICE_DOWN,
    D_INVALID_OPERATION,
    D_INVALID_SIZE,
    D_NO_MEMORY,
    D_NOWAIT,
    D_WOULD_BLOCK,
    TTY_FLUSH,
    TTY_START,
    TTY_STOP,
)
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_VALUE
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.device import ds_routines, limits
from machemu.device.dev_pager import DevicePager
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.kern.clock import DEFAULT_DATE
from machemu.machine.disk import ImageDisk
from machemu.mig.interfaces import device, notify
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import CODE, SECOND_NS, STACK_END, Machine, add_task, empty, load, new_node

RESULT = CODE + 0x800


def test_reads_of_the_console_wait_for_input_also_across_a_load(arch: Arch, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        user.ask(console, device.DEVICE_READ_INBAND, 0, 0, 3)
        user.ask(console, device.DEVICE_READ, 0, 0, 100)
        machine.node.save(saved)
    with load(saved) as again:
        user = User(again, again.tasks[0])
        assert user.answer(device.DEVICE_READ_INBAND) is None
        again.kernel.console.receive(b"abcdef")
        assert user.answer(device.DEVICE_READ_INBAND) == (0, b"abc")
        assert user.answer(device.DEVICE_READ) == (0, b"def")


def test_closing_the_console_answers_those_who_wait(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        user.ask(console, device.DEVICE_READ, 0, 0, 100)
        user.ask(console, device.DEVICE_CLOSE)
        assert user.answer(device.DEVICE_READ) == (D_DEVICE_DOWN, b"")
        assert user.answer(device.DEVICE_CLOSE) == (0,)


def test_a_stopped_line_holds_output_back_and_then_its_writers(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        assert user.call(console, device.DEVICE_SET_STATUS, TTY_STOP, ()) == (0,)
        assert user.call(console, device.DEVICE_WRITE_INBAND, 0, 0, b"first ") == (0, 6)
        user.ask(console, device.DEVICE_WRITE, 0, 0, user.memory(b"x" * 3000))
        assert user.answer(device.DEVICE_WRITE) is None and machine.console == b""
        machine.check()
        assert user.call(console, device.DEVICE_GET_STATUS, TTY_STOP, 4) == (D_INVALID_OPERATION,)
        user.ask(console, device.DEVICE_SET_STATUS, TTY_START, ())
        assert user.answer(device.DEVICE_WRITE) == (0, 3000)
        assert user.answer(device.DEVICE_SET_STATUS) == (0,)
        assert machine.console == b"first " + b"x" * 3000


def test_a_flush_forgets_what_was_held_back(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        machine.kernel.console.receive(b"unread")
        for flavor, words in ((TTY_STOP, ()), (TTY_FLUSH, (0,)), (TTY_START, ())):
            user.call(console, device.DEVICE_WRITE_INBAND, 0, 0, b"lost" if words else b"")
            assert user.call(console, device.DEVICE_SET_STATUS, flavor, words) == (0,)
        user.ask(console, device.DEVICE_READ, 0, 0, 100)
        assert user.answer(device.DEVICE_READ) is None and machine.console == b""


def test_kmsg_has_what_the_kernel_printed_and_loses_what_does_not_fit(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        kmsg = user.open("kmsg")
        assert user.call(kmsg, device.DEVICE_READ, D_NOWAIT, 0, 10) == (D_WOULD_BLOCK, b"")
        machine.kernel.print(bytes(range(256)) * 20)
        assert user.call(kmsg, device.DEVICE_READ, 0, 0, 9000) == (0, (bytes(range(256)) * 20)[:4095])
        user.ask(kmsg, device.DEVICE_READ, 0, 0, 2)
        user.ask(kmsg, device.DEVICE_READ_INBAND, 0, 0, -1)
        machine.kernel.print(b"late")
        assert user.answer(device.DEVICE_READ) == (0, b"la")
        assert user.answer(device.DEVICE_READ_INBAND) == (0, b"te")


def test_the_time_page_shows_virtual_time_at_the_last_tick_and_cannot_be_written(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        time = user.open("time")
        code, memory_object = user.call(time, device.DEVICE_MAP, VM_PROT_READ, 0, arch.page, 0)
        assert code == 0
        pager = memory_object.kobject
        assert isinstance(pager, DevicePager)
        machine.kernel.kern.clock.base = 3 * SECOND_NS + 123_456_789
        page = pager.page(arch.page, VM_PROT_READ)
        assert page is not None and len(page) == arch.page
        assert arch.unpack("3I", page) == (DEFAULT_DATE + 3, 120_000, DEFAULT_DATE + 3)
        assert pager.page(0, VM_PROT_WRITE) is None


def test_a_memory_object_lives_as_long_as_somebody_has_a_right_to_it(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        time = user.open("time")
        first = user.call(time, device.DEVICE_MAP, 1, 0, 1, 0)[1]
        assert user.call(time, device.DEVICE_MAP, 3, 0, 2 * arch.page, 0)[1] is first
        other = user.call(time, device.DEVICE_MAP, 1, arch.page, 1, 0)[1]
        assert other is not first and len(machine.kernel.devices.pagers) == 2
        machine.check()
        user.forget(first)
        assert not first.active and list(machine.kernel.devices.pagers) == [(("time", 0), arch.page)]
        machine.end(user.task)
        assert not machine.kernel.devices.pagers


def test_a_port_takes_interrupts_once_and_its_right_is_kept(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        irq, port = user.open("irq"), user.make_port()
        for expected in ((0,), (D_NO_MEMORY,)):
            assert user.call(irq, device.DEVICE_INTR_REGISTER, 5, 0, ports.make_send(user.ipc, port)) == expected
            machine.check()
        assert user.call(irq, device.DEVICE_INTR_REGISTER, 5, 0, None) == (D_INVALID_OPERATION,)
        assert user.call(irq, device.DEVICE_INTR_REGISTER, 16, 0, ports.make_send(user.ipc, user.reply_port)) == (D_ALREADY_OPEN,)
        user.destroy_port(port)
        assert user.call(irq, device.DEVICE_INTR_ACK, None) == (KERN_INVALID_ARGUMENT,)


def test_what_the_real_kernel_dies_of_is_refused(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        for name in ("cn", "time", "mem", "irq"):
            target = user.open(name)
            assert user.call(target, device.DEVICE_READ_INBAND, 0, 0, 1) == (D_INVALID_OPERATION,)
            assert user.call(target, device.DEVICE_READ, 0, 0, 0) == (0, b"")


@pytest.mark.parametrize("count", (-1, -(1 << 31), limits.CHARACTERS_MAX + 1, (1 << 31) - 1))
def test_a_read_of_the_console_of_any_size_is_answered(arch: Arch, count: int) -> None:
    with empty(arch) as machine:
        user = User(machine)
        assert user.call(user.open("console"), device.DEVICE_READ, 0, 0, count) == (D_INVALID_SIZE,)


def test_waiting_requests_and_open_devices_have_a_limit(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ds_routines, "OPENED_MAX", 3)
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        for _ in range(limits.WAITING_MAX):
            user.ask(console, device.DEVICE_READ_INBAND, 0, 0, 1)
        assert user.call(console, device.DEVICE_READ_INBAND, 0, 0, 1) == (D_NO_MEMORY,)
        user.open("cn1")
        user.open("cn2")
        assert user.call(user.devices.master_port, device.DEVICE_OPEN, 0, b"cn3") == (D_NO_MEMORY,)
        user.open("cn2")


def test_a_task_cannot_tell_the_kernel_that_a_device_has_no_senders(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        time = user.open("time")
        memory_object = user.call(time, device.DEVICE_MAP, 1, 0, 1, 0)[1]
        for target in (time, memory_object, user.devices.master_port):
            user.ask(target, notify.MACH_NOTIFY_NO_SENDERS, 0, answer=False)
        assert time.active and memory_object.active


def test_requests_without_a_reply_port_are_done_or_dropped(arch: Arch) -> None:
    with empty(arch) as machine:
        user = User(machine)
        console = user.open("console")
        user.ask(user.devices.master_port, device.DEVICE_OPEN, 0, b"time", answer=False)
        user.ask(console, device.DEVICE_READ, 0, 0, 1, answer=False)
        user.ask(console, device.DEVICE_WRITE, 0, 0, user.memory(b"printed"), answer=False)
        assert machine.console == b"printed" and len(machine.kernel.devices.opened) == 1


def test_write_traps_write_to_character_devices_and_to_no_others(arch: Arch) -> None:
    disk = ImageDisk.of_bytes(bytes(512))
    with Machine(new_node(arch, disks={"hd0": disk})) as machine:
        user = User(machine)
        names = {}
        devices = {name: user.open(name) for name in ("console", "cn", "kmsg", "hd0")}
        task, thread = add_task(machine, arch.stay)
        for name, port in devices.items():
            names[name] = mach_port.copyout_send(user.ipc, task.space, ports.make_send(user.ipc, port))
        text, vector = STACK_END - 256, STACK_END - 240
        task.memory.write(VirtAddr(text), b"abcdef")
        task.memory.write(VirtAddr(vector), arch.pack("4I", text, 2, text + 4, 2))
        machine.run(SECOND_NS // 100)
        written = {}
        for name, port_name in names.items():
            results = []
            calls = ((40, text, 3), (39, vector, 2), (39, 8, 17))
            for code in (
                arch.trap(number, port_name, 0, 0, 0, address, count) + arch.store(RESULT) for number, address, count in calls
            ):
                task.memory.write(VirtAddr(CODE), code + arch.stay)
                thread.pcb.set_entry(VirtAddr(CODE), VirtAddr(STACK_END - 512))
                machine.run(SECOND_NS // 100)
                results.append(machine.word(task, RESULT))
            written[name] = results
        taken = [0, 0, KERN_INVALID_VALUE]
        assert written == dict.fromkeys(("console", "cn", "kmsg"), taken) | {"hd0": [D_INVALID_OPERATION] * 3}
        assert machine.console == b"abcabef"
