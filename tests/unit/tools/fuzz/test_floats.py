"""`fuzz --floats`: a sample of floating-point instructions does here what it does on the host's processor or in QEMU's m68k."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.guests import Arch
from tools.fuzz import __main__ as command
from tools.fuzz import floats
from tools.fuzz.floats import Case, Compared, Outcome
from tools.fuzz.reference import NoReference

COUNT = 2500
PLANTED = 300


def compared(arch: Arch, seed: int, count: int, folder: Path) -> Compared:
    try:
        return floats.compare(arch.name, seed, count, math.inf, folder)
    except NoReference as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_a_sample_is_done_as_by_the_reference(arch: Arch, tmp_path: Path) -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    done = compared(arch, seed, COUNT, tmp_path)
    again = f"python3 tools/dev.py fuzz --floats --arch {arch.name} --seed {seed} --count {COUNT}"
    assert done.unexplained == [], f"{again}\n" + "\n".join(done.unexplained[:5])
    assert done.equal > 0.8 * COUNT


def test_every_row_of_the_list_has_a_reason_and_fields(arch: Arch) -> None:
    for row in floats.rows(arch.name):
        assert row.names
        assert row.fields
        assert row.reason
        assert row.when in floats.WHEN


def test_a_planted_difference_is_found(arch: Arch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = floats.REFERENCES[arch.name]
    real = module.reference

    def changed(program: Path, cases: Sequence[Case]) -> list[Outcome | None]:
        return [None if n % 2 else outcome for n, outcome in enumerate(real(program, cases))]

    monkeypatch.setattr(module, "reference", changed)
    done = compared(arch, 1, PLANTED, tmp_path)
    assert len(done.unexplained) > PLANTED // 4
    assert "trap" in done.unexplained[0]


def test_what_is_not_for_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--floats", "--only", "1", "--arch", "i386", "--seed", "1"])
    assert ended.value.code == 2
    assert "--floats" in capsys.readouterr().err
