"""A machine in a process of its own: used alike, and survived."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from machemu import EndError, EngineDied, HookError, Machine, Reason, UsageError
from machemu.trace.events import TraceEvent
from tests.support.guests import ARCHS
from tests.support.machine import module

I386 = ARCHS["i386"]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine.boot(module(I386, "messages"), isolated=True) as made:
        yield made


def test_it_is_used_as_a_machine_in_this_process(machine: Machine) -> None:
    with Machine.boot(module(I386, "messages")) as here:
        for each in (here, machine):
            assert each.run(traps=40) is Reason.TRAPS
        assert machine.digest() == here.digest()
        assert repr(machine.tasks) == repr(here.tasks)
        assert (machine.point, machine.traps, machine.time) == (here.point, here.traps, here.time)
        assert machine.back("message", 3) == here.back("message", 3)
        assert machine.run("END") is here.run("END")
        assert machine.console.text == here.console.text
        assert machine.digest() == here.digest()
        assert machine.read(1, 0x8048000, 4) == b"\x7fELF"
        assert repr(machine) == repr(here).replace("<machine", "<isolated machine")


def test_hooks_are_called_in_this_process_and_stop_the_run(machine: Machine) -> None:
    heard: list[TraceEvent] = []
    hook = machine.on("trap", heard.append)
    machine.run(traps=10)
    assert len(heard) == 10
    hook.remove()
    hook.remove()
    stop = machine.on("message", lambda event: machine.stop())
    assert machine.run() is Reason.STOPPED
    stop.remove()

    def fails(event: TraceEvent) -> None:
        raise ZeroDivisionError("so")

    def runs(event: TraceEvent) -> None:
        machine.run()

    for call, message in ((fails, "ZeroDivisionError: so"), (runs, "a hook of an isolated machine may call `stop`")):
        hook = machine.on("trap", call)
        with pytest.raises(HookError, match=message):
            machine.run()
        hook.remove()
    assert machine.run("END") is Reason.UNTIL


def test_the_death_of_its_process_is_an_exception_that_says_where_it_was(machine: Machine) -> None:
    machine.run(traps=20)
    machine.on("trap", lambda event: os.kill(machine.pid, signal.SIGSEGV))  # type: ignore[attr-defined]
    with pytest.raises(EngineDied, match=r"died of SIGSEGV in task 1 thread 1.*`run\(traps=20\)` of another") as raised:
        machine.run()
    assert raised.value.place["traps"] == 20
    with pytest.raises(UsageError, match="the machine is closed"):
        machine.run()


def test_wrong_uses_say_what_to_do(machine: Machine) -> None:
    with pytest.raises(UsageError, match="the kernel of an isolated machine is in another process"):
        machine.kernel  # noqa: B018
    with pytest.raises(UsageError, match="must be data that pickle takes"):
        machine.run(until=lambda m: True)
    with pytest.raises(AttributeError, match="a machine has no colour"):
        machine.colour  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(EndError, match="there are not so many steps back"):
        machine.back()
    with pytest.raises(UsageError, match="no kind of step"):
        machine.step("leap")
    machine.close()
    assert repr(machine) == "<machine, closed>"
    with pytest.raises(Exception, match="nowhere"):
        Machine.boot("nowhere.elf", isolated=True)


def test_ctrl_c_leaves_it_between_two_traps() -> None:
    with Machine.boot(module(I386, "threads"), isolated=True, record=False) as machine:
        machine.on("trap", lambda event: os.kill(os.getpid(), signal.SIGINT))
        assert threading.current_thread() is threading.main_thread()
        with pytest.raises(KeyboardInterrupt):
            machine.run()
        machine.check()
        assert machine.traps >= 1
