"""Boot scripts mean what they mean to GNU Mach (its kern/boot_script.c)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.boot.script import BootScript, PortValue, module_paths, task_paths


class Recorder:
    """Does nothing and writes it down. Tasks are their modules' paths; rights get the lowest free name of their task."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.names: dict[object, int] = {}

    def create_task(self, path: str) -> object:
        self.log.append(("create", path))
        return path

    def create_ramdisk(self, path: str) -> str:
        self.log.append(("ramdisk", path))
        return "rd0"

    def insert_right(self, task: object, port: object) -> int:
        self.names[task] = self.names.get(task, 0) + 1
        self.log.append(("insert", task, port))
        return self.names[task]

    def execute(self, task: object, path: str, arguments: list[str]) -> None:
        self.log.append(("execute", path, arguments))

    def resume(self, task: object) -> None:
        self.log.append(("resume", task))


VARIABLES: dict[str, str | PortValue] = {
    "host-port": PortValue("host"),
    "device-port": PortValue("device"),
    "kernel-command-line": "a=b  c",
    "empty": "",
}


def run(*lines: str) -> list[tuple[object, ...]]:
    recorder = Recorder()
    script = BootScript(recorder, VARIABLES)
    for number, line in enumerate(lines, 1):
        script.read(line, number)
    script.run()
    return recorder.log


def arguments(*lines: str) -> list[list[str]]:
    return [entry[2] for entry in run(*lines) if entry[0] == "execute"]  # type: ignore[misc]


GO = "$(task-create) $(task-resume)"


def test_only_modules_with_a_task_are_programs_to_run() -> None:
    lines = ["# none", "a ${x} $(task-create)", "b ${host-port}", "", "c $(y=task-create) $(task-resume)", "a $(task-create)"]
    assert task_paths(lines) == ["a", "c", "a"]
    with pytest.raises(UserError, match="line 2, column 3"):
        task_paths(["", "a ${"])


def test_modules_that_become_disks_are_read_too() -> None:
    assert module_paths(["a $(task-create)", "b", "c $(ramdisk-create)", "d $(x=ramdisk-create)"]) == ["a", "c", "d"]
    assert task_paths(["c $(ramdisk-create)"]) == []


def test_the_line_of_a_lone_module() -> None:
    assert run(f"hello.elf ${{host-port}} ${{device-port}} {GO}") == [
        ("create", "hello.elf"),
        ("insert", "hello.elf", "host"),
        ("insert", "hello.elf", "device"),
        ("execute", "hello.elf", ["hello.elf", "1", "2"]),
        ("resume", "hello.elf"),
    ]


def test_all_tasks_are_made_then_all_loaded_then_all_started() -> None:
    assert [entry[:2] for entry in run(f"one {GO}", f"two {GO}")] == [
        ("create", "one"),
        ("create", "two"),
        ("execute", "one"),
        ("execute", "two"),
        ("resume", "one"),
        ("resume", "two"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"p a bc {GO}", ["a", "bc"]),
        (f" \tp\ta {GO}", ["a"]),
        (f"p --host=${{host-port}} {GO}", ["--host=1"]),
        (f"p a${{host-port}}b${{device-port}}c {GO}", ["a1", "b2", "c"]),
        (f"p ${{kernel-command-line}} {GO}", ["a=b  c"]),
        (f"p ${{empty}} x${{empty}} {GO}", ["", "x"]),
        (f"p ${{host-port}}${{device-port}} {GO}", ["1", "2"]),
        (f"p cost$5 $x {GO}", ["cost$5", "$x"]),
        (f"p a$(b) {GO}", ["a$(b)"]),
        (f"p #a {GO}", ["#a"]),
        (f"p $(task-create)after {GO}", ["after"]),
        (f"p $(host-port) {GO}", []),
        (f"p {GO}\n", []),
    ],
)
def test_words_and_values(line: str, expected: list[str]) -> None:
    assert arguments(line) == [["p", *expected]]


@pytest.mark.parametrize("line", ["", "   ", "\t", "\n", "# p $(task-create)", "  # p"])
def test_comments_and_empty_lines_are_nothing(line: str) -> None:
    assert run(line) == []


def test_a_line_without_a_task_is_not_run() -> None:
    assert run("p ${undefined} a") == []


def test_a_task_without_resume_is_loaded_and_stays_stopped() -> None:
    assert [entry[0] for entry in run("p $(task-create)")] == ["create", "execute"]


def test_a_task_is_named_by_assignment_and_handed_to_a_later_line() -> None:
    log = run("exec $(exec-task=task-create)", f"fs ${{exec-task}} {GO}")
    assert ("insert", "fs", "exec") in log


def test_a_name_may_be_used_before_it_gets_its_value() -> None:
    log = run(f"fs --exec-server-task=${{exec-task}} {GO}", "exec $(exec-task=task-create) $(task-resume)")
    assert ("insert", "fs", "exec") in log
    assert ("execute", "fs", ["fs", "--exec-server-task=1"]) in log


def test_assignments_chain_and_take_the_value_of_now() -> None:
    line = "p $(a=b=kernel-command-line) $(c=a) $(a=empty) ${a} ${b} ${c} "
    assert arguments(line + GO) == [["p", "", "a=b  c", "a=b  c"]]


def test_an_alias_of_something_not_yet_known_follows_it() -> None:
    assert arguments(f"p $(a=b) ${{a}} {GO}", "q $(b=kernel-command-line)") == [["p", "a=b  c"]]


def test_prompt_task_resume_starts_a_task_too() -> None:
    assert run("p $(task-create) $(prompt-task-resume)")[-1] == ("resume", "p")


@pytest.mark.parametrize(
    ("line", "column", "kind"),
    [
        ("p ${", 3, "syntax error"),
        ("p ${}", 3, "syntax error"),
        ("p $()", 3, "syntax error"),
        ("p ${host-port", 3, "syntax error"),
        ("p $(a", 3, "syntax error"),
        ("p $(a=", 3, "syntax error"),
        ("p $(=a)", 3, "syntax error"),
        ("p ${a=b}", 3, "syntax error"),
        ("p x${a\n}", 4, "syntax error"),
        ("p ${task-create}", 3, "invalid variable in expression"),
        ("p a ${task-resume}", 5, "invalid variable in expression"),
        ("p ${ramdisk-create}", 3, "invalid variable in expression"),
        ("p $(task-create=a)", 3, "invalid variable in assignment"),
        ("p $(task-resume=task-create)", 3, "invalid variable in assignment"),
    ],
)
def test_wrong_lines_are_refused_with_their_place(line: str, column: int, kind: str) -> None:
    with pytest.raises(UserError, match=rf"line 2, column {column}: {kind}"):
        run("# first", line)


@pytest.mark.parametrize(
    "line", ["p ${nothing}", "p x${nothing}", "p $(nothing=nothing) ${nothing}", "p $(nothing=task-resume) ${nothing}"]
)
def test_a_value_that_nobody_gave_is_an_undefined_symbol(line: str) -> None:
    with pytest.raises(UserError, match=r"line 1.*undefined symbol 'nothing'"):
        run(f"{line} {GO}")


def test_a_disk_in_memory_is_made_while_its_line_is_read_and_has_a_name() -> None:
    assert run("i $(disk=ramdisk-create)", f"p ${{disk}} {GO}") == [
        ("ramdisk", "i"),
        ("create", "p"),
        ("execute", "p", ["p", "rd0"]),
        ("resume", "p"),
    ]


@pytest.mark.parametrize("word", ["$(task-craete)", "$(a=ramdisk)", "$(a=b=frob)"])
def test_an_unknown_function_is_an_error_that_names_those_there_are(word: str) -> None:
    with pytest.raises(UserError, match=r"line 2: there is no function or symbol '(task-craete|ramdisk|frob)'.*ramdisk-create"):
        run("#", f"p {word} {GO}")


def test_aliases_in_a_circle_are_undefined() -> None:
    with pytest.raises(UserError, match="undefined symbol"):
        run(f"p $(a=b) $(b=c) $(c=a) ${{a}} {GO}")


def test_nothing_can_be_started_that_was_not_made() -> None:
    with pytest.raises(UserError, match=r"line 1.*mach error.*task-resume"):
        run("p $(task-resume)")


PIECES = st.sampled_from(
    ["p", " ", "\t", "\n", "#", "$", "{", "}", "(", ")", "=", "a", "b", "${", "$(", "host-port", "task-create", "task-resume"]
)


@given(st.lists(st.lists(PIECES, max_size=20).map("".join), max_size=3))
def test_any_script_is_run_or_refused(lines: list[str]) -> None:
    try:
        run(*lines)
    except UserError as error:
        assert "line " in str(error)


@given(st.text(max_size=50))
def test_any_text_is_run_or_refused(line: str) -> None:
    try:
        run(line)
    except UserError as error:
        assert "line 1" in str(error)
