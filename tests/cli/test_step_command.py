"""`machemu step`: the prompt at a terminal, command files, and what is said of faulty ones."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from machemu.debug.looker import LINE_MAX
from tests.support.commands import ROOT, run
from tests.support.terminal import PROMPT, Terminal

PAGE = (ROOT / "docs" / "step.md").read_text()
COMMAND = PAGE.split("```sh\n")[1].split("\n```")[0].split()
TRANSCRIPT, OVER_CLUSTER = (part.split("```")[0] for part in PAGE.split("```text\n")[1:])
HELLO = "images/i386/hello.elf"


def step(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("step", HELLO, *arguments)


def test_the_page_s_transcript_is_what_the_terminal_shows() -> None:
    terminal = Terminal(*COMMAND)
    terminal.until_prompt()
    for command in re.findall(f"^{PROMPT}(.*)$", TRANSCRIPT, re.MULTILINE):
        terminal.send(f"{command}\n")
    assert terminal.close() == 0
    assert terminal.text == TRANSCRIPT


@pytest.mark.slow
def test_the_page_s_transcript_is_what_a_command_file_shows(tmp_path: Path) -> None:
    commands = re.findall(f"^{PROMPT}(.*)$", TRANSCRIPT, re.MULTILINE)
    (tmp_path / "commands").write_text("# a comment\n\n" + "".join(f"  {command}\n" for command in commands))
    done = run(*COMMAND[1:], "-x", tmp_path / "commands")
    assert (done.returncode, done.stdout, done.stderr) == (0, TRANSCRIPT, "")
    piped = run(*COMMAND[1:], stdin=None, input="".join(f"{command}\n" for command in commands))
    assert (piped.returncode, piped.stdout) == (0, TRANSCRIPT)


@pytest.mark.slow
def test_the_page_s_transcript_of_a_cluster_is_what_a_command_file_shows(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("\n".join(re.findall(f"^{PROMPT}(.*)$", OVER_CLUSTER, re.MULTILINE)))
    done = run("step", "images/greet.toml", "-x", tmp_path / "commands")
    assert (done.returncode, done.stdout, done.stderr) == (0, OVER_CLUSTER, "")


@pytest.mark.slow
def test_the_terminal_completes_words_and_goes_on_after_errors() -> None:
    terminal = Terminal("machemu", "step", "images/i386/echo.elf")
    terminal.until_prompt()
    terminal.send("leap\n")
    assert "no command 'leap': `help` lists the commands\n" in terminal.text
    terminal.send("st\tinst\t3\n")
    assert "step instruction 3\n" in terminal.text
    terminal.send("run\n")
    terminal.send("type hello\n")
    terminal.send("run\n")
    assert "HELLO" in terminal.text
    terminal.send("\x04")
    assert terminal.close() == 0


@pytest.mark.parametrize("command", ["run", "run woken 9"])
@pytest.mark.slow
def test_ctrl_c_ends_what_a_command_does_and_the_machine_stands_between_two_traps(command: str) -> None:
    loop = "images/i386/bench.elf ${host-port} ${device-port} n 100000000 $(task-create) $(task-resume)"
    terminal = Terminal("machemu", "step", "--module", loop)
    terminal.until_prompt()
    os.write(terminal.master, f"{command}\n".encode())
    terminal.until("GO\n")
    terminal.send("\x03")
    terminal.send("assert traps > 1\n")
    terminal.send("back trap 2\n")
    terminal.send("quit\n")
    assert terminal.close() == 0
    assert terminal.text.count("interrupted\n") == 1
    assert "not so" not in terminal.text and "there are not so many" not in terminal.text


@pytest.mark.parametrize("file", [HELLO, "images/two.toml"])
@pytest.mark.slow
def test_ctrl_c_at_the_prompt_drops_the_line_and_nothing_else(file: str) -> None:
    terminal = Terminal("machemu", "step", file)
    terminal.until_prompt()
    terminal.send("\x03")
    os.write(terminal.master, b"assert traps > 100")
    terminal.until("traps > 100")
    terminal.send("\x03")
    terminal.send("print traps\n")
    assert terminal.text.endswith(f"{PROMPT}print traps\n0 (0x0)\n{PROMPT}")
    terminal.send("\x03")
    terminal.send("\x04")
    assert terminal.close() == 0
    assert "Traceback" not in terminal.text and "interrupted" not in terminal.text


@pytest.mark.slow
def test_ctrl_c_just_before_the_wait_for_a_key_is_not_lost() -> None:
    plant = """
import ctypes, functools, readline, signal
twice = map(ctypes.CDLL(None)["raise"], [signal.SIGINT] * 2)
readline.set_pre_input_hook(functools.partial(next, twice, None))
"""
    terminal = Terminal("machemu", "step", HELLO, plant=plant)
    terminal.until(f"{PROMPT}\n{PROMPT}\n{PROMPT}")
    terminal.send("\x04")
    assert terminal.close() == 0


@pytest.mark.slow
def test_every_command_condition_and_name_is_on_the_page_and_in_the_help() -> None:
    done = step("-c", "help", "-c", "help run", "-c", "help print")
    names = [line.split()[0] for line in done.stdout.splitlines()[1:] if not line.startswith(PROMPT)]
    for name in names[: names.index("quit") + 1]:
        assert re.search(f"`{name}[ `]", PAGE), name
    for kind in re.findall(r"(?:UNTIL: |\| )([a-z]+)", done.stdout.split("UNTIL: ")[1].split("\n")[0]):
        assert re.search(f"^\\| `{kind}[ `]", PAGE, re.MULTILINE), kind
    for name in done.stdout.split("names: ")[1].split(";")[0].split(", "):
        assert re.search(f"`{name}[(`]", PAGE.split("## Expressions")[1]), name


def test_the_options_of_the_page_are_the_command_s() -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", run("step", "--help").stdout)) - {"--help"}
    assert set(re.findall(r"`(--[a-z][a-z-]+)`", PAGE)) == options


def test_an_assert_that_is_not_so_gives_status_1_and_the_rest_is_done(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('run\nassert traps == 1\nassert console contains "hello" or true\nstep\nassert time > 1us\n')
    done = step("-x", tmp_path / "a")
    assert done.returncode == 1
    assert f"machemu: {tmp_path}/a:2: not so: traps == 1\n" in done.stderr
    assert f"machemu: {tmp_path}/a:4: there is no further trap" in done.stderr
    assert done.stderr.count("\n") == 2
    assert done.stdout.endswith("machemu> assert time > 1us\n")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x7fELF\x02\x01\x00\xff\xfe\x80", "it is no UTF-8 text"),
        (b"run\nwh\0ere\n", ":2: character 0x0 has no place in a command"),
        (b"run\n\n" + b"x" * 1_000_000 + b"\n", f":3: a line of 1000000 characters: a command has at most {LINE_MAX}"),
        ("run\nconsole \u202e".encode(), ":2: character 0x202e has no place in a command"),
        (b"run\r\n\x1b[2J\n", ":2: character 0x1b has no place in a command"),
        (b"where\nleap 3\n", ":2: no command 'leap': `help` lists the commands"),
    ],
)
def test_a_faulty_file_is_told_with_its_line_and_status_2(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "faulty").write_bytes(data)
    done = step("-x", tmp_path / "faulty")
    assert done.returncode == 2
    assert done.stderr.startswith(f"machemu: {tmp_path}/faulty:")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((HELLO, "-x", "/nowhere"), "/nowhere: cannot be read as a command file: No such file"),
        ((HELLO, "-x", "/tmp"), "/tmp: cannot be read as a command file: it is a directory"),
        ((HELLO, "-x", "/dev/zero"), "/dev/zero: cannot be read as a command file"),
        ((HELLO, "-x", ""), "-x '': it cannot be empty"),
        ((), "nothing to boot: name a module"),
        (("/nowhere.elf",), "/nowhere.elf"),
        ((HELLO, "--disk", "hd0=a.img,writable"), "--disk hd0=a.img,writable: what is written to an image cannot be taken back"),
        ((HELLO, "-c", f"save {HELLO}"), f"-c: {HELLO}: cannot be written: this run reads it"),
    ],
)
def test_what_cannot_be_begun_is_told_with_status_2(arguments: tuple[str, ...], says: str) -> None:
    done = run("step", *arguments)
    assert (done.returncode, done.stdout.partition("\n")[2]) == (2, "")
    assert says in done.stderr


@pytest.mark.slow
def test_a_saved_machine_is_stepped_on_with(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    done = step("-c", "run traps 3", "-c", f"save {saved}", "-c", "run", "-c", "digest")
    again = run("step", "--load", saved, "-c", "assert traps == 3", "-c", "run", "-c", "digest")
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_cluster_is_stepped_by_its_nodes_and_is_saved(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    given = (
        "run for 2ms",
        "node sun",
        "step message",
        "back message",
        f"save {saved}",
        "run for 1ms",
        "digest",
        "run console END",
    )
    commands = (*given, "node pc", 'assert console contains "END"')
    done = run("step", "images/two.toml", *(part for text in commands for part in ("-c", text)))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^sun: \S", done.stdout, re.MULTILINE)
    again = run("step", "images/two.toml", "--load", saved, "-c", "run for 1ms", "-c", "digest")
    assert again.stdout.splitlines()[-1] in done.stdout.splitlines()
    mixed = run("step", "images/two.toml", HELLO)
    assert (mixed.returncode, "a cluster file says all of its machines" in mixed.stderr) == (2, True)


@pytest.mark.slow
def test_looking_and_going_back_leave_the_end_as_it_is() -> None:
    plain = step("-c", "run", "-c", "digest").stdout.splitlines()[-1]
    looks = (
        "tasks",
        "threads",
        "ports all",
        "ports 1",
        "map 1",
        "regs",
        "dis",
        "mem 1 _start",
        "symbols main",
        "why",
        "trace last 9",
    )
    given = (
        "run traps 4",
        *looks,
        "back instruction 3",
        "run-back trap",
        "trace on",
        "break at guest_main",
        "run",
        "delete all",
        "run",
    )
    done = step(*(part for text in (*given, "digest") for part in ("-c", text)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == plain
