"""The Python API: a machine is booted, run, looked into, stepped forwards and back, from Python."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import machemu
from machemu.abi.errors import UserError
from machemu.core.interrupt import Interrupt
from machemu.kern.host import Halt
from machemu.lab.errors import EndError, HookError, UsageError
from machemu.lab.machine import Machine
from machemu.lab.recorded import Reason
from machemu.lab.travel import StepKind
from machemu.trace.events import MessageMoved, TraceEvent, TrapEntered
from tests.support import testdisk
from tests.support.guests import Arch
from tests.support.machine import image, module

KINDS = [kind.value for kind in StepKind]


@pytest.fixture
def machine(arch: Arch) -> Iterator[Machine]:
    with Machine.boot(module(arch, "messages")) as made:
        yield made
        made.check()


def test_ten_lines_boot_a_program_and_go_one_trap_back(arch: Arch) -> None:
    with Machine.boot(image(arch, "hello")) as machine:
        assert machine.run() is Reason.WEDGED
        assert "hello" in machine.console.text.lower()
        end = machine.digest()
        machine.back()
        assert machine.digest() != end
        machine.run()
        assert machine.digest() == end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["threads", "pagercopy"])
def test_steps_back_are_the_steps_forwards_in_the_other_order(arch: Arch, name: str, kind: str) -> None:
    with Machine.boot(module(arch, name)) as machine:
        machine.run(traps=30)
        seen = [(machine.point, machine.digest())]
        for _ in range(8):
            machine.step(kind)
            seen.append((machine.point, machine.digest()))
        for expected in reversed(seen[1:-1]):
            machine.back(kind)
            assert (machine.point, machine.digest()) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_back_from_the_middle_of_a_piece_of_code_is_the_last_step_before(arch: Arch, kind: str) -> None:
    with Machine.boot(module(arch, "threads")) as machine:
        machine.run(traps=40)
        machine.step("instruction", 7)
        here = machine.point
        machine.back(kind)
        earlier = machine.point
        assert earlier < here
        machine.step(kind)
        assert machine.point >= here


@pytest.mark.slow
def test_fifty_random_points_are_gone_to_and_left_again_with_equal_digests(machine: Machine) -> None:
    chooser = random.Random(5)
    points = []
    for _ in range(60):
        machine.run(traps=chooser.randrange(1, 5))
        machine.step("instruction", chooser.randrange(1, 4))
        points.append((machine.point, machine.digest()))
    end = machine.digest()
    for point, digest in chooser.sample(points, 50):
        machine.go(point)
        assert machine.digest() == digest
    machine.go(points[-1][0])
    assert machine.digest() == end


def test_it_goes_to_a_count_of_traps_earlier_and_later(machine: Machine) -> None:
    machine.run(traps=100)
    digest = machine.digest()
    for traps in (40, 60, 10, 99):
        assert machine.seek(traps).traps == traps
    machine.seek(100)
    assert machine.digest() == digest
    with pytest.raises(EndError, match="-1 traps are before the earliest point"):
        machine.seek(-1)


def test_going_back_takes_back_what_was_printed_and_shows_nothing_twice(machine: Machine) -> None:
    shown: list[bytes] = []
    machine.console.echo = shown.append
    machine.run(traps=100)
    printed, point = machine.console.text, machine.point
    machine.run()
    whole = machine.console.text
    machine.go(point)
    assert machine.console.text == printed
    machine.run()
    assert machine.console.text == whole == b"".join(shown).decode()


def test_what_is_typed_is_typed_again_on_the_way_and_another_future_replaces_the_first(arch: Arch) -> None:
    with Machine.boot(image(arch, "echo")) as machine:
        machine.run()
        asked = machine.point
        machine.console.type("one\n")
        machine.run()
        first, end = machine.console.text, machine.digest()
        middle = machine.point
        machine.back("trap")
        machine.go(middle)
        assert (machine.console.text, machine.digest()) == (first, end)
        machine.go(asked)
        machine.console.type("two\n")
        machine.run()
        assert "TWO" in machine.console.text
        machine.back("trap", 3)
        machine.run()
        assert "TWO" in machine.console.text
        assert "ONE" not in machine.console.text


def test_what_another_future_prints_is_shown_too(arch: Arch) -> None:
    shown: list[bytes] = []
    with Machine.boot(image(arch, "echo")) as machine:
        machine.console.echo = shown.append
        machine.run()
        asked = machine.point
        machine.console.type("one\n")
        machine.run()
        machine.go(asked)
        machine.console.type("two\n")
        machine.run()
        assert machine.console.text == "you said TWO\n"
    assert b"".join(shown) == b"you said ONE\nyou said TWO\n"


def test_runs_end_for_the_reason_that_they_give(machine: Machine) -> None:
    assert machine.run(traps=5) is Reason.TRAPS
    assert machine.traps == 5
    assert machine.run(duration="1us") is Reason.DURATION
    assert machine.run(until=lambda m: m.traps == 17) is Reason.UNTIL
    assert machine.traps == 17
    assert machine.run("END") is Reason.UNTIL
    assert machine.console.lines[-1] == "END"
    assert machine.run() is Reason.WEDGED


def test_hooks_hear_of_events_and_stop_the_run(machine: Machine) -> None:
    traps: list[TraceEvent] = []
    hook = machine.on("trap", traps.append)
    machine.run(traps=10)
    assert len(traps) == 10
    assert all(isinstance(event, TrapEntered) for event in traps)
    machine.back("trap", 3)
    assert len(traps) == 10
    hook.remove()
    hook.remove()
    sent = machine.on("message", lambda event: machine.stop())
    assert machine.run() is Reason.STOPPED
    sent.remove()
    messages: list[TraceEvent] = []
    machine.on("message", messages.append)
    machine.run()
    assert messages
    assert all(isinstance(event, MessageMoved) for event in messages)


def test_a_hook_hears_of_each_event_once_whatever_hooks_there_were_before(machine: Machine) -> None:
    machine.on("trap", print).remove()
    traps: list[TraceEvent] = []
    machine.on("trap", traps.append)
    machine.run(traps=10)
    assert len(traps) == 10
    machine.seek(5)
    machine.run(traps=5)
    assert len(traps) == 15


def test_a_hook_that_raises_stops_the_run_and_the_machine_goes_on_afterwards(machine: Machine, arch: Arch) -> None:
    with Machine.boot(module(arch, "messages")) as other:
        other.run()
        end = other.digest()

    def hook(event: TrapEntered) -> None:
        raise ZeroDivisionError("so")

    made = machine.on("trap", hook)
    with pytest.raises(HookError, match=r"ZeroDivisionError: so; remove it or mend it") as raised:
        machine.run()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    machine.check()
    made.remove()
    machine.run()
    assert machine.digest() == end


def test_steps_end_where_a_hook_stops_them_or_raises(machine: Machine) -> None:
    stop = machine.on("trap", lambda event: machine.stop())
    machine.step("trap", 5)
    assert machine.traps == 1
    stop.remove()

    def hook(event: TraceEvent) -> None:
        raise ZeroDivisionError

    machine.on("trap", hook)
    with pytest.raises(HookError, match="ZeroDivisionError"):
        machine.step("trap", 5)
    assert machine.traps == 2


@pytest.mark.parametrize("record", [True, False])
def test_a_machine_that_has_ended_runs_no_further(arch: Arch, record: bool) -> None:
    with Machine.boot(image(arch, "hello"), record=record) as machine:
        machine.act(lambda: machine.kernel.halt(Halt.HALT, "it was told to"))
        assert [machine.run(), machine.run()] == [Reason.HALTED, Reason.HALTED]
        with pytest.raises(EndError, match="it is halted"):
            machine.step()


def test_a_program_that_takes_ctrl_c_itself_hears_it_as_a_reason(machine: Machine) -> None:
    interrupt = Interrupt()
    machine.obey(interrupt)
    hook = machine.on("trap", lambda event: machine.break_off())
    assert machine.run() is Reason.INTERRUPTED
    assert interrupt.asked
    hook.remove()
    interrupt.asked = False
    assert machine.run("END") is Reason.UNTIL


def test_who_takes_what_the_console_prints_is_the_only_one_to_keep_it(machine: Machine) -> None:
    taken: list[bytes] = []
    machine.console.taker = taken.append
    assert machine.run("END") is Reason.UNTIL
    assert b"".join(taken).endswith(b"END\n")
    assert not machine.console.data


def test_lines_of_a_boot_script_are_booted_as_they_are(arch: Arch) -> None:
    line = f"{image(arch, 'hello')} $(task-create) $(task-resume)"
    with Machine.boot(lines=[line], record=False) as one, Machine.boot(line, record=False) as other:
        assert one.digest() == other.digest()
    with pytest.raises(UserError, match="the boot script starts no task"):
        Machine.boot(lines=[str(image(arch, "hello"))])


@pytest.mark.slow
def test_a_machine_writes_the_images_that_are_writable_and_then_cannot_go_back(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(testdisk.image())
    boot = partial(Machine.boot, module(arch, "disk"), disks={"hd0": path})
    with pytest.raises(UserError, match=r"hd0: its image is written, and cannot go back"):
        boot(writable=["hd0"])
    for writable in ([], ["hd0"]):
        with boot(writable=writable, record=False) as machine:
            machine.run("END")
        assert (path.read_bytes() == testdisk.image()) is not bool(writable)
    with pytest.raises(UsageError, match="no disk hd1 is to be writable"):
        boot(writable=["hd1"])


def test_wrong_uses_say_what_to_do(machine: Machine, arch: Arch) -> None:
    with pytest.raises(EndError, match="there are not so many steps back"):
        machine.back()
    with pytest.raises(UsageError, match="no task nobody: there are 0 "):
        machine.task("nobody")

    def runs(event: TraceEvent) -> None:
        machine.run()

    running = machine.on("trap", runs)
    with pytest.raises(HookError, match="the machine is running"):
        machine.run()
    running.remove()
    machine.run()
    with pytest.raises(EndError, match="there is no further trap: no thread can run"):
        machine.step()
    with pytest.raises(UsageError, match="no point of this run"):
        machine.go(machine.point._replace(time=machine.time - 1, traps=machine.traps - 1, turns=10**6))
    with Machine.boot(module(arch, "messages"), record=False) as forgetful:
        forgetful.run(traps=3)
        with pytest.raises(UsageError, match="record=False"):
            forgetful.back()
    forgetful.close()
    assert repr(forgetful) == "<machine, closed>"


def test_a_hook_neither_closes_nor_keeps_a_machine_in_the_middle_of_a_trap(machine: Machine, tmp_path: Path) -> None:
    tries: dict[str, Any] = {
        "close it": lambda _: machine.close(),
        "save it": lambda _: machine.save(tmp_path / "saved"),
        "take a snapshot": lambda _: machine.snapshot(),
    }
    for what, call in tries.items():
        hook = machine.on("message", call)
        with pytest.raises(HookError, match=f"the machine is running: {what} afterwards"):
            machine.run()
        hook.remove()
    assert not (tmp_path / "saved").exists()
    machine.run()
    machine.check()


def test_a_saved_machine_goes_on_and_a_snapshot_is_gone_back_to(machine: Machine, tmp_path: Path) -> None:
    machine.run(traps=60)
    kept = machine.snapshot()
    machine.save(tmp_path / "saved")
    machine.run()
    end = machine.digest()
    machine.restore(kept)
    machine.run()
    assert machine.digest() == end
    with Machine.load(tmp_path / "saved") as loaded:
        loaded.run()
        assert loaded.digest() == end


def test_tables_show_what_is_in_the_machine(machine: Machine) -> None:
    machine.run(traps=60)
    [task] = machine.tasks.where(number=1)
    assert task.name.endswith("messages.elf")
    assert task.threads == (1,)
    assert {row.task for row in machine.rights} <= {0, 1}
    [receive] = [row for row in machine.rights.where(task=1) if "receive" in row.types][:1]
    [port] = machine.ports.where(number=receive.port)
    assert (port.receiver, port.name) == (1, receive.name)
    text = next(row for row in machine.maps.where(task=1) if row.protection == "r-x")
    [thread] = machine.threads
    assert text.start <= thread.pc < text.end
    assert machine.symbols.at(1, thread.pc)
    assert machine.symbols.address("_start", task=1) in range(text.start, text.end)
    assert machine.read(1, text.start, 5000) == machine.read("messages", text.start, 5000)
    assert repr(machine.threads).splitlines()[0].split()[:3] == ["number", "task", "task_name"]
    assert machine.threads._repr_html_().startswith("<table><tr><th>number</th>")
    first, *_ = machine.disassemble(1, 4)
    assert first[0] == thread.pc
    assert machine.registers(1)["eip" if machine.kernel.cpu.architecture == "i386" else "pc"] == thread.pc


def test_looking_changes_nothing(machine: Machine) -> None:
    machine.run(traps=60)
    digest = machine.digest()
    for table in (machine.tasks, machine.threads, machine.ports, machine.rights, machine.messages, machine.maps, machine.symbols):
        repr(table)
    machine.disassemble(1)
    machine.check()
    assert machine.digest() == digest


def test_the_package_gives_the_api_and_costs_nothing_before_it_is_asked() -> None:
    code = (
        "import sys, machemu; kernel = 'machemu.core.kernel'; print('unicorn' in sys.modules, kernel in sys.modules);"
        "print(machemu.Machine.__name__, kernel in sys.modules, dir(machemu))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False False\nMachine True ['Cluster', 'EndError', ")
    with pytest.raises(AttributeError, match="has no attribute 'Clock'"):
        machemu.Clock  # noqa: B018


def test_a_machine_loads_the_modules_of_its_own_processor_alone(arch: Arch) -> None:
    code = (
        f"import sys, machemu; machemu.Machine.boot({str(image(arch, 'hello'))!r}).close();"
        "print(*(cpu for cpu in ('i386', 'm68k') if f'machemu.machine.{cpu}.cpu' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{arch.name}\n"


def test_ctrl_c_leaves_a_machine_between_two_traps(machine: Machine) -> None:
    hook = machine.on("trap", lambda event: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        machine.run()
    hook.remove()
    assert machine.console.lines[-1:] != ["END"]
    machine.check()
    assert machine.run("END") is Reason.UNTIL


def test_tables_name_tasks_by_their_files_wherever_those_lie(arch: Arch) -> None:
    with Machine.boot(image(arch, "hello").resolve()) as machine:
        task = machine.task("hello.elf")
        assert task is machine.task("hello") is machine.task(task.name) is machine.task(task.number)
        assert machine.tasks.where(number=task.number)[0].name == "hello.elf"
        assert {row.task_name for row in machine.threads.where(task=task.number)} == {"hello.elf"}
    with Machine.boot(image(arch, "pingpong").resolve()) as machine:
        machine.run("pong 1")
        assert [row.name for row in machine.tasks] == ["gnumach", "pingpong.elf", "(pingpong.elf)"]
        assert [machine.task(name).number for name in ("pingpong", "pingpong.elf", "(pingpong.elf)")] == [1, 1, 2]
