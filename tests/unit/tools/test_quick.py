"""The quick part of the tests covers every layer on both processors, and leaves out what takes long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CASE = """
import pytest
from hypothesis import given, strategies as st

@pytest.mark.parametrize("arch", ["i386", "m68k"])
@pytest.mark.parametrize("n", range(3))
def test_both(n, arch): ...

@pytest.mark.whole
@pytest.mark.parametrize("n", range(3))
def test_whole(n): ...

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.real_kernel
def test_real_kernel(): ...

@given(st.integers())
def test_property(n): ...

def test_alone(): ...
"""


def collected(*arguments: str, folder: Path = ROOT, quick: bool = True) -> list[str]:
    part = ["--quick"] if quick else []
    command = [sys.executable, "-m", "pytest", *part, "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_a_test_s_first_parameters_for_each_processor_are_taken_and_what_takes_long_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_case.py").write_text(CASE)
    names = [name.partition("::")[2] for name in collected("-p", "tests.conftest", str(tmp_path))]
    assert names == [
        "test_both[0-i386]",
        "test_both[0-m68k]",
        "test_whole[0]",
        "test_whole[1]",
        "test_whole[2]",
        "test_alone",
    ]


SAMPLED = """
import pytest

@pytest.mark.slow
@pytest.mark.parametrize("n", range(7))
def test_long(n): ...

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.parametrize("n", range(3))
def test_short(n): ...

@pytest.mark.real_kernel
def test_real_kernel(): ...
"""


@pytest.mark.slow
def test_a_sample_has_a_third_of_what_is_slow_by_its_seed_and_all_the_rest(tmp_path: Path) -> None:
    (tmp_path / "test_case.py").write_text(SAMPLED)

    def sample(seed: int) -> list[str]:
        given = ("-p", "tests.conftest", "--sample", str(seed), str(tmp_path))
        return [name.partition("::")[2] for name in collected(*given, quick=False)]

    samples = [sample(seed) for seed in (1, 2, 2)]
    assert samples[0] != samples[1] == samples[2]
    for names in samples:
        assert sum(name.startswith("test_long") for name in names) == 3
        assert names[3:] == ["test_slow", "test_short[0]", "test_short[1]", "test_short[2]"]


@pytest.mark.slow
def test_where_tests_start_commands_each_takes_one_processor_in_turn(tmp_path: Path) -> None:
    alone = '@pytest.mark.parametrize("arch", ["i386"])\ndef test_{}(arch): ...\n'
    both = alone.replace('"i386"', '"i386", "m68k"')
    (tmp_path / "tests" / "cli").mkdir(parents=True)
    case = "import pytest\n" + both.format("a") + both.format("b") + alone.format("c") + alone.format("d")
    (tmp_path / "tests" / "cli" / "test_case.py").write_text(case)
    names = [name.partition("::")[2] for name in collected("-p", "tests.conftest", "--rootdir", str(tmp_path), folder=tmp_path)]
    assert names == ["test_a[i386]", "test_b[m68k]", "test_c[i386]", "test_d[i386]"]


@pytest.mark.slow
def test_every_folder_and_both_processors_are_in_it() -> None:
    names = collected()
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders - {name.partition("::")[0].rpartition("/")[0] for name in names} == set()
    for folder in ("tests/kernel", "tests/conformance", "tests/replay", "tests/servers", "tests/unit/machine", "tests/user"):
        both = {found for name in names if name.startswith(folder) for found in re.findall("i386|m68k", name)}
        assert both == {"i386", "m68k"}, folder
