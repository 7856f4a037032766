"""Runs go to conditions and back to them: exactly, on both CPUs, and nothing in the machine tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machemu.abi.types import VirtAddr
from machemu.debug import search, words
from machemu.debug.fields import InMachine
from machemu.kern.thread import TH_WAIT
from machemu.lab.machine import Machine
from machemu.lab.travel import Point
from machemu.trace.events import MessageMoved, TraceEvent, TrapEntered
from tests.support.guests import Arch
from tests.support.machine import image, module


@pytest.fixture
def pingpong(arch: Arch) -> Iterator[Machine]:
    with Machine.boot(image(arch, "pingpong")) as made:
        yield made
        made.check()


def forwards(machine: Machine, *texts: str) -> int | None:
    """Goes on to one of several conditions: which came."""
    conditions = [words.condition(machine, text.split()) for text in texts]
    return machine.travel(lambda subject, way: search.forwards(InMachine(subject, way, conditions))).condition


def backwards(machine: Machine, *texts: str) -> int | None:
    conditions = [words.condition(machine, text.split()) for text in texts]
    return machine.travel(lambda subject, way: search.backwards(InMachine(subject, way, conditions))).condition


def all_points(machine: Machine, text: str) -> list[Point]:
    """Where a condition comes, up to the end of the run."""
    points = []
    while forwards(machine, text) is not None:
        points.append(machine.point)
    return points


def all_points_back(machine: Machine, text: str) -> list[Point]:
    points = []
    while backwards(machine, text) is not None:
        points.append(machine.point)
    return points


def end_digest(path: Path) -> str:
    with Machine.boot(path) as machine:
        machine.run()
        return machine.digest()


def test_a_breakpoint_stands_right_before_its_instruction_each_time(pingpong: Machine, arch: Arch) -> None:
    address = pingpong.symbols.address("catch", 1)
    calls = []
    watch = pingpong.kernel.cpu.watch_code(VirtAddr(address), lambda: calls.append(pingpong.traps))
    begin = pingpong.point
    pingpong.run()
    pingpong.kernel.cpu.unwatch_code(watch)
    pingpong.go(begin)
    points = []
    while forwards(pingpong, "at catch") is not None:
        thread = pingpong.kernel.kern.sched.current
        assert thread is not None and thread.pcb.pc == address
        points.append(pingpong.point)
    assert [point.traps for point in points] == calls
    assert len(calls) > 8
    assert pingpong.digest() == end_digest(image(arch, "pingpong"))
    assert all_points_back(pingpong, "at catch") == points[::-1]


def test_breakpoints_are_met_where_single_steps_find_them_instructions_that_fault_among_them(pingpong: Machine) -> None:
    """The first instructions of a program touch pages that are not there yet."""
    seen: dict[int, list[Point]] = {}
    while len(seen) < 60:
        pingpong.step("instruction")
        thread = pingpong.kernel.kern.sched.current
        assert thread is not None
        seen.setdefault(int(thread.pcb.pc), []).append(pingpong.point)
    end = pingpong.point
    for address in [*seen][:20:4] + [*seen][20::8]:
        pingpong.go(pingpong.earliest)
        found = []
        while forwards(pingpong, f"at {address:#x}") is not None and pingpong.point <= end:
            found.append(pingpong.point)
        assert [point for point in found if point > Point(0, 0, 1)][: len(seen[address])] == seen[address]
        pingpong.go(end)
        assert backwards(pingpong, f"at {address:#x}") == 0


def test_a_breakpoint_of_one_task_is_none_of_another_s(pingpong: Machine) -> None:
    both = all_points(pingpong, "at catch")
    pingpong.go(pingpong.earliest)
    first = all_points(pingpong, "at catch 1")
    assert 0 < len(first) < len(both)
    assert set(first) < set(both)


def test_a_breakpoint_in_a_loop_is_met_in_each_round_and_each_round_back(pingpong: Machine) -> None:
    """Many rounds lie between two traps."""
    seen: dict[int, list[Point]] = {}
    pingpong.run(traps=20)
    while not any(len(points) == 6 for points in seen.values()):
        pingpong.step("instruction")
        thread = pingpong.kernel.kern.sched.current
        assert thread is not None
        seen.setdefault(int(thread.pcb.pc), []).append(pingpong.point)
    address, expected = next(each for each in seen.items() if len(each[1]) == 6)
    text = f"at {address:#x} 1"
    pingpong.go(expected[0])
    for point in expected[1:]:
        assert forwards(pingpong, text) == 0
        assert pingpong.point == point
    for point in expected[-2::-1]:
        assert backwards(pingpong, text) == 0
        assert pingpong.point == point


def test_a_written_page_is_found_at_the_instruction_and_back_again(pingpong: Machine) -> None:
    address = pingpong.symbols.address("console", 1)
    size = pingpong.kernel.cpu.page_size
    page = address - address % size
    text = f"page 1 {page:#x}"
    points = []
    forwards(pingpong, "trap")
    for _ in range(6):
        assert forwards(pingpong, text) == 0
        points.append(pingpong.point)
        new = pingpong.read(1, page, size)
        pingpong.back("instruction")
        assert pingpong.read(1, page, size) != new
        pingpong.go(points[-1])
    for expected in points[-2::-1]:
        assert backwards(pingpong, text) == 0
        assert pingpong.point == expected


@pytest.mark.slow
def test_a_full_queue_is_found_when_the_last_message_comes(arch: Arch) -> None:
    path = module(arch, "sendtimeouts")
    with Machine.boot(path) as machine:
        machine.run(lambda m: any(row.messages >= row.limit > 0 for row in m.ports))
        expected = machine.point
        number = next(row.number for row in machine.ports if row.messages >= row.limit > 0)
        machine.go(machine.earliest)
        while number not in machine.kernel.ipc.ports:
            machine.step()
        assert forwards(machine, f"queue {number}") == 0
        assert machine.point == expected
        later = [expected, *all_points(machine, f"queue {number}")]
        assert machine.digest() == end_digest(path)
        if number in machine.kernel.ipc.ports:
            assert all_points_back(machine, f"queue {number}") == later[::-1]
        machine.check()


@pytest.mark.parametrize("text", ["message 1000 sent", "trap mach_reply_port"])
def test_messages_and_traps_are_found_each_once_and_back_again(pingpong: Machine, text: str) -> None:
    heard: list[int] = []

    def hear(event: TraceEvent) -> None:
        message = isinstance(event, MessageMoved) and event.is_sent and event.message_id == 1000
        trap = isinstance(event, TrapEntered) and event.trap == "mach_reply_port"
        if message if text.startswith("message") else trap:
            heard.append(pingpong.traps)

    hook = pingpong.on("event", hear)
    pingpong.run()
    hook.remove()
    pingpong.go(pingpong.earliest)
    points = all_points(pingpong, text)
    assert len(points) == len(heard) > 1
    assert all_points_back(pingpong, text) == points[::-1]


def test_a_woken_thread_is_found_in_the_trap_that_wakes_it(pingpong: Machine) -> None:
    def waits(machine: Machine) -> bool:
        return bool(machine.thread(1).state & TH_WAIT)

    points = []
    while forwards(pingpong, "woken 1") == 0:
        assert not waits(pingpong)
        points.append(pingpong.point)
        pingpong.back("instruction")
        assert waits(pingpong)
        pingpong.go(points[-1])
    assert len(points) > 3
    assert all_points_back(pingpong, "woken 1") == points[::-1]


def test_the_first_of_several_conditions_ends_the_run(pingpong: Machine) -> None:
    texts = ("message 1000 received", "at catch", "woken 1", "trap mach_msg")
    firsts = []
    for text in texts:
        forwards(pingpong, text)
        firsts.append(pingpong.point)
        pingpong.go(pingpong.earliest)
    assert forwards(pingpong, *texts) == firsts.index(min(firsts))
    assert pingpong.point == min(firsts)


def test_a_line_of_the_console_and_an_exception_are_found(pingpong: Machine, arch: Arch) -> None:
    assert forwards(pingpong, "console pong 5") == 0
    assert pingpong.console.lines[-1] == "pong 5"
    assert forwards(pingpong, "console pong 5") is None
    assert backwards(pingpong, "console pong 5") == 0
    assert pingpong.console.lines[-1] == "pong 5"
    with Machine.boot(module(arch, "exceptions")) as machine:
        assert forwards(machine, "exception") == 0


def test_what_was_typed_is_typed_again_on_the_way_back(arch: Arch) -> None:
    with Machine.boot(image(arch, "echo")) as machine:
        machine.run()
        machine.console.type("one\n")
        points = all_points(machine, "trap mach_msg")
        end = machine.digest()
        assert points
        for expected in points[:-4:-1]:
            assert backwards(machine, "trap mach_msg") == 0
            assert machine.point == expected
        machine.run()
        assert machine.digest() == end


def test_a_run_from_before_something_was_typed_goes_on_without_it(arch: Arch) -> None:
    with Machine.boot(image(arch, "echo")) as machine:
        machine.run()
        end = machine.digest()
        machine.console.type("one\n")
        machine.run()
        assert backwards(machine, "trap") == 0
        machine.go(machine.earliest)
        assert forwards(machine, "exception") is None
        assert machine.digest() == end
        assert backwards(machine, "trap") == 0
        machine.run()
        assert machine.digest() == end
