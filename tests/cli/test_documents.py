"""README and the pages that it links are true: their options, their transcript, their files, their commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.cluster.lan import Properties
from machemu.cluster.schedule import KINDS
from machemu.export.json_lines import FIELDS
from machemu.machine import profile
from machemu.trace.words import exception_text
from machemu.ui.commands import parser
from machemu.ui.status import Status
from tests.support.name_servers import both_places, skip_guest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "images/README.md",
    *sorted(f"lessons/{page.name}" for page in (ROOT / "lessons").glob("*.md")),
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)
CLUSTER = (ROOT / "docs" / "cluster.md").read_text()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, check=False, stdin=subprocess.DEVNULL
    )


def boot_options() -> set[str]:
    """Every long option of `machemu boot`."""
    help_text = run("-m", "machemu", "boot", "--help").stdout
    return set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}


def test_the_readme_names_every_option_and_no_other() -> None:
    described = set(re.findall(r"(--[a-z][a-z-]+)", README)) - {"--check", "--quick", "--cpu"}
    assert described == boot_options()
    assert parser().prog == "machemu"


def test_the_readme_s_transcript_is_what_the_program_prints() -> None:
    """Line by line, in order."""
    transcript = README.split("```text\n")[1].split("```")[0].splitlines()
    done = run("-m", "machemu", "boot", "images/i386/pingpong.elf", "--trace")
    printed = iter([*done.stderr.splitlines(), *done.stdout.splitlines()])
    trace = [line for line in transcript if line.startswith(" ")]
    assert len(trace) > 5
    assert all(line in printed for line in trace)
    assert all(line in done.stdout.splitlines() for line in transcript if not line.startswith(" "))


def test_the_readme_s_default_pager_runs_beside_another_program(tmp_path: Path) -> None:
    disk = tmp_path / "paging.img"
    disk.write_bytes(bytes(16 << 20))
    modules = re.findall(r"--module '(images/[^']+)'", README)
    assert len(modules) == 2
    given = [part for module in modules for part in ("--module", module)]
    done = run("-m", "machemu", "boot", "--disk", f"hd0={disk}", *given, "--for", "1s")
    assert "default pager: 4096 pages on hd0\n" in done.stdout, done.stderr
    assert "hello" in done.stdout.lower()


@pytest.mark.slow
def test_the_cluster_page_s_file_and_transcript_are_real() -> None:
    source = (ROOT / "images" / "two.toml").read_text()
    assert source.split("\n", 1)[1].strip() == CLUSTER.split("```toml\n")[1].split("```")[0].strip()
    done = run("-m", "machemu", "cluster", "images/two.toml")
    assert done.returncode == 0
    assert CLUSTER.split("```text\n")[1].split("```")[0] == done.stdout + done.stderr
    told = run("-m", "machemu", "cluster", "images/two.toml", "--times", "--events")
    assert CLUSTER.split("```text\n")[2].split("```")[0] in told.stdout


def test_the_cluster_page_s_partial_partition_is_real() -> None:
    chapter = CLUSTER.split("### Partial partitions\n")[1].split("\n## ")[0]
    assert chapter.split("```toml\n")[1].split("```")[0] in (ROOT / "images" / "partial.toml").read_text()
    told = run("-m", "machemu", "cluster", "images/partial.toml", "--times", "--events")
    assert chapter.split("```text\n")[1].split("```")[0] in told.stdout


@both_places
def test_the_masix_page_s_transcript_is_real(place: str) -> None:
    skip_guest(place, "Lines in the trace")
    done = run("-m", "machemu", "cluster", "images/greet.toml", "--trace")
    assert done.returncode == 0
    printed = {line for line in (done.stdout + done.stderr).splitlines()}
    transcript = (ROOT / "docs" / "masix.md").read_text().split("```text\n")[1].split("```")[0].splitlines()
    assert [line for line in transcript if line not in printed] == []
    assert [step for step in range(2, 10) if not any(f"step {step}:" in line for line in transcript)] == []


@pytest.mark.slow
def test_the_masix_page_s_guest_prints_what_the_server_in_python_does(tmp_path: Path) -> None:
    chapter = (ROOT / "docs" / "masix.md").read_text().split("## Write a server as a guest\n")[1].split("\n## ")[0]
    cluster, mig, build = (block.split("```")[0].split() for block in chapter.split("```sh\n")[1:])
    assert build == ["python3", "tools/dev.py", "images", "acs"]
    assert cluster[0] == "machemu"
    in_python, in_c = (run("-m", "machemu", "cluster", name) for name in ("images/greet.toml", cluster[-1]))
    assert in_c.returncode == 0, in_c.stderr
    assert in_c.stdout == in_python.stdout != ""
    done = run(*mig[1:-3], str(tmp_path / "acs_server.c"), mig[-2], str(tmp_path / mig[-1]))
    assert done.returncode == 0, done.stderr
    assert "do_acs_register(" in (tmp_path / "acs_server.h").read_text()


def test_the_cluster_page_names_every_option_key_and_fault() -> None:
    help_text = run("-m", "machemu", "cluster", "--help").stdout
    options = set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}
    assert set(re.findall(r"(--[a-z][a-z-]+)", CLUSTER)) == options
    for kind in KINDS:
        assert f"`{kind}`" in CLUSTER
    for key in (
        *Properties._fields,
        "profile",
        "memory",
        "modules",
        "script",
        "variables",
        "disks",
        "nics",
        "servers",
        "privileged",
        "input",
        "seed",
        "key",
    ):
        assert f"`{key}`" in CLUSTER, key


@pytest.mark.slow
def test_the_traces_page_s_commands_print_its_transcripts() -> None:
    page = (ROOT / "docs" / "traces.md").read_text()
    shown = re.findall(r"```sh\n(machemu [^\n]*)\n```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(shown) == page.count("```text")
    for command, transcript in shown:
        done = run("-m", *command.split())
        assert done.returncode == 0
        assert transcript in done.stderr, command


@pytest.mark.slow
def test_the_traces_page_s_other_commands_write_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "traces.md").read_text()
    commands = re.findall(r"^(machemu cluster .*--trace-file) (\S+)$", page, re.MULTILINE)
    assert [name for _, name in commands] == ["greet.jsonl", "greet.pftrace"]
    for command, name in commands:
        assert run("-m", *command.split(), str(tmp_path / name)).returncode == 0
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_traces_page_names_every_event_s_fields() -> None:
    page = (ROOT / "docs" / "traces.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z]\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == {kind.__name__ for kind in FIELDS}
    for kind, names in FIELDS.items():
        assert [name for name in names if f"`{name}`" not in rows[kind.__name__]] == []


def test_the_traces_page_names_every_option() -> None:
    page = (ROOT / "docs" / "traces.md").read_text()
    both = boot_options() | set(re.findall(r"--trace[a-z-]*", run("-m", "machemu", "cluster", "--help").stdout))
    assert [option for option in both if option.startswith("--trace") and f"`{option}" not in page] == []


def test_every_exit_status_is_described() -> None:
    page = (ROOT / "docs" / "exit-status.md").read_text()
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [str(int(status)) for status in Status]
    line = page.split("```text\n")[1].split("```")[0]
    assert exception_text(1, 1, 0x10) in line and "(partition+0x24): nobody handles it, and the task ends\n" in line


def test_every_profile_is_in_the_readme() -> None:
    for name in profile.names():
        assert f"`{name}`" in README


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    place = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert target.startswith("http") or (place / target).exists(), target


@pytest.mark.slow
def test_the_demo_shows_the_console_and_a_trace() -> None:
    done = run("tools/dev.py", "demo")
    assert done.returncode == 0, done.stderr
    assert "ping 1\n" in done.stdout
    assert "device_write_inband(" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "chapter", "count"),
    [
        ((), "# Speed", 9),
        (("--curves",), "## How it grows", 5),
        (("--cluster",), "## Clusters", 7),
        (("--network",), "## The network servers' transport", 4),
        (("--transfer",), "## Memory between nodes", 2),
        (("--travel",), "## Going back", 3),
    ],
)
def test_the_benchmark_measures_what_its_page_says(option: tuple[str, ...], chapter: str, count: int) -> None:
    done = run("-m", "tools.bench", "--smoke", *option)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "speed.md").read_text().split(f"{chapter}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (?:[\d,]{4,} )?([^|]+?) \| [\d.]", page, re.MULTILINE)
    assert len(rows) == count
    for row in rows:
        what = row.replace("`", "")
        assert (what.split(":")[0].split(",")[0] if option else what) in done.stdout, row


@pytest.mark.slow
@pytest.mark.real_kernel
def test_the_benchmark_beside_the_real_kernel_measures_what_its_page_says() -> None:
    done = run("-m", "tools.bench", "--smoke", "--peer")
    if done.returncode == 2:
        pytest.skip(done.stderr)
    page = (ROOT / "docs" / "speed.md").read_text().split("## Beside GNU Mach in QEMU\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| [\d.]", page, re.MULTILINE)
    assert len(rows) == 8
    for row in rows:
        assert row.replace("`", "") in done.stdout, row


@pytest.mark.slow
def test_the_fuzzing_page_names_every_option_and_its_command_finds_nothing() -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    options = set(re.findall(r"--[a-z]+", run("-m", "tools.fuzz", "--help").stdout)) - {
        "--help",
        "--cpu",
        "--traps",
        "--oracle",
        "--reference",
        "--floats",
        "--saved",
        "--cluster",
    }
    assert set(re.findall(r"^\| `(--[a-z]+)", page, re.MULTILINE)) == options
    [command] = re.findall(r"^    python3 (tools/dev.py fuzz --traps.*)$", page, re.MULTILINE)
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^i386: 2 machines .* 0 finds$", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_fuzzing_page_s_clusters_have_nothing_wrong() -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    [command] = re.findall(r"^    python3 (tools/dev.py fuzz --cluster.*)$", page, re.MULTILINE)
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 clusters, 0 with something wrong" in done.stdout


@pytest.mark.slow
def test_the_fuzzing_page_s_comparison_with_the_real_kernel_finds_nothing() -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    [command] = re.findall(r"^    python3 (tools/dev.py fuzz --oracle.*)$", page, re.MULTILINE)
    done = run(*command.split())
    if done.returncode == 2:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 programs, 0 differ from the real kernel" in done.stdout


@pytest.mark.slow
def test_the_fuzzing_page_s_comparison_with_the_host_finds_nothing() -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    [command] = re.findall(r"^    python3 (tools/dev.py fuzz --reference.*)$", page, re.MULTILINE)
    done = run(*command.split())
    if done.returncode == 2:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "i386: 2000 cases of 2000 encodings" in done.stdout


@pytest.mark.slow
def test_the_fuzzing_page_s_comparison_of_floating_point_finds_nothing() -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    [command] = re.findall(r"^    python3 (tools/dev.py fuzz --floats.*)$", page, re.MULTILINE)
    done = run(*command.split())
    if done.returncode == 2:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "m68k: 2000 floating-point instructions" in done.stdout
