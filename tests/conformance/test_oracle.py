"""The transcripts are the real kernel's, not ours: each module is booted on GNU Mach in QEMU, where that is installed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.guests import I386
from tests.support.machine import image
from tests.support.modules import binary
from tools import oracle

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.expected"))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Path]:
    try:
        with oracle.unpacked_kernel() as path:
            yield path
    except oracle.NoRealKernel as error:
        pytest.skip(str(error))


@pytest.mark.real_kernel
@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_is_what_the_real_kernel_prints(name: str, kernel: Path) -> None:
    assert oracle.on_gnu_mach(kernel, binary(name)) == (HERE / f"{name}.expected").read_bytes()


def test_the_first_difference_is_shown_side_by_side() -> None:
    shown = oracle.difference(b"a\nb\nc\nd\n", b"a\nb\nX\nd\n")
    assert shown is not None
    assert shown.splitlines() == ["line 3 differs", "  GNU Mach | machemu", "  a | a", "  b | b", "  c | X"]


def test_an_output_that_ends_early_differs() -> None:
    assert oracle.difference(b"a\nb\n", b"a\n") == "line 2 differs\n  GNU Mach | machemu\n  a | a\n  b | (nothing)"


def test_equal_outputs_do_not_differ() -> None:
    assert oracle.difference(b"a\nb\n", b"a\nb\n") is None


def test_machemu_s_side_is_what_the_transcript_says() -> None:
    assert oracle.on_machemu(binary("ports")) == (HERE / "ports.expected").read_bytes()


@pytest.mark.real_kernel
def test_a_packed_program_is_compared_as_what_it_holds(kernel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "hello.gz"
    program.write_bytes(gzip.compress(image(I386, "hello").read_bytes()))
    assert oracle.compare(kernel, program, oracle.REAL_SECONDS) == 0
    assert capsys.readouterr().out == f"{program}: the same on both kernels\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_a_time_that_is_none_is_exit_status_2(seconds: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        oracle.main(["--seconds", seconds, "ports"])
    assert stopped.value.code == 2


def test_a_module_that_is_not_there_is_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert oracle.main(["nonesuch"]) == 2
    assert "there is no module" in capsys.readouterr().err


def test_where_the_real_kernel_is_missing_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GNUMACH", "/no/such/kernel")
    assert oracle.main(["ports"]) == 2
    assert "gnumach-image-1.8-486:i386" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("printed", "status", "kept"), [(b"BEGIN\nnew\nEND\n", 1, b"BEGIN\nnew\nEND\n"), (b"BEGIN\nnew\n", 1, b"old")]
)
def test_a_transcript_is_written_only_where_the_real_kernel_came_to_the_end(
    printed: bytes, status: int, kept: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transcript = tmp_path / "ports.expected"
    transcript.write_bytes(b"old")
    monkeypatch.setattr(oracle, "unpacked_kernel", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(oracle, "on_gnu_mach", lambda *_: printed)
    monkeypatch.setattr(oracle, "on_machemu", lambda module: b"BEGIN\nold\nEND\n")
    monkeypatch.setattr(oracle, "transcript_of", lambda module: transcript)
    assert oracle.main(["--write", "ports"]) == status
    assert transcript.read_bytes() == kept


def test_transcripts_of_no_module_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert oracle.main(["--write"]) == 2
    assert "name" in capsys.readouterr().err
