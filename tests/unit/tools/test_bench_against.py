"""The benchmark beside another commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.bench import __main__ as bench
from tools.bench import against
from tools.bench.against import ROOT, NoCommit, Worker, checkout_of, compared


@pytest.mark.slow
def test_a_worker_measures_the_checkout_that_it_is_given() -> None:
    worker = Worker(ROOT, 1000)
    try:
        assert "m68k: null trap" in worker.names
        for name in ("network: 64-byte messages, one way", "i386: an instruction of a traced thread"):
            cost, paced = worker.measure(name)
            assert cost > 0 and paced > 0
    finally:
        worker.close()


@pytest.mark.slow
def test_another_commit_is_checked_out_apart_and_goes_again() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with checkout_of("HEAD") as place:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=place, capture_output=True, text=True, check=True).stdout.strip()
        assert found == head
        assert place != ROOT
    assert not Path(place).exists()


def test_what_is_no_commit_is_refused() -> None:
    with pytest.raises(NoCommit, match="nonsense: is no commit"), checkout_of("nonsense"):
        pass


def test_a_row_is_compared_by_the_medians_of_what_it_cost_in_the_time_of_fixed_work() -> None:
    """A host that was twice as slow for a while changes nothing; more than 5 % are marked."""
    before = [(2.0, 1.0), (4.0, 1.0), (2.0, 1.0)]
    (_, figure, mark), kept = compared("a row", before, [(4.2, 1.05), (2.1, 1.05), (9.0, 4.0)])
    assert (figure, mark, kept) == ("1.050 of what it was (2 -> 4.2)", "", True)
    (_, figure, mark), kept = compared("a row", before, [(2.2, 1.06)])
    assert (figure, mark, kept) == ("1.060 of what it was (2 -> 2.2)", "SLOWER: at most 1.05", False)


class Stand:
    """Stands for a worker. costs: by a row's name."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs
        self.names = list(costs)
        self.closed = False

    def measure(self, name: str) -> tuple[float, float]:
        return self.costs[name], self.costs[name]

    def close(self) -> None:
        self.closed = True


def stand_in(monkeypatch: pytest.MonkeyPatch, before: dict[str, float], now: dict[str, float]) -> None:
    """Stands for the workers of both checkouts."""
    monkeypatch.setattr(against, "Worker", lambda checkout, divisor: Stand(now if checkout == ROOT else before))


@pytest.mark.slow
def test_rows_of_one_checkout_alone_are_listed_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, {"a trap": 1, "gone": 1}, {"a trap": 2, "new": 1})
    rows, kept = against.table("HEAD", 9, 1)
    assert rows == [
        ("a trap", "2.000 of what it was (1 -> 2)", "SLOWER: at most 1.05"),
        ("new", "not there", "not compared: HEAD has it not"),
        ("gone", "not there", "not compared: this checkout has it not"),
    ]
    assert not kept


@pytest.mark.parametrize(("cost", "status"), [(1, 0), (2, 1)])
@pytest.mark.slow
def test_the_exit_status_tells_whether_a_row_is_slower(cost: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, {"a trap": 1, "a frame": 1}, {"a trap": cost, "a frame": 5})
    assert bench.main(["--against", "HEAD", "--only", "trap"]) == status


@pytest.mark.parametrize("name", ["nonsense", "HEAD:README.md", "--force"])
def test_what_is_no_commit_is_exit_status_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([f"--against={name}"]) == 2
    assert capsys.readouterr().err.startswith(f"bench: {name}: is no commit of this repository: ")
