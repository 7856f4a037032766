"""Page faults of user mode that no exception comes of: hooks hear of each once, and runs go to them and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from machemu.abi.types import VirtAddr
from machemu.debug import search, words
from machemu.debug.fields import InMachine
from machemu.lab.machine import Machine
from machemu.lab.recorded import Reason
from machemu.lab.travel import Point
from machemu.trace.events import Faulted, PageFault, Satisfied
from tests.support.guests import Arch
from tests.support.machine import module


@pytest.fixture
def machine(arch: Arch) -> Iterator[Machine]:
    with Machine.boot(module(arch, "pager")) as made:
        yield made
        made.check()


def test_a_fault_is_told_once_its_page_is_there_or_its_thread_waits(machine: Machine) -> None:
    faults: list[PageFault] = []

    def heard(event: PageFault) -> None:
        faults.append(event)
        kernel = machine.kernel
        task = kernel.kern.tasks[event.task]
        assert task.map is not None
        there = task.map.pmap.translate(VirtAddr(event.address), event.access) is not None
        assert there is (event.how is not Satisfied.WAITS)

    vm = machine.kernel.vm
    zeros, copies = vm.zero_fill_count, vm.cow_faults
    machine.on("fault", heard)
    machine.run("END")
    assert machine.kernel.vm.zero_fill_count - zeros >= sum(event.how is Satisfied.ZEROS for event in faults) > 0
    assert machine.kernel.vm.cow_faults - copies >= sum(event.how is Satisfied.COPY for event in faults)
    waits = [number for number, event in enumerate(faults) if event.how is Satisfied.WAITS]
    assert waits
    assert all(
        any((event.thread, event.address) == (faults[number].thread, faults[number].address) for event in faults[number + 1 :])
        for number in waits[:1]
    )


def test_an_exception_is_no_such_fault_and_a_run_is_the_same_with_hooks_on_faults(arch: Arch) -> None:
    with Machine.boot(module(arch, "exceptions")) as machine, Machine.boot(module(arch, "exceptions")) as unheard:
        faults: list[PageFault] = []
        exceptions: list[Faulted] = []
        machine.on("fault", faults.append)
        machine.on("exception", exceptions.append)
        machine.run("END")
        unheard.run("END")
        assert machine.digest() == unheard.digest()
        assert faults and exceptions
        assert not {(event.time, event.thread) for event in faults} & {(event.time, event.thread) for event in exceptions}


def test_a_hook_stops_the_run_at_a_fault(machine: Machine) -> None:
    faults: list[PageFault] = []

    def stop(event: PageFault) -> None:
        faults.append(event)
        machine.stop()

    hook = machine.on("fault", stop)
    points = []
    for count in range(1, 8):
        assert machine.run() is Reason.STOPPED
        assert len(faults) == count
        assert machine.time == faults[-1].time
        points.append((machine.point, machine.digest()))
    hook.remove()
    machine.go(machine.earliest)
    for point, digest in points:
        machine.run(duration=point.time - machine.time)
        assert machine.digest() == digest


@pytest.mark.parametrize("text", ["fault", "fault 1"])
def test_runs_go_to_faults_and_back_to_them(machine: Machine, text: str) -> None:
    condition = words.condition(machine, text.split())

    def go(forwards: bool) -> bool:
        way = search.forwards if forwards else search.backwards
        return machine.travel(lambda subject, history: way(InMachine(subject, history, [condition]))).condition is not None

    points: list[tuple[Point, str]] = []
    while len(points) < 12 and go(True):
        points.append((machine.point, machine.digest()))
    assert len(points) == 12
    back: list[tuple[Point, str]] = []
    while len(back) < 11 and go(False):
        back.append((machine.point, machine.digest()))
    assert back == points[-2::-1]
    machine.go(machine.earliest)
    for point, digest in points:
        machine.run(duration=point.time - machine.time)
        assert machine.digest() == digest
