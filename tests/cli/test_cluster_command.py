"""`machemu cluster` as people use it: the view, the options, exit statuses, and what it says when something is wrong."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.sim.saved import FORMAT
from machemu.ui.timeline import LINE_MAX, Lines, TextLines, Timeline
from tests.support.clusters import PORTS, ROOT, START, fault, node
from tests.support.elves import Part, elf_for
from tests.support.guests import I386
from tests.support.pcapng import read_pcapng

SEGMENT = "[segments.lan]\n"
TWO = SEGMENT + node("asker", "ask", 3, 2) + node("answerer", "answer", machine="m68k")
"""Two nodes; the first question comes too early."""
CONSOLES = """\
asker    | device_set_filter -> 00000000
answerer | device_set_filter -> 00000000
answerer | question 1 from node 1
asker    | answer 1 from node 2, asked 2
answerer | question 2 from node 1
asker    | answer 2 from node 2, asked 1
answerer | question 3 from node 1
asker    | answer 3 from node 2, asked 1
asker    | END
"""


def write(folder: Path, text: str = TWO) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text.replace("images/", f"{ROOT}/images/"))
    return path


def cluster(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "machemu", "cluster", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120, stdin=subprocess.DEVNULL)


def test_the_consoles_are_shown_in_the_order_of_time_with_the_nodes_names(tmp_path: Path) -> None:
    done = cluster(write(tmp_path))
    assert (done.returncode, done.stdout) == (0, CONSOLES)
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"machemu: nothing can happen any more at 0\.10\d* s, after 7 frames", lines[0])
    assert re.fullmatch(r"asker: waits since 0\.10\d* s, 4 frames sent", lines[1])
    assert re.search(r"  task 1 \(.*ether.elf\) thread 1: receives on port", lines[2])


@pytest.mark.slow
def test_until_and_for_stop_a_run(tmp_path: Path) -> None:
    path = write(tmp_path)
    done = cluster(path, "--until", "answer 2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == CONSOLES.splitlines()[:6]
    never = cluster(path, "--until", "Goodbye")
    assert never.returncode == 1
    assert "no console ever printed a line with 'Goodbye'" in never.stderr
    short = cluster(path, "--for", "50ms")
    assert (short.returncode, short.stdout.splitlines()) == (0, CONSOLES.splitlines()[:2])
    assert short.stderr.startswith("machemu: stopped at 0.05 s, after 1 frame")


@pytest.mark.slow
def test_a_trace_is_of_all_nodes_or_of_those_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    every = cluster(path, "--trace-file", tmp_path / "trace", "--for", "102ms")
    assert every.returncode == 0
    lines = (tmp_path / "trace").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"asker", "answerer"}
    assert any("device_write" in line for line in lines)
    one = cluster(path, "--trace-node", "answerer", "--for", "102ms")
    traced = [line for line in one.stderr.splitlines() if " = " in line]
    assert traced
    assert all(re.match(r"answerer \|    0\.\d{9} task 1 \(ether.elf\) thread 1 ", line) for line in traced)
    assert "device_open(" in cluster(path, "--trace", "--for", "1ms").stderr


@pytest.mark.slow
def test_times_and_events_are_shown_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path, TWO.replace(SEGMENT, SEGMENT + "loss = 0.2\n") + fault("102ms", "crash", node="answerer"))
    plain, timed, told = (cluster(path, "--for", "150ms", *options) for options in ((), ("--times",), ("--events",)))
    both = cluster(path, "--for", "150ms", "--times", "--events")
    lines = timed.stdout.splitlines()
    assert all(re.match(r"(asker|answerer) +\|    0\.\d{9} ", line) for line in lines)
    assert [re.sub(r"(\|)    0\.\d{9}", r"\1", line) for line in lines] == plain.stdout.splitlines()
    assert [line[12:] for line in lines] == sorted(line[12:] for line in lines)
    more = [line for line in told.stdout.splitlines() if line not in plain.stdout.splitlines()]
    assert "answerer | -- crash, at 0.102 s" in more
    assert all(
        re.match(r"lan      \| -- frame \d+ is lost to \w+ eth0: loss, at 0\.1\d* s$", line)
        for line in more
        if "crash" not in line
    )
    assert [line for line in told.stdout.splitlines() if line not in more] == plain.stdout.splitlines()
    assert "answerer |    0.102000000 -- crash" in both.stdout.splitlines()


@pytest.mark.slow
def test_a_trace_says_what_befell_nodes_and_frames_unless_it_is_about_something_else(tmp_path: Path) -> None:
    path = write(tmp_path, TWO.replace(SEGMENT, SEGMENT + "loss = 1.0\n") + fault("50ms", "heal", segment="lan"))
    every = cluster(path, "--trace", "--for", "200ms").stderr.splitlines()
    assert f"lan      |    0.050000000 cluster{' ' * 24}heal" in every
    assert any("frame 1 is lost to answerer eth0: loss" in line for line in every)
    one = cluster(path, "--trace-node", "answerer", "--for", "200ms").stderr
    assert "heal" not in one and "frame 1 is lost to answerer" in one
    assert "cluster " not in cluster(path, "--trace-trap", "mach_msg", "--for", "200ms").stderr


@pytest.mark.slow
def test_digests_are_equal_however_a_run_is_saved_and_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, TWO.replace(SEGMENT, SEGMENT + "loss = 0.1\n"))
    whole = cluster(path, "--for", "300ms", "--digest", "--pcap", tmp_path / "whole")
    digest = whole.stderr.splitlines()[-1]
    assert re.fullmatch(r"digest [0-9a-f]{64}", digest)
    assert cluster(path, "--for", "300ms", "--digest").stderr.splitlines()[-1] == digest
    first = cluster(path, "--for", "102ms", "--save", tmp_path / "saved", "--pcap", tmp_path / "first")
    assert first.returncode == 0
    second = cluster(path, "--load", tmp_path / "saved", "--for", "198ms", "--digest", "--pcap", tmp_path / "second")
    assert second.stderr.splitlines()[-1] == digest
    assert first.stdout + second.stdout == whole.stdout
    frames = [read_pcapng((tmp_path / name).read_bytes())[1] for name in ("whole", "first", "second")]
    assert frames[0] == frames[1] + frames[2]


@pytest.mark.slow
def test_the_seed_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 3\n" + TWO)
    digests = [
        cluster(path, "--for", "1ms", "--digest", *seed).stderr.splitlines()[-1] for seed in ((), ("--seed", 3), ("--seed", 4))
    ]
    assert digests[0] == digests[1] != digests[2]


def ending(options: int) -> bytes:
    """A program that ends its machine by host_reboot, in a task whose first right is the host's privileged port."""
    message = I386.pack("8I", 19, 32, 1, 0, 0, 2635, I386.integer, options)
    code = I386.trap(25, 0x4000, 1, 32, 0, 0, 0, 0) + I386.stay
    return elf_for(I386, Part(0x1000, code), Part(0x4000, message))


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [(0x8, 0, "one: the machine is halted: host_reboot"), (0x1000, 1, "one: the kernel died: host_reboot")],
)
def test_a_node_may_end_and_the_others_go_on(options: int, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "end.elf").write_bytes(ending(options))
    text = f"[nodes.one]\nmodule = '{tmp_path}/end.elf'\n" + SEGMENT + node("two", program="hello")
    done = cluster(write(tmp_path, text))
    assert (done.returncode, done.stdout) == (status, "two | Hello from a Mach task.\n")
    assert said in done.stderr


@pytest.mark.slow
def test_a_node_that_restarts_itself_boots_anew(tmp_path: Path) -> None:
    """As often as it ends; the other program is never reached."""
    (tmp_path / "end.elf").write_bytes(ending(0))
    lines = f"['images/i386/hello.elf {PORTS} {START}', '{tmp_path}/end.elf {PORTS} {START}']"
    done = cluster(write(tmp_path, f"[nodes.one]\nmodules = {lines}\n"), "--for", "2ms", "--digest")
    assert done.returncode == 0
    assert done.stdout.count("one | Hello from a Mach task.\n") > 3
    again = cluster(write(tmp_path, f"[nodes.one]\nmodules = {lines}\n"), "--for", "2ms", "--digest")
    assert again.stderr == done.stderr


def test_a_console_reads_its_node_s_input(tmp_path: Path) -> None:
    (tmp_path / "typed").write_bytes(b"hello\nquit\n")
    text = f"[nodes.one]\nmodules = ['images/m68k/echo.elf {PORTS} {START}']\ninput = 'typed'\n"
    done = cluster(write(tmp_path, text), "--until", "END")
    assert (done.returncode, done.stdout) == (0, "one | you said HELLO\none | you said QUIT\none | END\n")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (TWO, ["--for", "soon"], "'soon' is no time"),
        (TWO, ["--save", "/no/such/place/cluster"], "/no/such/place/cluster: cannot be written"),
        (TWO, ["--load", "/no/such/cluster"], "/no/such/cluster: cannot be read"),
        (TWO, ["--load", "README.md"], "README.md: is no saved cluster"),
        (TWO, ["--load", "x", "--seed", "1"], "--load goes on with a saved cluster"),
        (TWO, ["--seed", "-1"], "--seed -1: a seed is"),
        (TWO, ["--trace-node", "nobody"], "--trace-node nobody: there is no such node; there are asker, answerer"),
        (TWO, ["--trace-file", "/no/such/place/trace"], "/no/such/place/trace: cannot be written"),
        (TWO, ["--pcap", "/no/such/place/frames"], "/no/such/place/frames: cannot be written"),
        (TWO + "colour = 1\n", [], "cluster.toml: nodes.answerer.colour: there is no such key"),
        (TWO + "disks = { hd0 = 'nothing' }\n", [], "node answerer: "),
        (TWO + "servers = ['no.such:Server']\n", [], "node answerer: server no.such:Server: cannot be imported"),
        (TWO + "servers = ['machemu.abi.errors:Nothing']\n", [], "machemu.abi.errors has no server Nothing"),
        (TWO.replace("${host-port}", "${nothing}"), [], "node asker: boot script line 1: undefined symbol 'nothing'"),
    ],
)
def test_a_mistake_of_the_user_s_is_one_clear_line_and_exit_status_2(
    text: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = cluster(write(tmp_path, text), *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("machemu: ") and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_file_that_is_not_there_is_named() -> None:
    done = cluster("/no/such.toml")
    assert (done.returncode, done.stderr) == (2, "machemu: /no/such.toml: cannot be read: No such file or directory\n")


@pytest.mark.slow
def test_a_saved_machine_is_no_cluster_and_a_cluster_no_machine(tmp_path: Path) -> None:
    path, saved = write(tmp_path), tmp_path / "saved"
    command = [sys.executable, "-m", "machemu", "boot"]
    subprocess.run([*command, "images/i386/hello.elf", "--save", saved], cwd=ROOT, check=True, capture_output=True)
    done = cluster(path, "--load", saved)
    said = f"machemu: {saved}: is a saved machine, which `machemu boot --load FILE` takes; a saved cluster is wanted here\n"
    assert (done.returncode, done.stderr) == (2, said)
    done = cluster(saved)
    said = f"machemu: {saved}: is no cluster file but a saved machine or cluster: --load goes on with it\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert cluster(path, "--for", "1ms", "--save", saved).returncode == 0
    later = tmp_path / "later"
    later.write_bytes(saved.read_bytes().replace(b" %d\n" % FORMAT, b" 99\n", 1))
    refused = cluster(path, "--load", later)
    said = f"machemu: {later}: was saved by another version of machemu, in format 99, and this one reads format {FORMAT}: "
    assert (refused.returncode, refused.stderr) == (2, said + "boot anew, or load it with that version\n")
    other = subprocess.run([*command, "--load", saved], cwd=ROOT, check=False, capture_output=True, text=True)
    said = f"machemu: {saved}: is a saved cluster, which `machemu cluster CLUSTERFILE --load FILE` takes"
    assert (other.returncode, other.stderr) == (2, f"{said}; a saved machine is wanted here\n")
    other = subprocess.run([*command, saved], cwd=ROOT, check=False, capture_output=True, text=True)
    said = f"machemu: {saved}: is no program but a saved machine or cluster: --load goes on with it\n"
    assert (other.returncode, other.stderr) == (2, said)


def test_a_restart_whose_program_has_gone_ends_the_run(tmp_path: Path) -> None:
    """The view is the only thing that is there to tell."""
    path = write(tmp_path, TWO + fault("1s", "restart", node="asker"))
    assert cluster(path).returncode == 0
    moved = tmp_path / "ether.elf"
    moved.write_bytes((ROOT / "images/i386/ether.elf").read_bytes())
    path.write_text(path.read_text().replace(f"{ROOT}/images/i386/ether.elf", "ether.elf"))
    from machemu.cluster.cluster import Cluster
    from machemu.cluster.file import load_file

    with Cluster(load_file(path)) as loaded:
        loaded.boot()
        loaded.run(500_000_000)
        moved.unlink()
        with pytest.raises(UserError, match=r"node asker: .*ether.elf: cannot be read"):
            loaded.run()


def view(colour: bool = False) -> tuple[io.BytesIO, Timeline]:
    out = io.BytesIO()
    return out, Timeline(out, ["a", "long"], colour)


def test_lines_wait_until_nothing_earlier_can_come() -> None:
    out, timeline = view()
    now = 5
    first, second = (Lines(timeline, number, lambda: now) for number in (1, 2))
    first.write(b"later\r\nunfin")
    now = 3
    TextLines(second).write("earlier\nand more\n")
    timeline.reached(3)
    assert out.getvalue() == b""
    timeline.reached(4)
    assert out.getvalue() == b"long | earlier\nlong | and more\n"
    first.write(b"x" * LINE_MAX)
    second.finish()
    first.finish()
    timeline.finish()
    rest = out.getvalue().split(b"\n", 2)[2]
    assert rest == b"a    | unfin" + b"x" * LINE_MAX + b"\na    | later\n"


def test_colours_are_for_terminals() -> None:
    out, timeline = view(True)
    timeline.add(1, 2, b"text")
    timeline.finish()
    assert out.getvalue() == b"\x1b[33mlong | \x1b[0mtext\n"


@pytest.mark.slow
def test_more_tasks_than_the_memory_has_room_for_are_a_mistake_of_the_user_s(tmp_path: Path) -> None:
    line = "images/i386/hello.elf $(task-create) $(task-resume)"
    many = {
        f"modules = {[line] * 300}": f"node one: {ROOT}/images/i386/hello.elf",
        f"servers = {['tests.support.faulty:Quiet'] * 300}": "node one: server tests.support.faulty:Quiet",
    }
    for tasks, what in many.items():
        done = cluster(write(tmp_path, f'[nodes.one]\nprofile = "pc486-33"\nmemory = "1M"\n{tasks}\n'))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"machemu: {what}: does not fit into the machine's memory (")
