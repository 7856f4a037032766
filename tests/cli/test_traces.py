"""Traces as people ask for them: a line a call, filters, and what is wrong with an option."""

from __future__ import annotations

import re

import pytest

from tests.support.commands import run
from tests.support.guests import Arch
from tests.support.machine import image, module

LINE = re.compile(r"^ +\d+\.\d{9} (task \d+ \([\w.]+\) thread \d+|kernel) +(.*)$")


def calls(*arguments: object) -> list[tuple[str, str]]:
    """Who called, and what, of a trace on standard error."""
    done = run("boot", *arguments)
    assert done.returncode == 0, done.stderr
    found = [LINE.match(line) for line in done.stderr.splitlines()]
    return [(line[1], line[2]) for line in found if line is not None]


def test_a_kernel_call_is_one_line_with_names_for_rights_types_and_errors(arch: Arch) -> None:
    who, said = zip(*calls(image(arch, "pingpong"), "--trace"), strict=True)
    assert set(who) == {"task 1 (pingpong.elf) thread 1", "task 2 (pingpong.elf) thread 2", "kernel"}
    text = "\n".join(said)
    assert re.search(r"^task_create\(\d+ \(task-self\), inherit_memory=TRUE\) = KERN_SUCCESS \[child_task=task 2", text, re.M)
    assert re.search(
        r"^mach_port_allocate_name\(\d+ \(task 2 pingpong.elf\), right=RECEIVE, name=4097\) = KERN_SUCCESS$", text, re.M
    )
    assert re.search(r"^mach_port_extract_right\(.*, msgt_name=make-send\) = KERN_SUCCESS \[poly=port \d+ send\]$", text, re.M)
    assert re.search(r'^device_write_inband\(.* data="ping 1\\n"\) = KERN_SUCCESS \[bytes_written=7\]$', text, re.M)
    assert re.search(r"^mach_msg send message 1000 to \d+ \(port \d+\) \[8 bytes\] = MACH_MSG_SUCCESS$", text, re.M)
    assert re.search(r"^mach_msg receive on \d+ \(port \d+ receive\) <unfinished ...>$", text, re.M)
    assert re.search(r"^<... mach_msg resumed> = message 1000 on \d+ \(port \d+\) \[8 bytes\]$", text, re.M)
    assert "reply" not in text.replace("mach_reply_port", "")


def test_a_failed_call_says_its_error_by_name(arch: Arch) -> None:
    said = calls(module(arch, "rights"), "--trace", "--until", "END")
    codes = {text.rpartition(" = ")[2] for _, text in said}
    assert {"KERN_INVALID_NAME", "KERN_RIGHT_EXISTS", "KERN_UREFS_OVERFLOW", "MACH_SEND_INVALID_DEST"} <= codes


def test_filters_show_a_task_a_port_a_trap_or_a_message(arch: Arch) -> None:
    program = image(arch, "pingpong")
    every = calls(program, "--trace")
    assert {who for who, _ in calls(program, "--trace-task", "2")} == {"task 2 (pingpong.elf) thread 2"}
    tasks = [call for call in every if call[0] != "kernel"]
    assert len(every) - len(tasks) == 1
    assert calls(program, "--trace-task", "pingpong.elf") == tasks
    assert calls(program, "--trace-task", program) == tasks
    assert calls(program, "--trace-task", "another") == []
    of_console = [text for _, text in calls(program, "--trace-port", "device console")]
    assert of_console and all("device console" in text for text in of_console)
    assert "".join(of_console).count("device_write_inband(") == sum("device_write_inband(" in text for _, text in every)
    traps = [text for _, text in calls(program, "--trace-trap", "mach_reply_port", "--trace-trap", "mach_task_self")]
    assert {text.partition("(")[0] for text in traps} == {"mach_reply_port", "mach_task_self"}
    messages = [text for _, text in calls(program, "--trace-id", "1000")]
    assert messages and all("message 1000" in text for text in messages)
    named = [text for _, text in calls(program, "--trace-id", "task_create", "--trace-task", "1")]
    assert len(named) == 1 and named[0].startswith("task_create(") and "= KERN_SUCCESS" in named[0]
    assert calls(program, "--trace-id", "task_create", "--trace-task", "2") == []


def test_a_filtered_call_is_whole_in_the_full_form_too(arch: Arch) -> None:
    said = [text for _, text in calls(image(arch, "pingpong"), "--trace-full", "--trace-id", "2007")]
    assert [re.sub(r"[( ].*", "", text.strip("-> <")) for text in said] == ["mach_msg", "task_create", "task_create"]


def test_a_cluster_is_filtered_alike() -> None:
    done = run("cluster", "images/greet.toml", "--trace-id", "6000", "--trace-node", "beta")
    lines = [line for line in done.stderr.splitlines() if line.startswith("beta ")]
    assert sum("message 6000" in line for line in lines) == 4
    assert all("message 6000" in line or "<... mach_msg resumed> = message 6100" in line for line in lines)
    assert run("cluster", "images/greet.toml", "--trace-trap", "nothing").returncode == 2


@pytest.mark.parametrize("command", [("boot", "images/i386/hello.elf"), ("cluster", "images/two.toml")], ids=("boot", "cluster"))
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--trace-task", "", "write a task's number, 1 or more, or a program's name"),
        ("--trace-task", "0", "write a task's number, 1 or more, or a program's name"),
        ("--trace-port", "0", "write a port's number in the machine, such as 12 of 'port 12', or what the trace calls it"),
        ("--trace-port", "thread", "write a port's number"),
        ("--trace-port", "no such name", "write a port's number"),
        ("--trace-port", "device ", "write a port's number"),
        ("--trace-trap", "mach_msgs", "there is no such trap; did you mean mach_msg"),
        ("--trace-id", "4294967296", "write a message id, from 0 to 2^32 - 1, or a routine's name"),
        ("--trace-id", "-1", "write a message id"),
        ("--trace-id", "vm_alocate", "write a message id, from 0 to 2^32 - 1, or a routine's name; did you mean vm_allocate"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(command: tuple[str, str], option: str, value: str, said: str) -> None:
    done = run(*command, f"{option}={value}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"machemu: {option} {value}: {said}") and done.stderr.count("\n") == 1
    assert done.stdout == ""
