"""Commands that other packages add by entry points, and what becomes of those that are broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.ui.commands import parser
from tests.support.guests import I386
from tests.support.machine import IMAGES, image

ROOT = IMAGES.parent
PAGE = (ROOT / "docs" / "commands.md").read_text()
MODULE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
BROKEN = """
def silent(parser):
    parser.add_argument("--loud")

def noisy(parser):
    raise ValueError("100% broken")

number = 7
"""


def install(folder: Path, package: str, **commands: str) -> None:
    """A package as pip leaves it, with entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in commands.items())
    (info / "entry_points.txt").write_text(f"[machemu.commands]\n{lines}")


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
    return subprocess.run(
        [sys.executable, "-m", "machemu", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the page's package is installed."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    (tmp_path / "mypackage" / "commands.py").write_text(MODULE)
    (value,) = re.findall(r'count = "(.*)"', PAGE)
    install(tmp_path, "mypackage", count=value)
    return tmp_path


def test_the_page_s_command_is_listed_and_runs(folder: Path) -> None:
    done = run(folder, "--help")
    assert done.returncode == 0
    assert re.search(r"^ +count +count the nodes of a cluster file$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +cluster +run several", done.stdout, re.MULTILINE)
    done = run(folder, "count", "images/greet.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 nodes\n", "")


def test_its_mistakes_are_told_as_those_of_any_command(folder: Path) -> None:
    done = run(folder, "count", "nothing.toml")
    assert (done.returncode, done.stderr) == (2, "machemu: nothing.toml: cannot be read: No such file or directory\n")
    done = run(folder, "cuont")
    assert done.returncode == 2 and "invalid choice: 'cuont'" in done.stderr and "'count'" in done.stderr


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere:command", "nowhere:command of other 1.0 cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
        ("broken:nothing", "broken:nothing of other 1.0 cannot be loaded: AttributeError: "),
        ("crash:command", "crash:command of other 1.0 cannot be loaded: ZeroDivisionError: "),
        ("ends:command", "ends:command of other 1.0 cannot be loaded: SystemExit: 5"),
        ("broken:number", "broken:number of other 1.0 is no function that takes a parser"),
        ("broken:noisy", "broken:noisy of other 1.0 cannot add its options: ValueError: 100% broken"),
        ("broken:silent", "broken:silent of other 1.0 gives no function that runs the command"),
        ("not an entry point", "not an entry point of other 1.0 cannot be loaded: "),
    ],
)
def test_one_that_is_broken_is_named_with_its_package(
    value: str, why: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.py").write_text(BROKEN)
    (folder / "crash.py").write_text("1 / 0\n")
    (folder / "ends.py").write_text("raise SystemExit(5)\n")
    install(folder, "other", bad=value)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("COLUMNS", "300")
    try:
        with pytest.raises(UserError, match=re.escape(f"command bad: {why}")):
            parser(["bad", "--loud"])
        shown = parser(["--help"]).format_help()
        assert f"command bad: {why}" in shown and "count the nodes" in shown
        assert parser(["boot"]).parse_args(["boot"]).command == "boot"
    finally:
        for name in ("broken", "mypackage", "mypackage.commands"):
            sys.modules.pop(name, None)


def test_one_that_is_broken_ends_with_a_line_and_exit_status_2(folder: Path) -> None:
    install(folder, "other", bad="nowhere:command")
    done = run(folder, "bad", "--loud")
    why = "nowhere:command of other 1.0 cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"machemu: command bad: {why}\n")


def test_two_packages_with_one_command_are_both_named(folder: Path) -> None:
    install(folder, "other", count="other:count")
    done = run(folder, "count", "images/greet.toml")
    both = "mypackage.commands:count of mypackage 1.0, other:count of other 1.0"
    assert (done.returncode, done.stderr) == (2, f"machemu: command count: several packages have one: {both}\n")


def test_machemu_s_own_commands_cannot_be_replaced(folder: Path) -> None:
    install(folder, "other", boot="nowhere:command")
    done = run(folder, "boot", image(I386, "hello"))
    assert (done.returncode, done.stdout) == (0, "Hello from a Mach task.\n")


def test_no_command_is_loaded_where_another_runs(folder: Path) -> None:
    (folder / "mypackage" / "commands.py").write_text("raise SystemExit('loaded')\n")
    for arguments, status in (((), 2), (("boot", "--help"), 0)):
        done = run(folder, *arguments)
        assert done.returncode == status and "loaded" not in done.stdout + done.stderr


@pytest.mark.parametrize("module", ["importlib.metadata", "machemu.core.kernel", "machemu.core.routines", "elftools"])
def test_a_command_of_machemu_s_own_is_read_without_what_others_or_runs_need(module: str) -> None:
    """Reading what is installed would take a tenth of the start, and the kernel half of that of commands that run nothing."""
    code = f"import sys; from machemu.ui.commands import parser; parser(['boot', 'x']); print({module!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
