"""`fuzz --oracle`: what it makes of a seed, and a sample on both kernels, where the real one is installed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from tools import oracle as kernels
from tools.fuzz import __main__ as fuzz
from tools.fuzz import oracle
from tools.fuzz.oracle_calls import MARK, MOST, OPERATIONS, What, image, program

SAMPLE = range(2)


def test_a_program_is_a_function_of_its_seed_and_number() -> None:
    assert program(5, 3) == program(5, 3)
    assert program(5, 3) != program(5, 4)
    assert program(5, 3) != program(6, 3)


def test_a_program_wires_memory_or_has_unreadable_memory_but_never_both() -> None:
    wiring = 0
    for number in range(20):
        operations = program(1, number)
        assert sum(operation.what not in (What.PROGRAM, What.EVERYTHING) for operation in operations) == OPERATIONS
        wires = any(operation.what is What.WIRE for operation in operations)
        hides = any(operation.what is What.PROTECT and operation.value & 7 in (2, 4, 6) for operation in operations)
        assert not (wires and hides)
        wiring += wires
    assert 0 < wiring < 20


def test_the_guest_holds_what_it_is_given_and_no_more_than_fits() -> None:
    operations = program(1, 0)
    data = image(iter([operations]))
    start = data.index(MARK) + len(MARK)
    assert data[start : start + 8] == operations[0].packed()
    assert len(data) == len(image(iter(())))
    with pytest.raises(ValueError, match="do not fit"):
        image(iter([operations] * (MOST // OPERATIONS + 1)))


def test_a_difference_is_shown_with_the_command_that_makes_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(kernel: Path, seed: int, numbers: tuple[int, ...]) -> tuple[bytes, bytes]:
        real = b"BEGIN" + b"".join(b"\nprogram %d\nsame\n" % number for number in numbers) + b"END\n"
        return real, real.replace(b"program 1\nsame", b"program 1\nother")

    monkeypatch.setattr(kernels, "unpacked_kernel", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(oracle, "outputs", printed)
    assert oracle.run(9, range(3), 60.0) == 1
    shown = capsys.readouterr().out
    assert "seed 9, program 1: FOUND difference: line 3 differs" in shown
    assert "python3 tools/dev.py fuzz --oracle --seed 9 --only 1" in shown
    assert "3 programs, 1 differ from the real kernel, 0 stop it, 0 differ only behind others" in shown


def test_programs_behind_one_that_stops_the_real_kernel_are_compared_in_a_boot_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boots = []

    def printed(kernel: Path, seed: int, numbers: Sequence[int]) -> tuple[bytes, bytes]:
        boots.append(list(numbers))
        whole = b"BEGIN" + b"".join(b"\nprogram %d\nsame\n" % number for number in numbers) + b"END\n"
        before, program_1, _ = whole.partition(b"\nprogram 1\nsame\n")
        return before + program_1 + b"Assertion `x'\n" if program_1 else whole, whole

    monkeypatch.setattr(kernels, "unpacked_kernel", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(oracle, "outputs", printed)
    assert oracle.run(9, range(4), 60.0) == 0
    assert boots == [[0, 1, 2, 3], [1], [2, 3]]
    shown = capsys.readouterr().out
    assert "seed 9, program 1: stops the real kernel" in shown
    assert "4 programs, 0 differ from the real kernel, 1 stop it, 0 differ only behind others" in shown


def test_what_differs_before_the_real_kernel_stops_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = b"BEGIN\nprogram 0\nother\nAssertion `x'\n", b"BEGIN\nprogram 0\nsame\nEND\n"
    monkeypatch.setattr(kernels, "unpacked_kernel", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(oracle, "outputs", lambda *_: stopped)
    assert oracle.run(9, range(1), 60.0) == 1
    assert "program 0: FOUND difference: line 3 differs" in capsys.readouterr().out


@pytest.mark.parametrize("given", (["--arch", "m68k"], ["--jobs", "2"], ["--only", "1"]))
def test_options_that_cannot_be_are_exit_status_2(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        fuzz.main(["--oracle", *given])
    assert stopped.value.code == 2


def test_where_the_real_kernel_is_missing_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GNUMACH", "/no/such/kernel")
    assert fuzz.main(["--oracle", "--seed", "1", "--count", "1"]) == 2
    assert "gnumach-image-1.8-486:i386" in capsys.readouterr().err


@pytest.mark.real_kernel
@pytest.mark.slow
def test_a_sample_of_random_operations_is_answered_as_by_the_real_kernel() -> None:
    try:
        with kernels.unpacked_kernel() as kernel:
            real, ours = oracle.outputs(kernel, 2, SAMPLE)
    except kernels.NoRealKernel as error:
        pytest.skip(str(error))
    assert kernels.difference(real, ours) is None
    assert real.endswith(kernels.LAST + b"\n")
