""".ci/run gets to the tests whatever apt does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[3] / ".ci" / "run"
TOOLS = ("bash", "dirname", "grep", "env", "cat")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def run(tmp_path: Path, scripts: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs .ci/run where only these commands exist; what it printed, and the commands that it called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    log = tmp_path / "log"
    log.touch()
    for tool in TOOLS:
        real = shutil.which(tool)
        assert real is not None
        (directory / tool).symlink_to(real)
    for name, body in {"python3": "exit 7", "sleep": "", "id": "echo 0", **scripts}.items():
        path = directory / name
        path.write_text(f'#!{shutil.which("bash")}\necho "{name} $*" >> "$LOG"\n{body}\n')
        path.chmod(0o755)
    done = subprocess.run(
        [RUN], env={"PATH": str(directory), "LOG": str(log)}, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    return done, log.read_text().splitlines()


def test_it_is_executable() -> None:
    assert os.access(RUN, os.X_OK)


def test_without_apt_it_goes_straight_to_the_tests(tmp_path: Path) -> None:
    done, calls = run(tmp_path, {})
    assert done.returncode == 7
    assert calls == ["python3 tools/dev.py test"]


def test_with_everything_installed_apt_is_left_alone(tmp_path: Path) -> None:
    _, calls = run(tmp_path, {"apt-get": "", "dpkg-query": "echo installed"})
    assert not any(call.startswith("apt-get") for call in calls)
    assert calls[-1] == "python3 tools/dev.py test"


def test_an_apt_that_fails_is_tried_again_and_then_the_tests_run(tmp_path: Path) -> None:
    done, calls = run(tmp_path, {"apt-get": "exit 100", "dpkg": "", "dpkg-query": "exit 1"})
    assert sum(" update" in call for call in calls) == 3
    assert done.returncode == 7
    assert calls[-1] == "python3 tools/dev.py test"
    assert "going on without gcc" in done.stderr


def test_one_package_that_is_missing_does_not_keep_the_others_away(tmp_path: Path) -> None:
    refuse = 'case "$*" in *m68k*) exit 100;; esac'
    _, calls = run(tmp_path, {"apt-get": refuse, "dpkg": "", "dpkg-query": "exit 1"})
    alone = [call.split()[-1] for call in calls if " install " in call and call.split()[-2] == "--no-install-recommends"]
    assert {"gcc", "qemu-system-x86", "gnumach-image-1.8-486:i386", "mig-i686-gnu:i386"} <= set(alone)


def test_the_i386_architecture_is_added_before_the_lists_are_read(tmp_path: Path) -> None:
    _, calls = run(tmp_path, {"apt-get": "", "dpkg": "", "dpkg-query": "exit 1"})
    kinds = [call.split()[0] + (" update" if " update" in call else "") for call in calls]
    assert kinds.index("dpkg") < kinds.index("apt-get update")


def test_without_rights_it_goes_on_with_what_there_is(tmp_path: Path) -> None:
    done, calls = run(tmp_path, {"id": "echo 1000", "sudo": "exit 1", "apt-get": "", "dpkg-query": "exit 1"})
    assert "not root" in done.stderr
    assert calls[-1] == "python3 tools/dev.py test"
