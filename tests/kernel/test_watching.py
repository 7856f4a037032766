"""Several tracers watch one kernel: they come and go at any trap, hear the same, and disturb nothing."""

from __future__ import annotations

import dataclasses
import io

import pytest

from machemu.abi.errors import InvariantError
from machemu.core.observe import unwatch, watch
from machemu.trace.events import MessageMoved, RightRef, TraceEvent, TrapEntered
from machemu.trace.ports import PortKind, PortRef
from machemu.ui.strace import Strace
from tests.support.guests import Arch
from tests.support.machine import Machine, boot, image, module


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []

    def emit(self, event: TraceEvent) -> None:
        self.events.append(event)


class Guest(Listener):
    """Goes after so many events, in the middle of whatever is under way."""

    def __init__(self, machine: Machine, stay: int) -> None:
        super().__init__()
        self.machine = machine
        self.stay = stay

    def emit(self, event: TraceEvent) -> None:
        super().emit(event)
        if len(self.events) == self.stay:
            unwatch(self.machine.kernel, self)


def end(machine: Machine) -> tuple[bytes, str]:
    machine.run_until("END")
    return machine.console, machine.node.digest()


def test_two_watchers_hear_the_same(arch: Arch) -> None:
    one, other = Listener(), Listener()
    with boot(module(arch, "messages")) as machine:
        watch(machine.kernel, one)
        watch(machine.kernel, other)
        end(machine)
    assert one.events == other.events
    assert len(one.events) > 500


@pytest.mark.parametrize("name", ["messages", "emulation", "threads"])
def test_one_that_leaves_at_any_event_disturbs_nobody(arch: Arch, name: str) -> None:
    whole = Listener()
    with boot(module(arch, name)) as machine:
        watch(machine.kernel, whole)
        expected = end(machine)
    count = len(whole.events)
    for stay in (1, 2, 3, count // 3, count // 2 + 1, count - 1):
        staying = Listener()
        with boot(module(arch, name)) as machine:
            leaving = Guest(machine, stay)
            watch(machine.kernel, leaving)
            watch(machine.kernel, staying)
            assert end(machine) == expected
        assert staying.events == whole.events
        assert leaving.events == whole.events[:stay]


@pytest.mark.parametrize("name", ["messages", "emulation"])
def test_the_last_one_may_leave_and_another_come_at_any_trap(arch: Arch, name: str) -> None:
    with boot(module(arch, name)) as machine:
        expected = end(machine)
        count = machine.kernel.trap_count
    whole = Listener()
    with boot(module(arch, name)) as machine:
        watch(machine.kernel, whole)
        assert end(machine) == expected
    for at in range(1, count, max(1, count // 12)):
        late = Listener()
        with boot(module(arch, name)) as machine:
            watch(machine.kernel, Guest(machine, at))
            machine.run(traps=at)
            watch(machine.kernel, late)
            assert end(machine) == expected
        assert late.events == whole.events[len(whole.events) - len(late.events) :]


def test_a_kernel_that_nobody_watches_any_more_is_entered_directly(arch: Arch) -> None:
    with boot(image(arch, "pingpong")) as machine:
        listener = Listener()
        watch(machine.kernel, listener)
        machine.run(traps=5)
        unwatch(machine.kernel, listener)
        assert (machine.kernel.observer, machine.kernel.ipc.observer, machine.kernel.entry) == (None, None, machine.kernel)
        with pytest.raises(InvariantError):
            unwatch(machine.kernel, listener)


def test_events_are_numbers_names_and_references(arch: Arch) -> None:
    def plain(value: object) -> bool:
        if dataclasses.is_dataclass(value):
            return all(plain(getattr(value, field.name)) for field in dataclasses.fields(value))
        return value is None or (isinstance(value, tuple) and all(map(plain, value))) or not isinstance(value, list | dict | set)

    listener = Listener()
    with boot(module(arch, "messages")) as machine:
        watch(machine.kernel, listener)
        end(machine)
    assert all(map(plain, listener.events))
    names = {event.trap for event in listener.events if isinstance(event, TrapEntered)}
    assert {"mach_msg", "mach_reply_port"} <= names
    moved = [event for event in listener.events if isinstance(event, MessageMoved)]
    rights = [value for event in moved for _, value in event.arguments if isinstance(value, RightRef)]
    assert rights and all(isinstance(right.port, PortRef) for right in rights)
    written = [
        value for event in moved if event.routine == "device_write_inband" for name, value in event.arguments if name == "data"
    ]
    assert b"BEGIN" in b"".join(value for value in written if isinstance(value, bytes))


def test_the_same_events_make_the_same_trace_later(arch: Arch) -> None:
    listener, at_once, later = Listener(), io.StringIO(), io.StringIO()
    with boot(module(arch, "messages")) as machine:
        watch(machine.kernel, listener)
        watch(machine.kernel, Strace(at_once))
        end(machine)
    strace = Strace(later)
    for event in listener.events:
        strace.emit(event)
    assert at_once.getvalue() == later.getvalue() != ""


def test_several_sinks_hear_the_console_and_come_and_go(arch: Arch) -> None:
    heard: list[bytes] = []

    def once(data: bytes) -> None:
        heard.append(data)
        machine.kernel.console.sinks.remove(once)

    with boot(image(arch, "pingpong")) as machine:
        machine.kernel.console.sinks.insert(0, once)
        machine.run()
        assert machine.console.startswith(heard[0]) and len(machine.console) > len(heard[0])
        assert len(heard) == 1


def test_input_comes_from_one_source_after_the_other(arch: Arch) -> None:
    with boot(image(arch, "echo")) as machine:
        for pieces in ([b"one\n", b"two\n", b""], [b""], [b"three\n", b""]):
            machine.kernel.input_sources.append(iter(pieces).__next__)
        machine.run()
        assert not machine.kernel.input_sources
        assert all(word in machine.console for word in (b"ONE", b"TWO", b"THREE"))


def test_ports_of_memory_objects_are_told_apart_from_tasks_own(arch: Arch) -> None:
    listener = Listener()
    with boot(module(arch, "pagerattrs")) as machine:
        watch(machine.kernel, listener)
        end(machine)
    sent = {(event.routine, event.remote.kind) for event in listener.events if isinstance(event, MessageMoved) and event.is_sent}
    assert ("memory_object_get_attributes", PortKind.MEMORY_CONTROL) in sent
    assert ("memory_object_init", PortKind.PORT) in sent and ("memory_object_init", PortKind.MEMORY_CONTROL) not in sent
