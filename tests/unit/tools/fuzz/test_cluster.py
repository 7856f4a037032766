"""The hunt for what the Masix servers lose or leave behind: it finds what it is to find; and thirty clusters of a fresh seed."""

from __future__ import annotations

import re
import secrets

import pytest

from machemu.cluster.node import ClusterNode
from machemu.core import invariants
from machemu.ipc import mach_port
from masix.gns import rights
from tests.support.roamers import WHAT, Roamer
from tools.fuzz import cluster
from tools.fuzz.__main__ import main

COUNT = 30


@pytest.mark.slow
def test_thirty_clusters_of_a_fresh_seed_lose_nothing_and_leave_nothing() -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    wrong = {number: found for number in range(COUNT) if (found := cluster.examine(seed, number))}
    assert not wrong, f"python3 tools/dev.py fuzz --cluster --seed {seed} --only {next(iter(wrong))}: {wrong}"


def test_trials_have_every_step_fault_and_processor_and_are_the_same_again() -> None:
    chosen = [cluster.trial(3, number) for number in range(60)]
    assert chosen == [cluster.trial(3, number) for number in range(60)]
    text = "".join(each.text for each in chosen)
    assert all(
        f'kind = "{kind}"' in text for kind in ("crash", "restart", "pause", "partition", "cut", "segment", "heal", "stop")
    )
    assert all(f" {what}" in text for what in WHAT)
    assert all(profile in text for profile in cluster.PROFILES)
    assert {len(re.findall(r"\[nodes\.", each.text)) for each in chosen} == {2, 3}


def numbers(seed: int, count: int) -> list[str]:
    return [what for number in range(count) for what in cluster.examine(seed, number)]


@pytest.mark.slow
def test_rights_that_are_not_given_back_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "_give_back", lambda context, proxy: None)
    assert any("nobody has rights to them" in what for what in numbers(1, 6))


@pytest.mark.slow
def test_a_call_that_nobody_ends_and_memory_that_is_changed_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    serve = Roamer._served

    def forgetful(self: Roamer, mach: object, message: object) -> None:
        self.wrong += 1
        if self.wrong % 2:
            serve(self, mach, message)  # type: ignore[arg-type]

    monkeypatch.setattr(Roamer, "_served", forgetful)
    found = numbers(1, 4)
    assert any(re.search(r"of \d+ calls \d+ are answered", what) for what in found)
    assert any("is not what was sent" in what for what in found)


@pytest.mark.slow
def test_a_port_that_the_kernel_keeps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = cluster._leaks

    def with_one_more(node: ClusterNode) -> list[str]:
        if node.kernel is not None:
            mach_port.mach_port_allocate(node.kernel.ipc, node.kernel.kern.kernel_task.space, 1)
        return leaks(node)

    monkeypatch.setattr(cluster, "_leaks", with_one_more)
    assert any(re.search(r"its kernel has \d+ ports", what) for what in numbers(1, 2))


def test_an_exception_is_a_find(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kernel: object) -> None:
        raise AssertionError("a count is wrong")

    monkeypatch.setattr(invariants, "check", broken)
    assert numbers(1, 1) == ["AssertionError in test_cluster.py:broken: AssertionError('a count is wrong')"]


@pytest.mark.slow
def test_the_command_prints_its_seed_and_its_figures_and_shows_one_trial(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cluster", "--seed", "4", "--count", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fuzz: seed 4\n") and "2 clusters, 0 with something wrong" in out
    assert main(["--cluster", "--seed", "4", "--only", "1"]) == 0
    assert capsys.readouterr().out == cluster.trial(4, 1).text + "\n"
