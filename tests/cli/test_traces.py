"""Traces as people ask for them: a line a call, filters, and what is wrong with an option."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from machemu.abi.errors import UserError
from machemu.ui import trace_options
from machemu.ui.commands import parser
from tests.support.commands import run
from tests.support.deaths import DEATHS, IN_A_TRAP
from tests.support.guests import Arch
from tests.support.machine import image, module

RUNS = (("boot", "images/i386/pingpong.elf"), ("cluster", "images/greet.toml"))
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


@pytest.mark.slow
def test_a_failed_call_says_its_error_by_name(arch: Arch) -> None:
    said = calls(module(arch, "rights"), "--trace", "--until", "END")
    codes = {text.rpartition(" = ")[2] for _, text in said}
    assert {"KERN_INVALID_NAME", "KERN_RIGHT_EXISTS", "KERN_UREFS_OVERFLOW", "MACH_SEND_INVALID_DEST"} <= codes


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_cluster_is_filtered_alike() -> None:
    done = run("cluster", "images/greet.toml", "--trace-id", "6000", "--trace-node", "beta")
    lines = [line for line in done.stderr.splitlines() if line.startswith("beta ")]
    assert sum("message 6000" in line for line in lines) == 4
    assert all("message 6000" in line or "<... mach_msg resumed> = message 6100" in line for line in lines)
    assert run("cluster", "images/greet.toml", "--trace-trap", "nothing").returncode == 2


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
def test_a_filter_that_cannot_be_is_refused(option: str, value: str, said: str) -> None:
    for command in RUNS:
        with pytest.raises(UserError, match=f"^{re.escape(f'{option} {value}: {said}')}"):
            trace_options.check(parser().parse_args([*command, f"{option}={value}"]))


def test_a_refused_filter_is_one_line_and_exit_status_2() -> None:
    done = run("boot", "images/i386/hello.elf", "--trace-trap", "mach_msgs")
    said = "machemu: --trace-trap mach_msgs: there is no such trap; did you mean mach_msg or "
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(said)


FORMATS = ("text", "json", "perfetto")


@pytest.mark.parametrize("command", RUNS, ids=("boot", "cluster"))
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.slow
def test_a_trace_that_cannot_be_written_is_one_line(command: tuple[str, str], form: str) -> None:
    for path, why in (("/dev/full", "No space left on device"), ("/no/such/place/trace", "No such file or directory")):
        done = run(*command, "--trace-format", form, "--trace-file", path)
        assert (done.returncode, done.stderr) == (2, f"machemu: {path}: cannot be written: {why}\n")


@pytest.mark.slow
def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    for arguments, said in (
        (("--trace-format", "json"), "--trace-format json: such a trace goes to a file: name it by --trace-file FILE"),
        (("--trace-format", "xml", "--trace-file", kept), "--trace-format xml: write text, json or perfetto"),
        (("--trace-format", "json", "--trace-full", "--trace-file", kept), "--trace-full: a trace in format json has all events"),
    ):
        for command in RUNS:
            done = run(*command, *arguments)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith(f"machemu: {said}")
    assert kept.read_bytes() == b"kept"


def slices(path: Path) -> tuple[int, int]:
    """How many slices of a Perfetto file begin, and how many end."""
    found = [packet.track_event.type for packet in Trace.FromString(path.read_bytes()).packet if packet.HasField("track_event")]
    return found.count(TrackEvent.TYPE_SLICE_BEGIN), found.count(TrackEvent.TYPE_SLICE_END)


@pytest.mark.slow
def test_a_trap_that_is_under_way_at_the_end_is_begun_and_never_ends(arch: Arch, tmp_path: Path) -> None:
    text, lines, packets = (tmp_path / form for form in FORMATS)
    for form, path in zip(FORMATS, (text, lines, packets), strict=True):
        assert run("boot", image(arch, "pingpong"), "--trace-format", form, "--trace-file", path).returncode == 0
    kinds = [json.loads(line)["event"] for line in lines.read_text().splitlines()]
    assert kinds.count("TrapEntered") == kinds.count("TrapLeft") + 1
    assert slices(packets) == (kinds.count("TrapEntered"), kinds.count("TrapLeft"))
    assert text.read_text().count("<unfinished ...>") == text.read_text().count(" resumed") + 1


@pytest.mark.parametrize("command", RUNS, ids=("boot", "cluster"))
@pytest.mark.slow
def test_an_engine_s_death_keeps_what_was_traced(command: tuple[str, str], tmp_path: Path) -> None:
    plant = IN_A_TRAP.format(round=7, death=DEATHS["SIGSEGV"])
    for form in ("json", "perfetto"):
        done = run(*command, "--trace-format", form, "--trace-file", tmp_path / form, plant=plant)
        assert done.returncode == 70
    events = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    under_way: Counter[tuple[str | None, int]] = Counter()
    for event in events:
        if event["event"] in ("TrapEntered", "TrapLeft"):
            under_way[event.get("node"), event["thread"]] += 1 if event["event"] == "TrapEntered" else -1
    last = events[-1]
    assert last["event"] == "TrapEntered" and under_way[last.get("node"), last["thread"]] == 1
    assert set(under_way.values()) <= {0, 1}
    kinds = [event["event"] for event in events]
    assert slices(tmp_path / "perfetto") == (kinds.count("TrapEntered"), kinds.count("TrapLeft"))


@pytest.mark.slow
def test_filters_hold_for_every_format(tmp_path: Path) -> None:
    for form in ("json", "perfetto"):
        run("boot", "images/i386/pingpong.elf", "--trace-format", form, "--trace-file", tmp_path / form, "--trace-id", "1000")
    lines = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    moved = [line["message_id"] for line in lines if line["event"] == "MessageMoved"]
    assert moved and set(moved) == {1000}
    assert slices(tmp_path / "perfetto") == (len(moved), len(moved))
