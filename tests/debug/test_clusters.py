"""The prompt over a cluster: all nodes go together, by the steps of one."""

from __future__ import annotations

import pytest

from machemu.abi.errors import UserError
from machemu.debug.clusters import ClusterStepper
from machemu.lab.cluster import Cluster
from machemu.sim.units import time_text
from machemu.ui.calls import Calls
from tests.support.clusters import MS
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


@pytest.mark.slow
def test_help_knows_the_actions_of_other_packages() -> None:
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        ClusterStepper(cluster, lines.append, Calls).do("help migrate")
    assert lines[-1].startswith("migrate WORDS: ")


@pytest.mark.slow
def test_steps_and_looks_leave_a_cluster_as_it_is() -> None:
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        stepper = ClusterStepper(cluster, lines.append, Calls)
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
            "back instruction 2",
            "step switch",
            "node pc",
            "back switch",
            "step",
        ):
            stepper.do(command)
        assert any(line.startswith("* <node pc, i386") for line in lines)
        assert any(line.startswith("* <node sun, m68k") for line in lines)
        cluster.go(end)
        assert cluster.digest() == digest
        for command, says in (
            ("node zz", "no node zz: there are pc, sun"),
            ("run at main", "no symbol main"),
            ("run console never printed", "the run ended before 'console never printed' came"),
        ):
            with pytest.raises(UserError, match=says.replace("[", ".")):
                stepper.do(command)


def test_breakpoints_in_any_node_choose_the_node_in_which_they_come_and_traces_are_of_that_node() -> None:
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        stepper = ClusterStepper(cluster, lines.append, Calls)
        for command in ("run for 90ms", "break any message sent", "break exception", "break", "trace on", "run"):
            stepper.do(command)
        assert [line for line in lines if line.startswith(("1:", "2:"))] == ["1: any message sent", "2: exception"]
        chosen = stepper.chosen.name
        assert f"breakpoint 1: message sent, node {chosen}" in lines
        found, digest = cluster.point, cluster.digest()
        stepper.do("delete all")
        traps = stepper.chosen.kernel.trap_count
        lines.clear()
        stepper.do("run traps 3")
        assert stepper.chosen.kernel.trap_count == traps + 3
        assert stepper.reason == "so many traps are made"
        assert len([line for line in lines if " mach_msg " in line or "device" in line]) >= 2
        while cluster.point > found:
            stepper.do("run-back any message sent")
        assert (cluster.point, cluster.digest()) == (found, digest)
        stepper.do("trace off")
        told, lines[:] = list(lines), []
        stepper.do("trace last 2")
        assert lines and lines != told
        assert (cluster.point, cluster.digest()) == (found, digest)


@pytest.mark.slow
def test_what_a_node_prints_is_shown_where_the_cluster_has_come_to_it() -> None:
    shown: list[bytes] = []
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "greet.toml") as cluster:
        stepper = ClusterStepper(cluster, lines.append, Calls)
        beta = cluster.nodes["beta"].console
        beta.echo = shown.append
        stepper.do("node beta")
        stepper.do("run any console asked")
        assert b"".join(shown) == beta.data
        while not beta.data:
            stepper.do("step message")
            assert b"".join(shown) == beta.data
        for command in ("break any message", "run", "run", "run-back", "back", "run any console asked", "run"):
            stepper.do(command)
            assert b"".join(shown).startswith(beta.data)
        stepper.do("delete all")
        stepper.do("run console END")
        assert b"".join(shown) == beta.data


def test_faults_are_typed_as_a_cluster_file_has_them() -> None:
    lines: list[str] = []
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        stepper = ClusterStepper(cluster, lines.append, Calls)
        stepper.do("run for 50ms")
        start, end = cluster.point, time_text(cluster.time + 40 * MS)
        stepper.do(f'fault kind = "cut", segment = "lan", from = ["pc"], to = ["sun"], until = "{end}"')
        stepper.do('fault kind = "crash", node = "pc", at = "70ms"')
        stepper.do("run for 30ms")
        assert [cut.hearers for cut in cluster.inner.segments[0].cuts] == [(2,)]
        assert not cluster.nodes["pc"].powered
        stepper.do("run for 30ms")
        assert not cluster.inner.segments[0].cuts
        cluster.go(start)
        stepper.do("run for 60ms")
        assert cluster.nodes["pc"].powered


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("", r"fault: what\? write keys"),
        ("crash pc", "is not TOML: .*: write keys as in a cluster file, parted by commas"),
        ('kind = "crash"', "node: is missing"),
        ('kind = "crash", node = "zz"', "node: there is no node 'zz'; there are pc, sun"),
        ('kind = "crash", node = "pc", at = "1ms"', "at: is over already"),
        ('kind = "crash", node = "pc", to = ["sun"]', "to: there is no such key"),
        ('kind = "flood", node = "pc"', "kind: 'flood' is none of crash"),
        ('kind = "cut", segment = "lan", from = ["pc"], to = ["pc"]', "to: pc is in `from`, too"),
        ('kind = "cut", segment = "lan", from = ["pc"], to = ["sun"], until = "1ms"', "until: is not later"),
        ('kind = "crash", node = "pc" }, other = { a = 1', "is not TOML"),
    ],
)
def test_a_fault_that_cannot_be_changes_nothing(keys: str, says: str) -> None:
    with Cluster.boot(ROOT / "images" / "two.toml") as cluster:
        stepper = ClusterStepper(cluster, lambda _: None, Calls)
        stepper.do("run for 50ms")
        digest = cluster.digest()
        with pytest.raises(UserError, match=says):
            stepper.do(f"fault {keys}")
        assert cluster.digest() == digest
