"""Whoever goes back before something that was done from outside, and goes on without it, is in another future, and exactly so."""

from __future__ import annotations

import pytest

from machemu import Cluster, Machine, UsageError
from tests.support.guests import Arch
from tests.support.machine import IMAGES


@pytest.mark.parametrize("forwards", ["run", "step"])
def test_a_machine_goes_back_in_the_future_in_which_nothing_was_typed(arch: Arch, forwards: str) -> None:
    with Machine.boot(IMAGES / arch.name / "pingpong.elf") as machine:
        machine.run(traps=20)
        before = machine.point
        machine.console.type("x")
        machine.run(traps=5)
        typed = machine.point
        machine.go(before)
        if forwards == "run":
            machine.run(traps=5)
        else:
            machine.step("trap", 5)
        end, digest = machine.point, machine.digest()
        assert end.acts == 0
        machine.back()
        assert machine.point.acts == 0
        machine.step()
        assert (machine.point, machine.digest()) == (end, digest)
        machine.go(before)
        machine.go(end)
        assert machine.digest() == digest
        with pytest.raises(UsageError, match="no point of this run"):
            machine.go(typed)
        machine.check()


@pytest.mark.parametrize("forwards", ["run", "step"])
def test_a_cluster_goes_back_in_the_future_in_which_no_fault_was(forwards: str) -> None:
    with Cluster.boot(IMAGES / "greet.toml") as cluster:
        cluster.run(duration="5ms")
        before = cluster.point
        cluster.crash("alpha")
        cluster.run(duration="1ms")
        cluster.go(before)
        if forwards == "run":
            cluster.run(duration="1ms")
        else:
            cluster.step("beta", "trap", 3)
        end, digest = cluster.point, cluster.digest()
        cluster.back("beta")
        assert cluster.nodes["alpha"].powered
        cluster.go(before)
        cluster.go(end)
        assert cluster.digest() == digest
