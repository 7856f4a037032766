"""Any program is compared on both kernels, and nothing that did not come in time counts as a difference."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.guests import I386, M68K
from tests.support.machine import image
from tools import oracle, programs
from tools.programs import Output, verdict

NOTHING = re.compile(rb"never")
NOTHING_MORE = "line 2 differs\n  GNU Mach  | machemu\n  a         | a\n  (nothing) | b"
FORMS = [
    (Output(b"a\nb\n", True), Output(b"a\nb\n", True), "the same on both kernels", 0),
    (Output(b"", True), Output(b"", True), "prints nothing on either kernel", 0),
    (Output(b"a\nb\n", True), Output(b"a\nX\n", True), "line 2 differs\n  GNU Mach | machemu\n  a | a\n  b | X", 1),
    (Output(b"a\n", True), Output(b"a\nb\n", True), NOTHING_MORE, 1),
    (Output(b"a\n", False), Output(b"a\nb\n", True), "the same as far as both came, 1 lines", 0),
    (Output(b"a\nb", False), Output(b"a\nbc\n", True), "the same as far as both came, 1 lines", 0),
    (Output(b"a\nb\n", True), Output(b"a\n", False), "the same as far as both came, 1 lines", 0),
    (Output(b"X\nb\n", False), Output(b"a\n", True), "line 1 differs\n  GNU Mach | machemu\n  X | a", 1),
    (Output(b"", False), Output(b"a\n", True), "the real kernel started it, and nothing that could be compared came in 9 s", 2),
    (None, Output(b"a\n", True), "nothing came from the real kernel in 9 s: it did not start the program", 2),
]


@pytest.mark.parametrize(("real", "ours", "text", "status"), FORMS)
def test_what_did_not_come_in_time_does_not_differ(real: Output | None, ours: Output, text: str, status: int) -> None:
    assert verdict(real, ours, 9) == (text, status)


def printing(*texts: str, then: str = "") -> subprocess.Popen[bytes]:
    """A QEMU that prints these texts, one after the other, and then does something."""
    code = f"import sys, time\nfor text in {texts!r}: print(text, end='', flush=True); time.sleep(0.05)\n{then}"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_a_program_begins_where_the_real_kernel_starts_it() -> None:
    with printing("boots start x\ntask loaded: dir/a.elf 1\n\n", "start dir/a.elf: one\r\n", "never mind\ntwo") as process:
        assert programs.on_real(process, "a.elf", 60, NOTHING) == Output(b"one\ntwo", True)


def test_a_program_that_is_quiet_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "QUIET_CPU_SECONDS", 0.05)
    with printing("start a.elf: one\n", then="while True: pass") as process:
        assert programs.on_real(process, "a.elf", 60, NOTHING) == Output(b"one\n", True)
    monkeypatch.setattr(programs, "QUIET_SECONDS", 0.3)
    with printing("start a.elf: one\n", then="time.sleep(100)") as process:
        assert programs.on_real(process, "a.elf", 60, NOTHING) == Output(b"one\n", True)


@pytest.mark.slow
def test_a_program_that_goes_on_printing_is_cut() -> None:
    begin = time.monotonic()
    with printing("start a.elf: ", then="while True: print('x', flush=True); time.sleep(0.01)") as process:
        output = programs.on_real(process, "a.elf", 2, NOTHING)
    assert time.monotonic() - begin < 60
    assert output is not None
    assert (output.text[:2], output.ended) == (b"x\n", False)


def test_a_program_that_is_not_started_in_time_gave_nothing() -> None:
    with printing("boots\nstart b.elf: one\n", then="time.sleep(100)") as process:
        assert programs.on_real(process, "a.elf", 1, NOTHING) is None


def test_machemu_s_side_is_all_that_it_prints() -> None:
    assert programs.on_machemu(image(I386, "hello")) == Output(b"Hello from a Mach task.\n", True)


@pytest.mark.real_kernel
def test_a_program_without_begin_and_end_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    path = image(I386, "hello")
    status = oracle.main([str(path)])
    output = capsys.readouterr()
    if status == 2:
        pytest.skip(output.err)
    assert (status, output.out) == (0, f"{path}: the same on both kernels\n")


@pytest.mark.parametrize("name", ["hello", "text"])
def test_what_the_real_kernel_cannot_run_is_exit_status_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.elf").write_text("no program")
    path = image(M68K, "hello") if name == "hello" else tmp_path / "text.elf"
    monkeypatch.setenv("GNUMACH", str(tmp_path / "text.elf"))
    monkeypatch.setattr(oracle, "QEMU", sys.executable)
    assert oracle.main([str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_only_conformance_modules_have_transcripts(capsys: pytest.CaptureFixture[str]) -> None:
    path = image(I386, "hello")
    assert oracle.main(["--write", str(path)]) == 2
    assert f"{path}: is no module of tests/conformance" in capsys.readouterr().err
