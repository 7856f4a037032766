"""`machemu boot` as people use it: output, options, exit statuses, and what it says when something is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from machemu.machine.profile import DEFAULT_PROFILES
from tests.support import testdisk
from tests.support.elves import Part, elf_for
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import CONFORMANCE, IMAGES, image, module
from tests.support.modules import transcript_of

ROOT = Path(__file__).parent.parent.parent
HELLO = image(I386, "hello")
OTHER_PROFILES = {"i386": "pc486-33", "m68k": "mc68040-25"}
"""Those that are not the default."""
EVENTS = ("machemu.core.observe", "machemu.trace.events", "machemu.trace.words", "machemu.ui.trace_filters", "machemu.ui.tracing")
LATE = (
    *("machemu.cluster", "machemu.core.inspect", "machemu.formats.ext2", "machemu.lab.message_stop", *EVENTS),
    *("capstone", "html", "json", "pickle", "platform", "secrets", "zstandard"),
)
"""What a plain run does not need before its program prints: it would take a fifth of the time until then."""


def machemu(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "machemu", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, check=False, timeout=120)


def boot(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return machemu("boot", *arguments, stdin=stdin)


def test_a_module_alone_is_booted_with_its_ports(arch: Arch) -> None:
    done = boot(image(arch, "hello"))
    assert (done.returncode, done.stdout) == (0, b"Hello from a Mach task.\n")
    assert b"nothing can run any more" in done.stderr


def loaded(*arguments: object) -> set[str]:
    """The modules that a run imports."""
    command = [sys.executable, "-X", "importtime", "-m", "machemu", "boot", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True, timeout=120, text=True)
    return set(re.findall(r"([\w.]+)$", done.stderr, re.MULTILINE))


def test_a_program_prints_before_what_it_does_not_need_is_loaded(arch: Arch) -> None:
    found = loaded(image(arch, "hello"), "--until", "Hello from")
    (other,) = {"i386", "m68k"} - {arch.name}
    assert f"machemu.machine.{arch.name}.cpu" in found
    assert not found & {*LATE, f"machemu.machine.{other}.cpu"}


def test_the_report_at_a_runs_end_needs_no_events(arch: Arch) -> None:
    found = loaded(image(arch, "hello"))
    assert "machemu.core.inspect" in found
    assert not found & {*EVENTS}


@pytest.mark.slow
def test_a_module_alone_is_given_its_own_arguments_after_its_ports(arch: Arch) -> None:
    bench = image(arch, "bench")
    assert boot(bench, "nulltraps", "3").stdout == b"GO\nDONE\n"
    assert boot("--variable", "loop=nulltraps", bench, "${loop}", "--", "3").stdout == b"GO\nDONE\n"
    assert b"give a loop and a number of rounds" in boot(bench, "nulltraps").stdout
    assert boot("--for", "1s", bench, "--", "nulltraps", "3", "-x").stdout == b"GO\nDONE\n"


@pytest.mark.parametrize("word", ["", "a b", "a\tb", "$(task-create)"])
def test_an_argument_that_no_boot_script_can_hold_is_exit_status_2(word: str) -> None:
    done = boot(HELLO, word)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"'{word}'".encode() in done.stderr


def test_until_stops_at_a_line_and_says_nothing_else(arch: Arch) -> None:
    path = module(arch, "ports")
    done = boot(path, "--until", "END")
    assert (done.returncode, done.stderr) == (0, b"")
    # The kernel calls the task by its path, as far as it keeps it.
    assert done.stdout.replace(f"task {str(path)[:31]} ".encode(), b"task ports.elf ") == transcript_of(path).read_bytes()


def test_until_a_text_that_never_comes_is_exit_status_1(arch: Arch) -> None:
    done = boot(image(arch, "hello"), "--until", "Goodbye")
    assert done.returncode == 1
    assert b"never printed a line with 'Goodbye'" in done.stderr


def test_for_stops_a_wedged_run_and_says_what_each_thread_waits_for(arch: Arch) -> None:
    line = f"{image(arch, 'bench')} ${{host-port}} ${{device-port}} threads 1000000000 $(task-create) $(task-resume)"
    done = boot("--module", line, "--for", "20ms")
    assert done.returncode == 0
    assert b"stopped at 0.02" in done.stderr
    assert re.search(rb"thread \d: (receives on port|is ready|runs)", done.stderr)


def test_several_modules_share_a_machine(arch: Arch) -> None:
    line = "${host-port} ${device-port} $(task-create) $(task-resume)"
    done = boot("--module", f"{image(arch, 'hello')} {line}", "--module", f"{image(arch, 'pingpong')} {line}")
    assert done.returncode == 0
    assert b"Hello from a Mach task.\n" in done.stdout
    assert b"END\n" in done.stdout


def test_a_script_names_the_modules(arch: Arch, tmp_path: Path) -> None:
    script = tmp_path / "boot.script"
    script.write_text(f"# a comment\n{image(arch, 'hello')} ${{host-port}} ${{device-port}} $(task-create) $(task-resume)\n")
    assert boot("--script", script).stdout == b"Hello from a Mach task.\n"


def test_the_full_trace_has_a_line_for_each_trap_and_message(arch: Arch, tmp_path: Path) -> None:
    done = boot(image(arch, "pingpong"), "--trace-full", "--trace-file", tmp_path / "trace")
    assert done.returncode == 0
    text = (tmp_path / "trace").read_text()
    assert re.search(r"task 1 \(pingpong.elf\) thread 1 +mach_task_self\(\) = \d+ \(task-self\)\n", text)
    assert re.search(
        r"  -> mach_port_allocate_name 40 bytes to \d+ \(task 2 pingpong.elf\) reply to .*\[right=RECEIVE, name=4097\]\n", text
    )
    assert re.search(r"mach_msg\(msg=0x[0-9a-f]{8}, option=SEND_MSG\|RCV_MSG, .*\) = MACH_MSG_SUCCESS\n", text)
    assert re.search(r'device_write_inband .*data="ping 1\\n"', text)
    assert "<unfinished ...>" in text
    assert "<... mach_msg resumed> = MACH_MSG_SUCCESS" in text


def test_trace_goes_to_standard_error(arch: Arch) -> None:
    done = boot(image(arch, "hello"), "--trace")
    assert done.stdout == b"Hello from a Mach task.\n"
    assert b"device_write_inband(" in done.stderr


@pytest.mark.slow
def test_the_digest_is_the_same_every_time(arch: Arch) -> None:
    first, second = (boot(image(arch, "hello"), "--digest").stderr.splitlines()[-1] for _ in range(2))
    assert first == second
    assert re.fullmatch(rb"digest [0-9a-f]{64}", first)


@pytest.mark.slow
def test_the_machine_is_one_that_the_program_is_for(arch: Arch) -> None:
    told, other = (
        boot(image(arch, "hello"), "--profile", profiles[arch.name], "--digest").stderr.splitlines()[-1]
        for profiles in (DEFAULT_PROFILES, OTHER_PROFILES)
    )
    assert told != other
    assert boot(image(arch, "hello"), "--digest").stderr.splitlines()[-1] == told


@pytest.mark.slow
def test_memory_and_profile_are_the_machine_s(arch: Arch) -> None:
    assert boot(image(arch, "hello"), "--memory", "2M", "--profile", OTHER_PROFILES[arch.name]).returncode == 0
    smaller, larger = (boot(image(arch, "hello"), "--memory", size, "--digest").stderr.splitlines()[-1] for size in ("2M", "4M"))
    assert smaller != larger


def test_help_and_version() -> None:
    assert machemu("--version").stdout.startswith(b"machemu ")
    assert b"--until TEXT" in machemu("boot", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to boot"),
        (["/no/such/module.elf"], "/no/such/module.elf"),
        ([ROOT], "is a directory"),
        ([ROOT / "README.md"], "README.md: is no ELF executable"),
        ([HELLO, "--profile", "vax"], "there is no profile 'vax': choose one of mc68040-25, pc486-33"),
        ([HELLO, "--profile", "/no/such.toml"], "cannot be read as a profile"),
        ([HELLO, "--memory", "lots"], "'lots' is no size"),
        ([HELLO, "--memory", "1K"], "a machine has between 1M and 2G"),
        ([HELLO, "--for", "soon"], "'soon' is no time"),
        ([HELLO, "--input", "/no/such/input"], "/no/such/input: cannot be read"),
        ([HELLO, "--disk", "hd0"], "write NAME=FILE"),
        ([HELLO, "--disk", "hd0=,writable"], "write NAME=FILE"),
        ([HELLO, "--disk", "hd0=/no/such/image"], "/no/such/image: cannot be read as a disk image"),
        ([HELLO, "--disk", f"hd0={CONFORMANCE},writable"], f"{CONFORMANCE}: cannot be written as a disk image"),
        ([HELLO, "--disk", f"hd0={CONFORMANCE / 'frame.c'}"], "a disk image is whole sectors"),
        ([HELLO, "--disk", "hd9=/dev/null"], "/dev/null: is no file"),
        (["--load", "x", "--disk", "hd0=/dev/null"], "/dev/null: is no file"),
        ([HELLO, "--trace-file", "/no/such/place/trace"], "/no/such/place/trace: cannot be written"),
        ([HELLO, "--save", "/no/such/place/machine"], "/no/such/place/machine"),
        (["--load", "/no/such/machine"], "/no/such/machine: cannot be read"),
        (["--load", HELLO], "is no saved machine"),
        ([HELLO, "--load", "x"], "--load goes on with a saved machine"),
        (["--script", "/no/such/script"], "/no/such/script: cannot be read as a boot script"),
        (["--module", f"{HELLO}"], "the boot script starts no task"),
        (["--module", f"{HELLO} ${{oops $(task-create)"], "line 1"),
        (["--module", f"{HELLO} ${{nothing}} $(task-create) $(task-resume)"], "undefined symbol 'nothing'"),
        ([HELLO, "--variable", "novalue"], "write NAME=VALUE"),
    ],
)
def test_a_mistake_of_the_user_s_is_one_clear_line_and_exit_status_2(arguments: list[object], message: str) -> None:
    done = boot(*arguments)
    assert done.returncode == 2, done.stderr
    text = done.stderr.decode()
    assert message in text
    assert "Traceback" not in text
    assert text.startswith("machemu: ") and text.count("\n") == 1


@pytest.mark.slow
def test_programs_for_another_machine_than_the_one_named_or_each_other_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.elf"
    other.write_bytes(elf_for(M68K, Part(0x1000, b"\x4e\x71")))
    for arguments, message in (
        ([other, "--profile", "pc486-33"], f"{other}: is a program for m68k, and the machine is an i386"),
        (
            ["--module", f"{HELLO} $(task-create)", "--module", f"{other} $(task-create)"],
            f"the boot script has programs for different machines: {HELLO} for i386, {other} for m68k",
        ),
    ):
        done = boot(*arguments)
        assert (done.returncode, done.stderr.decode()) == (2, f"machemu: {message}\n")


@pytest.mark.slow
def test_a_saved_machine_of_another_version_is_refused(arch: Arch, tmp_path: Path) -> None:
    saved = tmp_path / "machine"
    assert boot(image(arch, "hello"), "--save", saved).returncode == 0
    head, rest = saved.read_bytes().split(b"\n", 1)
    saved.write_bytes(head.rpartition(b" ")[0] + b" 99\n" + rest)
    done = boot("--load", saved)
    assert done.returncode == 2
    assert b"was saved by another version of machemu, in format 99, and this one reads format" in done.stderr


@pytest.mark.parametrize("cut", [10, 100, 1000, -5])
@pytest.mark.slow
def test_a_damaged_saved_machine_is_refused(arch: Arch, cut: int, tmp_path: Path) -> None:
    saved = tmp_path / "machine"
    boot(image(arch, "hello"), "--save", saved)
    saved.write_bytes(saved.read_bytes()[:cut])
    done = boot("--load", saved)
    assert done.returncode == 2
    assert b"is damaged" in done.stderr or b"is no saved machine" in done.stderr


LINES = b"hello\nMach 3.0\nquit\n"


def test_the_console_reads_standard_input(arch: Arch) -> None:
    done = boot(image(arch, "echo"), "--until", "END", stdin=LINES)
    assert (done.returncode, done.stdout) == (0, (IMAGES / "src" / "echo.expected").read_bytes())


def test_the_console_reads_a_file(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(LINES)
    done = boot(image(arch, "echo"), "--until", "END", "--input", path, stdin=b"not this\n")
    assert done.stdout == (IMAGES / "src" / "echo.expected").read_bytes()


@pytest.mark.slow
def test_a_machine_that_waits_for_input_can_be_saved(arch: Arch, tmp_path: Path) -> None:
    """The read under way is part of the machine: it is answered after the load."""
    saved = tmp_path / "machine"
    first = boot(image(arch, "echo"), "--save", saved, stdin=b"")
    assert first.returncode == 0
    assert first.stdout == b""
    done = boot("--load", saved, "--until", "END", stdin=LINES)
    assert done.stdout == (IMAGES / "src" / "echo.expected").read_bytes()


@pytest.mark.slow
def test_a_disk_s_image_is_changed_only_where_it_is_writable(arch: Arch, tmp_path: Path) -> None:
    disk_image = tmp_path / "image"
    disk_image.write_bytes(testdisk.image())
    kept = boot(module(arch, "disk"), "--disk", f"hd0={disk_image}", "--until", "END")
    assert (kept.returncode, kept.stdout) == (0, transcript_of(module(arch, "disk")).read_bytes())
    assert disk_image.read_bytes() == testdisk.image()
    done = boot(module(arch, "disk"), "--disk", f"hd0={disk_image},writable", "--until", "END")
    assert done.stdout == kept.stdout
    assert disk_image.read_bytes() != testdisk.image()


@pytest.mark.slow
def test_a_saved_machine_s_disk_is_named_again(arch: Arch, tmp_path: Path) -> None:
    disk_image, saved = tmp_path / "image", tmp_path / "saved"
    disk_image.write_bytes(testdisk.image())
    first = boot(module(arch, "disk"), "--disk", f"hd0={disk_image}", "--traps", "400", "--save", saved)
    without = boot("--load", saved, "--until", "END")
    assert (without.returncode, b"name it with --disk hd0=FILE" in without.stderr) == (2, True)
    second = boot("--load", saved, "--disk", f"hd0={disk_image}", "--until", "END")
    assert first.stdout + second.stdout == transcript_of(module(arch, "disk")).read_bytes()


def test_disks_have_different_names_of_the_right_form(arch: Arch, tmp_path: Path) -> None:
    disk_image = tmp_path / "image"
    disk_image.write_bytes(bytes(512))
    twice = boot(image(arch, "hello"), "--disk", f"hd0={disk_image}", "--disk", f"hd0={disk_image}")
    assert (twice.returncode, b"there is already a disk hd0" in twice.stderr) == (2, True)
    odd = boot(image(arch, "hello"), "--disk", f"floppy={disk_image}")
    assert (odd.returncode, b"no device 'floppy'" in odd.stderr) == (2, True)


@pytest.mark.slow
def test_what_a_pc_prints_is_in_a_file(tmp_path: Path) -> None:
    paper, disk = tmp_path / "paper", tmp_path / "disk"
    done = boot(CONFORMANCE / "i386" / "printer.elf", "--printer", paper)
    assert (done.returncode, paper.read_bytes()) == (0, b"Printed.\n")
    disk.write_bytes(bytes(512))
    lost = boot(CONFORMANCE / "i386" / "printer.elf", "--printer", disk, "--disk", f"hd0={disk}")
    assert (lost.returncode, b"this run reads it" in lost.stderr, disk.read_bytes()) == (2, True, bytes(512))
    nowhere = boot(CONFORMANCE / "i386" / "printer.elf", "--printer", tmp_path / "none" / "paper")
    assert (nowhere.returncode, b"none/paper" in nowhere.stderr) == (2, True)
    none = boot(CONFORMANCE / "m68k" / "printer.elf", "--printer", paper)
    assert (none.returncode, b"a machine of m68k has no printer" in none.stderr) == (2, True)
    assert paper.read_bytes() == b"Printed.\n"


@pytest.mark.parametrize(
    ("disk", "size", "said"),
    [
        ("hd2={},writable", 4096, b"hd2: a CD is not written: give it without 'writable'"),
        ("hd2={}", 512, b"hd2: has 512 bytes: a CD is whole blocks of 2048 bytes, two at least"),
        ("hd2={}", 4608, b"hd2: has 4608 bytes: a CD is whole blocks"),
        ("sd0={}", 4096, b"sd0: takes no CD: one is in a drive such as hd2"),
    ],
)
def test_what_can_be_no_cd_is_refused(arch: Arch, disk: str, size: int, said: bytes, tmp_path: Path) -> None:
    (tmp_path / "cd.iso").write_bytes(bytes(size))
    refused = boot(image(arch, "hello"), "--disk", disk.format(tmp_path / "cd.iso"))
    assert (refused.returncode, said in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [(0, 0, b"restarts"), (0x8, 0, b"halted: host_reboot with options 0x8"), (0x1000, 1, b"died: host_reboot")],
)
@pytest.mark.slow
def test_a_guest_ends_the_run_by_host_reboot(arch: Arch, options: int, status: int, said: bytes, tmp_path: Path) -> None:
    """The privileged host port is the module's first right."""
    message = arch.pack("8I", 19, 32, 1, 0, 0, 2635, arch.integer, options)
    code = arch.trap(25, 0x4000, 1, 32, 0, 0, 0, 0) + arch.stay
    (tmp_path / "end.elf").write_bytes(elf_for(arch, Part(0x1000, code), Part(0x4000, message)))
    done = boot(tmp_path / "end.elf", "--save", tmp_path / "saved")
    assert (done.returncode, said in done.stderr) == (status, True)
    again = boot("--load", tmp_path / "saved")
    assert (again.returncode, again.stderr) == (done.returncode, done.stderr)


@pytest.mark.slow
def test_a_place_where_nothing_can_be_saved_is_refused_before_the_run(arch: Arch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name, what in (("fifo", b"a FIFO"), ("link", b"a FIFO"), (".", b"a directory")):
        done = boot(image(arch, "hello"), "--save", tmp_path / name)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"cannot be written: it is " + what in done.stderr
    assert (tmp_path / "fifo").is_fifo() and (tmp_path / "link").is_symlink()


@pytest.mark.slow
def test_one_image_is_not_two_disks_of_which_one_is_written(arch: Arch, tmp_path: Path) -> None:
    disk_image = tmp_path / "image"
    disk_image.write_bytes(testdisk.image())
    (tmp_path / "other").hardlink_to(disk_image)
    done = boot(image(arch, "hello"), "--disk", f"hd0={disk_image},writable", "--disk", f"hd1={tmp_path / 'other'}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"other: cannot be a disk to be read: this machine or cluster has it as a disk already" in done.stderr
    done = boot(image(arch, "hello"), "--disk", f"hd0={disk_image}", "--disk", f"hd1={tmp_path / 'other'}")
    assert done.returncode == 0


@pytest.mark.slow
def test_the_console_reads_a_fifo(arch: Arch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=lambda: (tmp_path / "fifo").write_bytes(LINES))
    writer.start()
    done = boot(image(arch, "echo"), "--input", tmp_path / "fifo", "--until", "END")
    writer.join()
    assert done.stdout == boot(image(arch, "echo"), "--until", "END", stdin=LINES).stdout
