"""The developers' entry: sets up once, runs every check, and says by its exit status whether all went well."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tools import dev


class Commands:
    """Stands for what dev.py runs: writes commands down; those with a word of `failing` in them fail."""

    def __init__(self) -> None:
        self.run: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.failing: tuple[str, ...] = ()

    def __call__(self, command: list[str], **environment: str) -> int:
        self.run.append(command)
        self.environments.append(environment)
        return 3 if any(word in command for word in self.failing) else 0

    def names(self) -> list[str]:
        """Each command without its interpreter."""
        return [" ".join(command[1:]) for command in self.run]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    fake = Commands()
    monkeypatch.setattr(dev, "run", fake)
    monkeypatch.setattr(secrets, "randbelow", lambda limit: limit - 1)
    return fake


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with nothing but a pyproject.toml; making an environment makes its Python."""

    def create(directory: Path, clear: bool, with_pip: bool) -> None:
        assert clear
        assert with_pip
        (directory / "bin").mkdir(parents=True, exist_ok=True)
        (directory / "bin" / "python").touch()

    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(dev, "PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(dev, "STAMP", tmp_path / ".venv" / "machemu-setup")
    monkeypatch.setattr(venv, "create", create)
    return tmp_path


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "setup", lambda: None)


def test_setup_installs_once(place: Path, commands: Commands) -> None:
    assert dev.main(["setup"]) == 0
    assert dev.main(["setup"]) == 0
    assert [command[1:4] for command in commands.run] == [["-m", "pip", "install"]]
    assert commands.run[0][-2:] == ["--editable", ".[dev]"]


def test_setup_installs_again_when_the_dependencies_change(place: Path, commands: Commands) -> None:
    dev.main(["setup"])
    (place / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    dev.main(["setup"])
    assert len(commands.run) == 2


def test_an_installation_that_failed_is_told_and_tried_again(
    place: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.failing = ("pip",)
    assert dev.main(["test"]) == 2
    assert "pip could not install" in capsys.readouterr().err
    assert len(commands.run) == 1
    commands.failing = ()
    assert dev.main(["setup"]) == 0
    assert len(commands.run) == 2


def test_an_environment_that_cannot_be_made_is_told(
    place: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def create(*args: object, **kwargs: object) -> None:
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", create)
    assert dev.main(["setup"]) == 2
    assert "python3-venv" in capsys.readouterr().err
    assert not commands.run


def test_an_old_python_is_told(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert dev.main(["demo"]) == 2
    assert "needs Python 3.11 or later, and this is 3.10" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["tset"], ["setup", "now"], ["check", "-v"]])
def test_a_wrong_command_line_is_refused(arguments: list[str], ready: None, commands: Commands) -> None:
    assert dev.main(arguments) == 2
    assert not commands.run


def test_help_needs_no_environment(capsys: pytest.CaptureFixture[str], commands: Commands) -> None:
    assert dev.main(["--help"]) == 0
    assert "demo" in capsys.readouterr().out
    assert not commands.run


def test_test_runs_every_check_and_pytest_last_with_its_arguments(ready: None, commands: Commands) -> None:
    assert dev.main(["test", "-k", "ports", "-x"]) == 0
    names = commands.names()
    for wanted in ("ruff check", "ruff format --check", "mypy", "images --check"):
        assert any(wanted in name for name in names[:-1])
    assert any("lint-imports" in command[0] for command in commands.run)
    assert names[-1] == "-m pytest -k ports -x"


def test_without_arguments_the_tests_run_on_every_core(ready: None, commands: Commands) -> None:
    assert dev.main(["test"]) == 0
    assert commands.names()[-1] == f"-m pytest --numprocesses {os.cpu_count()} --dist worksteal"


def test_without_arguments_the_kernel_and_the_machines_are_tested_with_python_s_engine_too(
    ready: None, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    for built, wanted in (([Path("native.so")], [{"MACHEMU_ENGINE": "python"}, {}]), ([], [{}])):
        monkeypatch.setattr(dev, "extension", lambda built=built: built)
        commands.run.clear()
        commands.environments.clear()
        assert dev.main(["test"]) == 0
        runs = [
            (command, given) for command, given in zip(commands.run, commands.environments, strict=True) if "pytest" in command
        ]
        runs = [(command, given) for command, given in runs if "tests/unit/mig/test_generated.py" not in command]
        assert [given for _, given in runs] == wanted
        assert ("tests/kernel" in runs[0][0]) == ("--sample" in runs[0][0]) == bool(built)
        assert "tests/kernel" not in runs[-1][0]


def test_the_extension_is_built_where_its_sources_have_changed(
    place: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    folder = place / dev.ACCEL
    folder.mkdir(parents=True)
    (folder / "traps.c").touch()
    dev.build()
    assert commands.names() == ["setup.py --quiet build_ext --inplace"]
    built = folder / f"native{sysconfig.get_config_var('EXT_SUFFIX')}"
    built.touch()
    os.utime(folder / "traps.c", (1, 1))
    dev.build()
    assert len(commands.run) == 1
    os.utime(built, (0, 0))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    dev.build()
    assert len(commands.run) == 1


def test_quick_builds_nothing_and_runs_the_quick_part_on_every_core(ready: None, commands: Commands) -> None:
    assert dev.main(["test", "--quick"]) == 0
    names = commands.names()
    for wanted in ("ruff check", "ruff format --check", "mypy"):
        assert any(wanted in name for name in names)
    assert not any(("--check" in name and "images" in name) or "test_generated" in name for name in names)
    assert names[-1] == f"-m pytest --numprocesses {os.cpu_count()} --dist worksteal --quick"


def test_quick_takes_arguments_of_pytest_too(ready: None, commands: Commands) -> None:
    assert dev.main(["test", "--quick", "tests/kernel"]) == 0
    assert commands.names()[-1] == "-m pytest --quick tests/kernel"


def test_quick_fails_where_a_check_fails(ready: None, commands: Commands) -> None:
    commands.failing = ("mypy",)
    assert dev.main(["test", "--quick"]) == 1


@pytest.mark.parametrize("failing", ["mypy", "check", "--no-logo"])
def test_a_check_that_fails_stops_nothing_and_fails_the_whole(
    failing: str, ready: None, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["test"]) == 0
    all_of_them = commands.names()
    commands.run.clear()
    commands.failing = (failing,)
    assert dev.main(["test"]) == 1
    assert commands.names() == all_of_them
    assert "FAILED (exit status 3)" in capsys.readouterr().out


def test_pytests_failure_is_the_exit_status(ready: None, commands: Commands) -> None:
    commands.failing = ("-k",)
    assert dev.main(["test", "-k", "x"]) == 3


def test_demo_traces_two_tasks(ready: None, commands: Commands) -> None:
    assert dev.main(["demo", "--digest"]) == 0
    (command,) = commands.run
    assert command[1:4] == ["-m", "machemu", "boot"]
    assert command[-2:] == ["--trace", "--digest"]
    assert Path(command[4]).is_file()


def test_commands_run_in_the_repository_whatever_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = f"import os, sys; sys.exit(os.getcwd() != {str(dev.ROOT)!r})"
    assert dev.run([sys.executable, "-c", code]) == 0


def test_the_environments_own_python_does_not_clear_it_away(
    place: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*args: object, **kwargs: object) -> None:
        pytest.fail("made anew")

    (place / ".venv").mkdir()
    monkeypatch.setattr(venv, "create", create)
    monkeypatch.setattr(sys, "prefix", str(place / ".venv"))
    assert dev.main(["setup"]) == 0
    assert [command[1:4] for command in commands.run] == [["-m", "pip", "install"]]
