"""The lessons: each page's commands lead where it says, right answers are right, and misconceptions are not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from machemu.ui.lessons import BOOTS, find
from tests.support.commands import ROOT, run
from tests.support.terminal import PROMPT, Terminal

README = (ROOT / "lessons" / "README.md").read_text()


class Case(NamedTuple):
    """right: the answers, in order. wrong: what those answer who have understood something else. m68k: what differs there."""

    right: Sequence[str]
    wrong: Sequence[Mapping[int, str]]
    m68k: Mapping[int, str] = {}


CASES = {
    "message": Case(
        ("7", "0x1001", "4", "2", "0", "no", "10"),
        (
            {1: "13", 2: "13"},  # a port has one name for all
            {3: "5", 4: "1"},  # sending waits for the receiver
            {5: "7", 6: "yes", 7: "9"},  # the kernel hands the header on as it is, and a name is a right
        ),
    ),
    "right": Case(
        ("1", "receive", "7", "8", "1", "send", "dead-name"),
        (
            {1: "0", 5: "0"},  # what is in a message is nowhere
            {2: "send receive", 6: "receive"},  # who sends a right keeps it
            {3: "8", 4: "7"},  # each send right has its own name, and a send-once right is one of them
        ),
    ),
    "copy-on-write": Case(
        ("yes", "r", "left", "yes", "2", "no", "3", "yes"),
        (
            {1: "no", 2: "rw", 4: "no"},  # the child gets copies when it is made
            {3: "shared", 5: "1", 8: "no"},  # the parent gets the copy, and what is shared is copied, too
            {6: "yes", 7: "2"},  # the last user writes to the old page
        ),
    ),
    "pager": Case(
        ("send", "0", "12", "4096", "12288", "rw", "2", "1"),
        (
            {2: "1", 3: "14"},  # the child asks, and at the control port
            {5: "4096", 7: "3"},  # each access asks
            {1: "send receive", 6: "r", 8: "3"},  # what was asked for to be read can only be read, and all comes back
        ),
        {4: "8192", 5: "24576"},
    ),
    "exception": Case(
        ("13", "10", "memory", "send-once", "0x804903c", "yes", "6", "dead port"),
        (
            {1: "12", 7: "7"},  # the task is asked first
            {3: "instruction", 5: "0x804903e", 6: "no"},  # the thread goes on behind what failed
            {2: "2", 4: "send", 8: "task 2"},  # names are numbers of the machine, and a task is there as long as a right to it
        ),
        {5: "65752"},
    ),
    "call": Case(
        ("gns", "4", "no", "2", "0x9c", "gns", "0", "no"),
        (
            {1: "greet", 4: "greet", 6: "greet"},  # the kernels carry the message from task to task
            {2: "2", 7: "5"},  # the client's node knows where the service is, and each call looks it up
            {3: "yes", 5: "0xff", 8: "yes"},  # names and bytes go over the network as they are
        ),
    ),
}
LESSONS = list(CASES)


def page_of(lesson: str) -> str:
    return find(lesson).page.read_text()


def session(lesson: str) -> str:
    """The commands of the page, and what it shows of what they say."""
    return "".join(re.findall(rf"```text\n({PROMPT}.*?)```", page_of(lesson), re.DOTALL))


def commands(text: str) -> list[str]:
    return re.findall(f"^{PROMPT}(.*)$", text, re.MULTILINE)


def write(path: Path, answers: Sequence[str]) -> Path:
    path.write_text("".join(f"{number} = {said}\n" for number, said in enumerate(answers, 1)))
    return path


def grade(lesson: str, answers: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return run("step", "--lesson", lesson, "--answers", answers, *options)


def test_each_lesson_has_its_case_here_and_its_row_in_the_list() -> None:
    assert list(BOOTS) == LESSONS == re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\)", README, re.MULTILINE)
    assert {path.stem for path in (ROOT / "lessons").iterdir()} == {*LESSONS, "README"}


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_page_s_commands_show_what_it_shows(lesson: str, tmp_path: Path) -> None:
    page = session(lesson)
    (tmp_path / "way").write_text("".join(f"{command}\n" for command in commands(page)))
    done = run("step", "--lesson", lesson, "-x", tmp_path / "way")
    assert (done.returncode, done.stderr) == (0, "")
    told = re.split(f"^{PROMPT}", done.stdout, flags=re.MULTILINE)
    for shown, said in zip(re.split(f"^{PROMPT}", page, flags=re.MULTILINE), told, strict=True):
        assert shown == said or "\n" not in shown.strip()


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_questions_are_asked_on_the_way_of_the_page(lesson: str) -> None:
    lines = [line for line in find(lesson).questions.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not line.startswith("question ")] == commands(session(lesson))
    asked = [line.split()[1] for line in lines if line.startswith("question ")]
    assert asked == re.findall(r"^\*\*Question (\d+)\.\*\*", page_of(lesson), re.MULTILINE)
    assert asked == [str(number) for number in range(1, len(CASES[lesson].right) + 1)]


@pytest.mark.parametrize("cpu", ["i386", "m68k"])
@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.slow
def test_right_answers_are_right(lesson: str, cpu: str, tmp_path: Path) -> None:
    case = CASES[lesson]
    right = [case.m68k.get(number, said) if cpu == "m68k" else said for number, said in enumerate(case.right, 1)]
    done = grade(lesson, write(tmp_path / "answers", right), "--cpu", cpu)
    assert (done.returncode, done.stderr) == (0, "")
    results = [f"question {number}: right" for number in range(1, len(right) + 1)]
    assert done.stdout.splitlines() == [*results, f"{len(right)} of {len(right)} are right"]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.slow
def test_a_misconception_is_not_right_and_it_is_said_which_question(lesson: str, which: int, tmp_path: Path) -> None:
    right, wrong = CASES[lesson].right, CASES[lesson].wrong[which]
    assert len(CASES[lesson].wrong) == 3
    path = write(tmp_path / "answers", [wrong.get(number, said) for number, said in enumerate(right, 1)])
    done = grade(lesson, path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"machemu: {path}:{number}: question {number}: '{said}' is not right" for number, said in wrong.items()
    ]
    results = [f"question {number}: {'not right' if number in wrong else 'right'}" for number in range(1, len(right) + 1)]
    assert done.stdout.splitlines() == [*results, f"{len(right) - len(wrong)} of {len(right)} are right"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_answer_is_not_right_and_of_the_right_one_only_its_kind_is_said(lesson: str, tmp_path: Path) -> None:
    right = CASES[lesson].right
    done = grade(lesson, write(tmp_path / "answers", ["?"] * len(right)))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"0 of {len(right)} are right"
    for line in done.stderr.splitlines():
        assert re.search(r"'\?' is not right(: (a number|yes or no) is wanted)?$", line)


def test_the_first_lesson_is_at_a_terminal_what_its_page_shows() -> None:
    command = page_of("message").split("```sh\n")[1].split("\n```")[0].split()
    terminal = Terminal(*command)
    terminal.until_prompt()
    for typed in commands(session("message")):
        terminal.send(f"{typed}\n")
    terminal.send("quit\n")
    assert terminal.close() == 0
    assert terminal.text == f"{session('message')}{PROMPT}quit\n"


FAULTY = [
    (b"1 = 7\n2 = 5\n", "3: ends without an answer to question 3, 4, 5, 6, 7: write ? where you have none\n"),
    (b"", "1: ends without an answer to question 1, 2, 3, 4, 5, 6, 7"),
    (b"1 = 7\n\n8 = 1\n", "3: there is no question 8: there are 1, 2, 3, 4, 5, 6, 7"),
    (b"# Anna\n1 = 7\n2 = 3\n1 = 8\n", "4: question 1 has an answer already, at ANSWERS:2"),
    (b"1 = 7\n2 =\n", "2: '2 =' is no answer: write QUESTION = ANSWER, such as 1 = 0x2c"),
    (b"1: 7\n", "1: '1: 7' is no answer"),
    (b"assert 1 == 1\n", "1: there is no question assert 1"),
    (b"1 = 7\nrun\n" * 1000, "2: 'run' is no answer"),
    (b"save /tmp/taken\n", "1: 'save /tmp/taken' is no answer"),
    (b"question 1 7\n", "1: 'question 1 7' is no answer"),
    (b"1 = 7\n\x7fELF\x01\x01\xff\xfe\x80\n", "2: is no UTF-8 text"),
    ("1 = 7\n".encode("utf-16"), "1: is no UTF-8 text"),
    (b"1 = 7\n2 = \0\n", "2: character 0x0 has no place"),
    ("1 = 7\n2 = \u202e7\n".encode(), "2: character 0x202e has no place"),
    (b"1 = 7\n" + b"2 = " + b"9" * 5000 + b"\n", "2: a line of 5004 characters"),
]


@pytest.mark.parametrize(("data", "says"), FAULTY)
def test_a_faulty_file_is_told_with_its_line_and_status_2_and_nothing_is_done(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_bytes(data)
    done = grade("message", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"machemu: {path}:{says.replace('ANSWERS', str(path))}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_what_is_no_file_of_answers_is_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "fifo")
    for path in (huge, tmp_path, tmp_path / "nowhere", Path("/dev/zero"), Path("/dev/full"), tmp_path / "fifo"):
        done = grade("message", path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), path
        assert done.stderr.startswith(f"machemu: {path}: "), path


@pytest.mark.parametrize(
    "said",
    [
        ("0X7", "4097", "4 # room for four", "0x02", "0", "NO", "  10  "),
        ("07", "0x1001", "4", "2", "0x0", "false", "10\r"),
    ],
)
@pytest.mark.slow
def test_an_answer_may_be_written_in_several_ways(said: Sequence[str], tmp_path: Path) -> None:
    path = write(tmp_path / "answers", said)
    path.write_bytes(b"\xef\xbb\xbf# Anna\n\n" + path.read_bytes())
    assert grade("message", path).returncode == 0
    path.write_text("\n".join(reversed(path.read_text().splitlines()[1:])))
    assert grade("message", path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--lesson", "massage"), "no lesson 'massage': there are message"),
        (("--lesson", "message", "images/i386/hello.elf"), "--lesson message: it says what is booted"),
        (("--lesson", "message", "--cpu", "vax"), "no examples for a CPU vax"),
        (("images/i386/hello.elf", "--cpu", "m68k"), "--cpu m68k: it is for the program of a lesson"),
        (("images/i386/hello.elf", "--answers", "a"), "--answers a: name the lesson by --lesson"),
        (("images/i386/hello.elf", "--answers", "a", "-c", "run"), "a: the commands that were given ask no `question`"),
        (("images/i386/hello.elf", "-c", "question 1"), "-c: question NAME EXPRESSION"),
        (("images/i386/hello.elf", "-c", "question 1 leap"), "-c: 'leap' is no name"),
    ],
)
def test_what_cannot_be_asked_is_told_with_status_2(arguments: Sequence[str], says: str) -> None:
    done = run("step", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"machemu: {says}")


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (("run message 1000 sent", "question 1 1"), "the run ended before 'message 1000 sent' came"),
        (("question 1 1", "question 1 1"), "question 1: it is asked twice"),
        (("question 1 1", "quest 2 1"), "question 2: it is asked twice, or by a short name"),
        (("quit", "question 1 1"), "question 1: the commands end before it is asked"),
    ],
)
def test_a_faulty_way_is_the_teacher_s_fault_and_no_grade(way: Sequence[str], says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "answers", ["1"])
    done = run("step", "images/i386/hello.elf", *(part for line in way for part in ("-c", line)), "--answers", path)
    assert done.returncode == 2
    assert done.stderr.removeprefix("machemu: ").removeprefix("-c: ").startswith(says)
    assert "are right" not in done.stdout


@pytest.fixture
def machemu(tmp_path: Path) -> dict[str, str]:
    """An environment in which a shell finds the command."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "machemu"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m machemu "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_a_shell_grades_a_class_as_the_page_says(machemu: dict[str, str], tmp_path: Path) -> None:
    [loop] = re.findall(r"```sh\n(for .*?)```", README, re.DOTALL)
    (tmp_path / "answers").mkdir()
    right = list(CASES["message"].right)
    write(tmp_path / "answers" / "anna.txt", right)
    write(tmp_path / "answers" / "ben.txt", [*right[:-1], "9"])
    write(tmp_path / "answers" / "eve.txt", right[:-1])
    done = subprocess.run(["sh", "-c", loop], cwd=tmp_path, env=machemu, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["answers/anna.txt 0", "answers/ben.txt 1", "answers/eve.txt 2"]
    told = (tmp_path / "answers" / "ben.txt.result").read_text()
    assert "question 1: right\n" in told and "question 7: not right\n" in told
    assert "machemu: answers/ben.txt:7: question 7: '9' is not right\n" in told


@pytest.mark.slow
def test_a_teacher_s_own_lesson_grades_as_the_page_says(machemu: dict[str, str], tmp_path: Path) -> None:
    own, command = re.findall(r"```text\n(run .*?)```.*?```sh\n(machemu step mine.elf.*?)\n```", README, re.DOTALL)[0]
    (tmp_path / "mine.step").write_text(own)
    (tmp_path / "mine.elf").write_bytes((ROOT / "images" / "i386" / "pingpong.elf").read_bytes())
    for said, status in ((("1", "A_Send  right"), 0), (("1", "receive"), 1)):
        write(tmp_path / "anna.txt", said)
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=machemu, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr


@pytest.mark.slow
def test_the_command_lists_the_lessons_and_prints_their_pages_and_questions(tmp_path: Path) -> None:
    listed = run("lessons").stdout.splitlines()
    assert listed[0] == f"{ROOT / 'lessons'}:"
    assert [line.split()[0] for line in listed[1:]] == LESSONS
    for lesson in LESSONS:
        assert run("lessons", lesson).stdout == page_of(lesson)
    assert run("lessons", "message.step").stdout == find("message").questions.read_text()
    done = run("lessons", "../README")
    assert (done.returncode, done.stderr) == (2, f"machemu: no lesson '../README': there are {', '.join(LESSONS)}\n")


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.slow
def test_the_answers_that_a_teacher_sees_are_those(lesson: str) -> None:
    done = run("step", "--lesson", lesson, "-x", find(lesson).questions)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^question \d+: ", done.stdout, re.MULTILINE)) == len(CASES[lesson].right)
