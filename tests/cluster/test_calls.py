"""Calls between nodes over a real segment: with loss, partitions, crashes, attackers, and saved in between."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from machemu.cluster.pcap import Capture
from machemu.sim.output import Output
from tests.support.callers import Caller, calls_text
from tests.support.calls import CALLS, SERVERS, answers, pair
from tests.support.clusters import SECOND, World, fault, node, saved_in_between

LOSSY = "loss = 0.2\nduplication = 0.1\nreordering = 0.2\n"


@pytest.mark.parametrize(("server", "client"), list(product(("i386", "m68k"), repeat=2)))
def test_a_client_calls_a_service_by_name_wherever_it_runs(server: str, client: str) -> None:
    with World(pair(server, client)) as world:
        world.run(SECOND)
        assert world.lines("beta") == [*answers(), "END"]
        assert world.lines("alpha") == ["serves as greeter", *(f"asked: {-100 * n} good morning" for n in range(1, CALLS + 1))]
        world.check()


@pytest.mark.parametrize("seed", range(4))
def test_each_call_is_answered_once_through_loss_duplication_and_reordering(seed: int) -> None:
    with World(pair(lan=LOSSY), seed) as world:
        world.run(120 * SECOND)
        assert world.lines("beta") == [*answers(), "END"]
        assert len(world.lines("alpha")) == 1 + CALLS
        world.check()


def test_a_partition_that_heals_within_a_second_loses_nothing() -> None:
    faults = fault("8ms", "partition", segment="lan", groups=[["alpha"], ["beta"]]) + fault("1s", "heal", segment="lan")
    with World(pair(faults=faults)) as world:
        world.run(SECOND // 2)
        before = len(world.lines("beta"))
        assert before < CALLS
        world.run(60 * SECOND)
        assert world.lines("beta") == [*answers(), "END"]
        assert len(world.lines("alpha")) == 1 + CALLS


def test_a_client_whose_server_s_node_crashes_is_told() -> None:
    """Its reply right is destroyed: it gets the notification for that, and the next calls find a dead port."""
    with World(pair(faults=fault("14ms", "crash", node="alpha"))) as world:
        world.run(60 * SECOND)
        lines = world.lines("beta")
        assert lines[-1] == "END" and len(lines) - 1 > 0
        good = [line for line in lines if line.startswith("answer")]
        assert good == answers(len(good)) and 0 < len(good) < CALLS
        assert lines[len(good)].startswith(f"call {len(good) + 1}:")


def test_nothing_of_a_call_can_be_read_on_the_wire() -> None:
    with World(pair()) as world:
        world.run(SECOND)
        wire = b"".join(data for *_, data in world.frames)
        assert len(wire) > 5000
        assert b"good morning" not in wire and b"GOOD MORNING" not in wire and b"greeter" not in wire


def test_a_replayed_frame_changes_nothing() -> None:
    with World(pair()) as world, World(pair()) as other:
        world.run(SECOND)
        other.run(SECOND)
        for *_, data in world.frames:
            for each in other.cluster.nodes:
                each.nics[0].receive(data)
        other.run(10 * SECOND)
        assert other.lines("beta") == world.lines("beta")
        assert other.lines("alpha") == world.lines("alpha")


@pytest.mark.parametrize("time", [2_000_000, 6_500_000, 9_100_000, 20_000_000])
def test_a_cluster_saved_in_the_middle_of_conversations_goes_on_the_same(time: int, tmp_path: Path) -> None:
    with saved_in_between(pair(lan=LOSSY), time, 60 * SECOND, tmp_path / "saved") as world:
        assert world.lines("beta") == [*answers(), "END"]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_every_frame_of_a_conversation(tmp_path: Path) -> None:
    capture = tmp_path / "calls.pcapng"
    with World(pair(lan=LOSSY)) as world, Output.create(capture) as file:
        frames = Capture(file, ["lan"])
        world.cluster.watch(frames.happened)
        world.run(60 * SECOND)
        frames.finish()
    fields = ["-T", "fields", "-e", "udp.length", "-e", "_ws.malformed", "-e", "ip.checksum.status", "-e", "udp.checksum.status"]
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    done = subprocess.run(["tshark", "-r", capture, *checks, *fields], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) > 2 * CALLS
    assert all(length and not malformed and (ip, udp) == ("1", "1") for length, malformed, ip, udp in rows)


def test_a_service_whose_node_boots_anew_is_found_again() -> None:
    faults = fault("1ms", "crash", node="alpha") + fault("500ms", "restart", node="alpha")
    with World(pair(faults=faults)) as world:
        world.run(30 * SECOND)
        assert world.lines("beta") == [*answers(), "END"]


def test_a_node_that_crashes_in_the_middle_of_a_call_and_comes_back_knows_nothing_of_it() -> None:
    faults = fault("11400us", "crash", node="alpha") + fault("30ms", "restart", node="alpha")
    with World(pair(faults=faults)) as world:
        world.run(60 * SECOND)
        lines = world.lines("beta")
        assert lines[-1] == "END" and any(line.startswith("call ") for line in lines)
        assert world.lines("alpha").count("serves as greeter") == 2


def test_many_clients_of_one_service() -> None:
    """Eight nodes call it at once; each gets its own answers."""
    clients = [
        node(f"client{n}", "call", "greeter", 4, machine=("i386", "m68k")[n % 2], program="greet") + SERVERS for n in range(8)
    ]
    alpha = node("alpha", "serve", "greeter", program="greet") + SERVERS
    with World(f"seed = 3\n[segments.lan]\n{alpha}{''.join(clients)}") as world:
        world.run(10 * SECOND)
        for n in range(8):
            assert world.lines(f"client{n}") == [*answers(4), "END"]
        world.check()


@pytest.mark.slow
def test_sixty_four_nodes_that_look_for_each_other_at_once_find_each_other() -> None:
    """Who does not have what is asked for does not ask who asks: else each node would greet each."""
    with World(calls_text(64, 1)) as world:
        world.run(SECOND)
        assert [len(caller.times) for each in world.cluster.nodes for caller in world.programs(each.name, Caller)] == [2] * 32
        assert len(world.frames) < 64 * 20
        world.check()
