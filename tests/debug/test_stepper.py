"""The prompt's commands: what they say, and what is said of wrong ones. Each error is one line, and nothing has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from machemu.abi.errors import UserError
from machemu.debug.looker import AssertError
from machemu.debug.stepper import Stepper
from machemu.lab.machine import Machine
from machemu.ui.calls import Calls
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import IMAGES, module

FAULTY = [
    ("leap 3", "no command 'leap': `help` lists the commands"),
    ("wh", "'wh' may be where, why"),
    ("d", "delete N | all: one word is wanted"),
    ("step leap", "no kind of step 'leap': there are trap, instruction, message, switch"),
    ("step 99999999999999999999999", "'99999999999999999999999' is no number"),
    ("step 200000", "200000 steps are too many"),
    ("step -1", "no kind of step '-1'"),
    ("step 0", "0 is too few"),
    ("step trap 1 1", "'1' is too much"),
    ("back 100", "there are not so many steps back"),
    ("run at nowhere", "no symbol nowhere"),
    ("run queue 99", "the run ended before 'queue 99' came: there was no port 99 where it began"),
    ("run queue 1:99", "there was no port 1:99 where it began"),
    ("run queue x:1", "there was no port x:1 where it began"),
    ("run woken 77", "there was no thread 77 where it began"),
    ("run page 9 0x1000", "there was no task 9 where it began"),
    ("run page 9 main", "no symbol main"),
    ("run at 0x1000 9", "there was no task 9 where it began"),
    ("run at 0x1000 x", "no task x"),
    ("queue 1:99", "has no port named 99"),
    ("queue x:1", "no task x"),
    ("run trap leap", "no trap leap"),
    ("run message leap", "no routine leap"),
    ("run gone", "no condition 'gone'"),
    ("run for ever", "'ever' is no time"),
    ("run traps 0x", "'0x' is no number"),
    ("run-back trap", "did not come before here"),
    ("mem 1 0 99999999", "99999999 bytes are too many"),
    ("mem 1 0x10", "has no memory at 0x10"),
    ("mem 1 waits(1)", "waits(1) is false, and no address"),
    ("page 1", "page TASK ADDRESS|SYMBOL: two words are wanted"),
    ("page 1 0x10", "has no memory at 0x10"),
    ("dis 0 0", "0 is too few"),
    ("why 77", "no thread 77"),
    ("regs 77", "no thread 77"),
    ("delete 4", "no breakpoint 4"),
    ("trace", "one of these is wanted"),
    ("save", "save FILE: name a file"),
    ("save /", "/"),
    ("assert traps", "'traps' is 0 (0x0), neither true nor false"),
    ("assert " + "(" * 2000, "an expression goes no deeper than 50"),
    ("assert " + "not " * 900 + "1", "not: 1 (0x1) is neither true nor false"),
    ("assert " + "9999999999999999999*" * 190 + "1 == 1", "a number is too large"),
    ('assert __import__("os")', "'__import__' is no name"),
    ('assert "a', "'\"a' is no part of an expression"),
    ("assert", "an expression ends too early"),
    ("assert 1 == true", "are not of one kind"),
    ("assert argument(-99999999999999999) == 1", "has no memory at"),
    ("assert frame(1, 0xffffffffffffffff) == 1", "has no memory at 0xffffffffffffffff"),
    ("assert name(1, 99) == 1", "no port 99"),
    ("assert queue() == 1", "queue takes 1 arguments, not 0"),
    ('assert byte(1, "a") == 1', 'byte: "a" is no number'),
    ("assert 1 1", "'1' is too much"),
    ("print traps(", "an expression ends too early"),
    ("where\x00", "character 0x0 has no place in a command"),
    ("\x1b[31m", "character 0x1b has no place"),
    ("x" * 5000, "a line of 5000 characters"),
]


@pytest.fixture(scope="module")
def stepper() -> Iterator[Stepper]:
    with Machine.boot(IMAGES / "i386" / "pingpong.elf") as machine:
        yield Stepper(machine, lambda line: None, Calls)


def said(stepper: Stepper, *commands: str) -> list[str]:
    lines: list[str] = []
    stepper.say = lines.append
    for command in commands:
        stepper.do(command)
    return lines


@pytest.mark.parametrize(("command", "says"), FAULTY, ids=[command[:20] for command, _ in FAULTY])
def test_a_wrong_command_is_told_in_one_line_and_changes_nothing(stepper: Stepper, command: str, says: str) -> None:
    before = stepper.machine.point, stepper.machine.digest()
    with pytest.raises(UserError) as raised:
        said(stepper, command)
    stepper.machine.go(before[0])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert stepper.machine.digest() == before[1]


def test_a_list_that_is_empty_is_told_in_words(stepper: Stepper) -> None:
    assert said(stepper, "break") == ["no breakpoints"]
    assert said(stepper, "symbols nowhere") == ["no symbol has 'nowhere' in its name"]
    assert said(stepper, "dis 0x10") == ["no instruction is there"]


def test_expressions_have_the_values_that_they_should(stepper: Stepper) -> None:
    for text, value in (
        ("1 + 2 * 3 - -4", "11 (0xb)"),
        ("(1 + 2) * 0x10", "48 (0x30)"),
        ("2ms + 5us", "2005000 (0x1e9808)"),
        ("not 1 == 2 and 3 > 2 or false", "true"),
        ('"ping" contains "in"', "true"),
        ("1 != 1", "false"),
        ("tasks", "2 (0x2)"),
        ('symbol("guest_main", 1) == symbol("guest_main")', "true"),
    ):
        assert said(stepper, f"print {text}") == [value]
    with pytest.raises(AssertError, match="not so: 1 > 2"):
        stepper.do("assert 1 > 2")


def test_why_tells_who_could_wake_a_thread_and_who_has_a_full_queue_s_receive_right() -> None:
    with Machine.boot(IMAGES / "i386" / "pingpong.elf") as machine:
        stepper = Stepper(machine, lambda line: None, Calls)
        stepper.do("run traps 25")
        assert said(stepper, "why 1") == [
            "task 1 (pingpong.elf) thread 1 receives on port 8 (port 14 receive)",
            "to port 14 can send: task 2 (pingpong.elf) by its send right 4098",
        ]
        assert said(stepper, "why 2") == ["task 2 (pingpong.elf) thread 2 runs"]


@pytest.mark.parametrize("cpu", [I386, M68K])
def test_expressions_know_names_rights_arguments_and_frames(cpu: Arch) -> None:
    with Machine.boot(IMAGES / cpu.name / "pingpong.elf") as machine:
        stepper = Stepper(machine, lambda line: None, Calls)
        stepper.do("run at throw")
        stepper.do("run at mach_msg_trap")
        for text in (
            "word(1, argument(1) + 20) == 1000 and argument(2) == 1 and argument(3) == 32",
            'name(2, "1:7") == 4097 and name(2, "1:9") == 0 and name(1, 13) == 7',
            'receiver("1:7") == 2 and receiver(2) == 0 and sends("1:7") == 1',
            'types(2, 4097) == "receive" and types(1, 7) == "send" and types(1, 4097) == ""',
            'frame(1, symbol("throw")) == frame(2, symbol("throw")) and frame(1, symbol("throw")) != 0',
            'frame(1, symbol("console")) != frame(2, symbol("console"))',
            'access(1, symbol("throw")) == "r" and access(1, symbol("console")) == "rw"',
            'access(2, symbol("throw")) == "" and access(1, 0xffffffffffffffff) == ""',
        ):
            stepper.do(f"assert {text}")


@pytest.mark.parametrize("cpu", [I386, M68K])
def test_a_page_is_told_with_the_objects_behind_it_and_what_the_page_tables_have(cpu: Arch) -> None:
    with Machine.boot(module(cpu, "pager")) as machine:
        stepper = Stepper(machine, lambda line: None, Calls)
        stepper.do("run message memory_object_data_request sent")
        region = machine.maps.where(inheritance="share")[0]
        lines = said(stepper, f"page 1 {region.start}")
        assert lines[0].startswith(f"region {region.start!r}-{region.end!r}: rw-, inherited by share")
        assert re.fullmatch(r"its object \(2 users, its memory manager at port \d+\): no page here", lines[1])
        assert lines[2:] == ["the page tables: nothing here, so that the next access is a fault"]
        stepper.do("run console read: done 1")
        frame = re.search("frame (0x[0-9a-f]+)", said(stepper, f"page 1 {region.start + machine.kernel.cpu.page_size}")[1])
        assert frame and said(stepper, f"page 1 {region.start + machine.kernel.cpu.page_size}")[2:] == [
            f"the page tables: frame {frame[1]}, to read and write"
        ]


def test_a_trace_shows_calls_that_began_before_the_piece_that_is_told() -> None:
    with Machine.boot(IMAGES / "i386" / "pingpong.elf") as machine:
        stepper = Stepper(machine, lambda line: None, Calls)
        stepper.do("run message 1000 sent")
        stepper.do("run woken 1")
        lines = said(stepper, "step switch 2")
        assert any("<... mach_msg resumed> = message 1000 on 8 (port 14)" in line for line in lines), lines
        end = machine.digest()
        assert len(said(stepper, "trace last 5")) >= 5
        assert machine.digest() == end


@pytest.mark.parametrize("traps", [1, 40, 64, 80, 99, 100, 101, 120])
def test_a_trace_of_the_last_traps_does_again_what_was_typed_among_them(traps: int) -> None:
    with Machine.boot(module(I386, "messages")) as machine:
        machine.run(traps=60)
        machine.console.type("x")
        machine.run(traps=60)
        end = machine.point, machine.digest()
        assert said(Stepper(machine, lambda line: None, Calls), f"trace last {traps}")
        assert (machine.point, machine.digest()) == end


def test_completion_gives_commands_kinds_traps_and_symbols(stepper: Stepper) -> None:
    assert stepper.complete("", "run") == ["run", "run-back"]
    assert stepper.complete("step ", "in") == ["instruction"]
    assert "mach_msg" in stepper.complete("run trap ", "mach_")
    assert stepper.complete("break at ", "guest_m") == ["guest_main"]
    assert stepper.complete("print ", "tra") == ["traps"]
    assert stepper.complete("nonsense ", "") == []


@pytest.mark.parametrize(("until", "times"), [("at mach_msg_trap", 12), ("woken 1", 4)])
def test_what_is_printed_behind_the_point_that_a_run_goes_to_is_not_shown_yet(until: str, times: int, arch: Arch) -> None:
    shown: list[bytes] = []
    with Machine.boot(IMAGES / arch.name / "pingpong.elf") as machine:
        machine.console.echo = shown.append
        stepper = Stepper(machine, lambda line: None, Calls)
        for _ in range(times):
            stepper.do(f"run {until}")
            assert b"".join(shown) == machine.console.data
        assert shown


def test_a_thread_that_comes_later_can_be_waited_for_and_broken_at() -> None:
    with Machine.boot(IMAGES / "i386" / "pingpong.elf") as machine:
        stepper = Stepper(machine, lambda line: None, Calls)
        assert said(stepper, "break woken 2") == ["breakpoint 1: woken 2: there is no thread 2 yet"]
        stepper.do("run")
        assert stepper.reason == "breakpoint 1: woken 2"
        assert machine.threads.where(number=2)
        expected = machine.point
        stepper.do("delete all")
        machine.go(machine.earliest)
        stepper.do("run woken 2")
        assert machine.point == expected


def test_the_queue_of_a_port_that_comes_later_becomes_full_by_number_and_by_name(arch: Arch) -> None:
    with Machine.boot(module(arch, "sendtimeouts")) as machine:
        machine.run(lambda m: any(row.messages >= row.limit > 0 for row in m.ports))
        expected = machine.point
        row = next(row for row in machine.ports if row.messages >= row.limit > 0)
        name = machine.rights.where(task=1, port=row.number)[0].name
        stepper = Stepper(machine, lambda line: None, Calls)
        for port in (str(row.number), f"1:{name}"):
            machine.go(machine.earliest)
            stepper.do(f"run queue {port}")
            assert machine.point == expected
