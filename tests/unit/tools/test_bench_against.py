"""The benchmark beside another commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.bench.against import ROOT, NoCommit, Worker, checkout_of


def test_a_worker_measures_the_checkout_that_it_is_given() -> None:
    worker = Worker(ROOT, 1000)
    try:
        assert "m68k: null trap" in worker.names
        assert worker.measure("network: 64-byte messages, one way") > 0
    finally:
        worker.close()


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
