"""Which engine runs: what is said of it, and how it is chosen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu import Machine
from machemu.abi.errors import UserError
from machemu.machine import accel
from tests.support.guests import I386, Arch
from tests.support.machine import image

needs_extension = pytest.mark.skipif(accel.native is None, reason=f"this is of the extension alone, and {accel.reason}")


def machemu(*arguments: object, engine: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != accel.CHOICE}
    if engine is not None:
        environment[accel.CHOICE] = engine
    command = [sys.executable, "-m", "machemu", *map(str, arguments)]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@needs_extension
def test_the_version_names_the_engine() -> None:
    assert re.fullmatch(r"machemu \S+ \(engine: native\)\n", machemu("--version").stdout)
    assert machemu("--version", engine="python").stdout.endswith("(engine: python: MACHEMU_ENGINE says so)\n")


@needs_extension
def test_verbose_tells_how_much_the_extension_did(arch: Arch) -> None:
    done = machemu("boot", image(arch, "hello"), "-v")
    assert done.returncode == 0
    found = re.fullmatch(
        r"machemu: engine native: (\S+) % of [\d,]+ traps entered in C, (\S+) % done there; (\S+) % of [\d,]+ instructions",
        done.stderr.splitlines()[-1],
    )
    assert found is not None, done.stderr
    assert float(found[1]) >= 95
    assert float(found[3]) >= 95


def test_verbose_tells_why_python_runs(arch: Arch) -> None:
    done = machemu("boot", image(arch, "hello"), "--verbose", engine="python")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "machemu: engine python: MACHEMU_ENGINE says so"


@pytest.mark.slow
def test_a_machine_is_the_same_with_both_engines(arch: Arch) -> None:
    one, other = (machemu("boot", image(arch, "pingpong"), "--digest", engine=engine) for engine in (None, "python"))
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
    assert "digest " in one.stderr


@pytest.mark.parametrize("engine", ["", "python"])
def test_an_engine_that_is_there_is_taken(engine: str) -> None:
    assert machemu("--version", engine=engine).returncode == 0


@pytest.mark.parametrize("command", ["examples", "--version"])
def test_an_engine_that_is_not_known_is_refused(command: str) -> None:
    done = machemu(command, engine="fast")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'machemu: MACHEMU_ENGINE is "fast": set it to "python" or "native", or not at all\n'


def test_python_programs_are_told_of_an_engine_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accel.CHOICE, "fast")
    with pytest.raises(UserError, match='MACHEMU_ENGINE is "fast": set it to "python" or "native"'):
        Machine.boot(image(I386, "hello"))


def test_the_extension_is_missed_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accel.CHOICE, accel.NATIVE)
    monkeypatch.setattr(accel, "native", None)
    monkeypatch.setattr(accel, "reason", "the extension in C cannot be used: no such module")
    assert accel.refused() == 'MACHEMU_ENGINE is "native", but the extension in C cannot be used: no such module'


@needs_extension
def test_the_page_on_speed_shows_what_is_said() -> None:
    page = (Path(__file__).parents[2] / "docs" / "speed.md").read_text()
    command, said = re.findall(r"^\$ machemu (boot .*)\n(machemu: engine .*)", page, re.MULTILINE)[0]
    assert machemu(*command.split()).stderr.splitlines()[-1] == said
