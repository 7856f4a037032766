"""An event that is to come has somebody who waits for it, and who waits has his event: a saved machine without is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.device.block import DiskEvent
from machemu.device.ds_routines import DeviceEvent
from machemu.kern import thread_control
from machemu.kern.subsystem import Timer
from machemu.kern.thread import Thread
from machemu.machine.disk import ImageDisk
from machemu.mig.interfaces import device
from machemu.sim.events import Event, EventQueue
from tests.support import testdisk
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import RAM, Machine, load, new_node

OTHERS = "other events are to come than somebody waits for"


def event(queue: EventQueue, kind: Timer | DeviceEvent) -> Event:
    return next(each for each in queue.events if each.kind is kind)


def forget(queue: EventQueue, kind: Timer | DeviceEvent) -> None:
    queue.cancel(event(queue, kind))


def twin(queue: EventQueue, thread: Thread) -> None:
    """A thread's timer is another than the one that comes."""
    timer = event(queue, Timer.DEPRESS)
    thread.depress_timer = Event(timer.time, timer.priority, timer.sequence, timer.kind, timer.args)


CHANGES: dict[str, tuple[Callable[[EventQueue, Thread], None], str]] = {
    "an opening of nothing": (lambda queue, thread: setattr(event(queue, DeviceEvent.OPENED), "args", ()), OTHERS),
    "a transfer in the place of an opening": (
        lambda queue, thread: setattr(event(queue, DeviceEvent.OPENED), "kind", DiskEvent.DONE), OTHERS),
    "an opening that does not come": (lambda queue, thread: forget(queue, DeviceEvent.OPENED), OTHERS),
    "a timer of nobody": (lambda queue, thread: setattr(event(queue, Timer.DEPRESS), "args", (queue,)), OTHERS),
    "a timer that does another thing": (lambda queue, thread: setattr(event(queue, Timer.DEPRESS), "kind", Timer.WAIT), OTHERS),
    "a timer that nobody has": (lambda queue, thread: setattr(thread, "depress_timer", None), OTHERS),
    "a timer that does not come": (twin, "has a timer that is not to come"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_machine_whose_events_are_not_those_that_are_waited_for_is_refused(what: str, arch: Arch, tmp_path: Path) -> None:
    path, disk = tmp_path / "saved", {"hd0": ImageDisk.of_bytes(testdisk.image())}
    machine = Machine(new_node(arch, RAM, disk))
    user = User(machine)
    kern = machine.kernel.kern
    thread = thread_control.create(kern, user.task)
    kern.depress(thread, 1000)
    user.ask(user.devices.master_port, device.DEVICE_OPEN, 3, b"hd0")
    machine.check()
    change, message = CHANGES[what]
    change(kern.events, thread)
    machine.node.save(path)
    machine.node.close()
    with pytest.raises(UserError, match=f"{path}: is damaged: .*{message}"):
        load(path, disk)
