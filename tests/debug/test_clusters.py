"""The prompt over a cluster: all nodes go together, by the steps of one."""

from __future__ import annotations

import pytest

from machemu.abi.errors import UserError
from machemu.debug.clusters import ClusterStepper
from machemu.lab.cluster import Cluster
from tests.support.commands import ROOT

LOOKS = (
    "node",
    "tasks",
    "threads",
    "ports",
    "map",
    "why 1",
    "regs 1",
    "dis _start 3 1",
    "symbols _start",
    "print traps",
    "where",
    "help",
)


def test_steps_and_looks_leave_a_cluster_as_it_is() -> None:
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        stepper = ClusterStepper(cluster, lines.append)
        stepper.do("run for 120ms")
        end, digest = cluster.point, cluster.digest()
        for command in (
            *LOOKS,
            "back 2",
            "node sun",
            "back message",
            *LOOKS,
            "step message",
            "step instruction",
            "node pc",
            "step",
        ):
            stepper.do(command)
        assert any(line.startswith("* <node pc, i386") for line in lines)
        assert any(line.startswith("* <node sun, m68k") for line in lines)
        cluster.go(end)
        assert cluster.digest() == digest
        for command, says in (
            ("node zz", "no node zz: there are pc, sun"),
            ("back instruction", "a cluster goes back by traps and messages"),
            ("step switch", "a cluster steps by trap, message or instruction"),
            ("run at main", "one of these is wanted"),
            ("break", "no command 'break'"),
            ("run console never printed", "the run ended before 'console never printed' came"),
        ):
            with pytest.raises(UserError, match=says.replace("[", ".")):
                stepper.do(command)
