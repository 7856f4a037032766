"""User datagrams between guests, by the library in both ways and by the server: whole, or lost, or told that it is over."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.cluster.pcap import Capture
from machemu.device.ethernet import EthernetDriver
from machemu.kern import task_control
from machemu.sim.output import Output
from masix.gns.server import Gns
from masix.net import frames
from masix.net.filters import takes
from masix.net.frames import DATA_MAX, LostError
from masix.net.ip import checksum, ip_of, mac_of
from masix.protocols.udp import Udp
from tests.support.clusters import MS, SECOND, World, fault, node, saved_in_between
from tests.support.datagrams import SERVERS, WAYS, cluster

LOSSY = "loss = 0.2\nduplication = 0.1\nreordering = 0.2\n"
NOTHING_LOST = "0 0 0 0 0 0 0"
MACHINES = ("i386", "m68k")


def pair(
    echo: tuple[str, str], ask: tuple[str, str], count: int, size: int, lan: str = "", faults: str = "", rest: str = ""
) -> str:
    """(machine, way) of each; `alpha` is node 1."""
    alpha = node("alpha", echo[1], "echo", 7, machine=echo[0], program="datagram") + SERVERS
    beta = node("beta", ask[1], "ask", 1, 7, count, size, machine=ask[0], program="datagram") + SERVERS
    return f"seed = 4\n[segments.lan]\n{lan}{alpha}{beta}{rest}{faults}"


LATER: Final = fault("1us", "pause", node="beta") + fault("60ms", "resume", node="beta")
"""`beta` asks once `alpha` echoes, however slow that is: no first question is lost."""


def end(world: World, name: str, task_name: str) -> None:
    """A task ends, as if it had been terminated."""
    kernel = world.node(name).kernel
    assert kernel is not None
    for task in [task for task in kernel.kern.tasks.values() if task_name in task.name]:
        task_control.terminate(kernel.kern, task)
    world.node(name).idle = False


def came_back(world: World, count: int, size: int) -> tuple[int, int]:
    """How often `beta` asked again, as where nobody had the port yet, and how many answers came that it had not waited for. All
    else is as it must be."""
    _, result, counts, last = world.lines("beta")
    words = result.split()
    again, others = int(words[6]), int(words[9])
    assert result == f"{count} of {size} bytes came back, {again} asked again, {others} others came"
    assert counts == f"sent {count + again}, received {count + others}, lost {NOTHING_LOST}"
    assert last == "END"
    return again, others


@pytest.mark.parametrize(("echo", "ask"), list(product(product(MACHINES, WAYS), repeat=2)))
def test_datagrams_come_back_from_every_machine_whichever_way(echo: tuple[str, str], ask: tuple[str, str]) -> None:
    with World(pair(echo, ask, 3, 33, faults=LATER)) as world:
        world.run(SECOND)
        assert came_back(world, 3, 33)[1] == 0
        assert world.lines("alpha") == ["echoes at port 7"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 15, 16, 17, 1471, DATA_MAX])
def test_datagrams_of_every_size(way: str, size: int) -> None:
    with World(pair(("m68k", way), ("i386", way), 3, size, faults=LATER)) as world:
        world.run(SECOND)
        assert came_back(world, 3, size)[1] == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_loss_duplication_and_reordering_lose_and_repeat_but_change_nothing(way: str, seed: int) -> None:
    """Each that came is counted as one of its number or as an older one: nothing is wrong, and nobody else's."""
    with World(pair(("i386", way), ("m68k", way), 40, 100, lan=LOSSY), seed) as world:
        world.run(60 * SECOND)
        asked_again, others = came_back(world, 40, 100)
        assert asked_again > 0 and others > 0


def broken(position: int, value: int) -> bytes:
    """A datagram for port 7 of node 1 with some bits turned over, its IPv4 checksum right again where another part is broken."""
    data = bytearray(datagram(b"hello, world of datagrams"))
    data[position] ^= value
    if 14 <= position < 34 and position not in (24, 25):
        data[24:26] = b"\0\0"
        data[24:26] = checksum(bytes(data[14:34])).to_bytes(2, "big")
    return bytes(data)


def datagram(data: bytes) -> bytes:
    return frames.make(mac_of(1) + mac_of(2), ip_of(2), ip_of(1), 9, 7, data)


def hears(way: str, machine: str, heard: list[bytes]) -> tuple[list[int], list[int]]:
    """What the application and its server count when `alpha` has heard these frames and a good one."""
    alpha = node("alpha", way, "echo", 7, 1, machine=machine, program="datagram") + SERVERS
    text = f'[segments.lan]\n{alpha}[nodes.beta]\nmemory = "4M"\nservers = ["masix.acs.server:Acs"]\nnics = {{ eth0 = "lan" }}\n'
    with World(text) as world:
        # The address of node 2 is known when it is to be answered, as it has asked for that of node 1.
        arp = bytes.fromhex("0001 0800 0604 0001") + mac_of(2) + ip_of(2) + bytes(6) + ip_of(1)
        spoken = [b"\xff" * 6 + mac_of(2) + b"\x08\x06" + arp, *heard, datagram(b"good")]
        for number, frame in enumerate(spoken):
            world.run((200 + 5 * number) * MS)
            world.send("beta", (200 + 5 * number) * MS, frame)
        world.run(2 * SECOND)
        assert world.lines("alpha")[-1] == "END"
        words = world.lines("alpha")[-2].replace(",", "").split()
        (udp,) = world.programs("alpha", Udp)
        assert isinstance(udp, Udp)
        return [int(word) for word in words if word.isdigit()], list(udp.counts)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("way", WAYS)
def test_broken_frames_are_dropped_and_counted_whoever_reads_them(way: str, machine: str) -> None:
    heard = [
        broken(24, 0xFF),
        broken(42, 1),
        broken(41, 1),
        broken(20, 0x20),
        broken(21, 7),
        broken(16, 1),
        broken(38, 1),
        broken(39, 0x38),
        broken(39, 0x24),
        broken(26, 0xF5),
    ]
    own, servers = hears(way, machine, heard)
    counts = own if way != "server" else servers
    assert counts == [1, 1, 0, 3, 4, 2, 1, 0, 0]
    assert (servers if way != "server" else own)[2:] == [0] * 7


CHANGES = st.lists(st.tuples(st.integers(12, 66), st.integers(1, 255)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=12)
@given(st.lists(CHANGES, max_size=8), st.sampled_from(MACHINES))
def test_the_library_judges_frames_as_the_server_does(changes: list[list[tuple[int, int]]], machine: str) -> None:
    heard = []
    for each in changes:
        data = bytearray(broken(*each[0]))
        for position, value in each[1:]:
            data[position] ^= value
        heard.append(bytes(data))
    own, _ = hears("checked", machine, heard)
    expected = [1, 1, 0, 0, 0, 0, 0, 0, 0]
    mine = {6: (0xFFFF, 0x800), 7: (0xFF00, 0x4500), 11: (0xFF, 17), 15: (0xFFFF, 0x0A00), 16: (0xFFFF, 1), 18: (0xFFFF, 7)}
    for frame in heard:
        if not takes(mine, frame):
            continue
        try:
            frames.read(frame, ip_of(1))
        except LostError as error:
            expected[error.why] += 1
        else:
            # It is good, or looks so: the application answers that one, and has then done what it was to do.
            return
    assert own == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", ["udp", "gns"])
def test_the_end_of_the_environment_closes_connections_and_is_told(way: str, task: str) -> None:
    """The datagram server is the environment of its protocols; without the network server nothing of them is left either."""
    with World(pair(("i386", way), ("m68k", way), 1000, 8)) as world:
        world.run(100 * MS)
        assert world.lines("alpha") == ["echoes at port 7"]
        end(world, "alpha", task)
        world.run(10 * SECOND)
        assert world.lines("alpha")[1] == "the socket is closed" and world.lines("alpha")[-1] == "END"
        assert world.lines("beta")[1].startswith("no answer to ")
        if task == "udp":
            (gns,) = world.programs("alpha", Gns)
            assert isinstance(gns, Gns)
            assert (gns.protocols.protocols, gns.protocols.connections) == ({}, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_that_is_closed_leaves_nothing(way: str) -> None:
    with World(pair(("i386", way), ("i386", way), 4, 8)) as world:
        world.run(2 * SECOND)
        (udp,), (gns,) = world.programs("beta", Udp), world.programs("beta", Gns)
        assert isinstance(udp, Udp) and isinstance(gns, Gns)
        assert (udp.sockets, udp.questions, udp.waiting) == ({}, {}, {})
        # What is left is ARP's.
        assert len(gns.protocols.connections) == 1
        kernel = world.node("beta").kernel
        assert kernel is not None
        driver = next(each for each in kernel.devices.drivers if isinstance(each, EthernetDriver))
        assert sum(port.active for each in driver.filters for _, port in each.receivers) == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_application_that_dies_frees_its_port(way: str) -> None:
    program = "images/i386/datagram.elf"
    second = f"'{program} ${{host-port}} ${{device-port}} {way} echo 7 $(task-create) $(task-resume)'"
    text = pair(("i386", way), ("m68k", way), 3, 8).replace("$(task-resume)']", f"$(task-resume)', {second}]", 1)
    with World(text) as world:
        world.run(SECOND)
        assert sorted(world.lines("alpha")) == ["END", "echoes at port 7", "no socket: 13"]
        end(world, "alpha", "datagram")
        world.run(2 * SECOND)
        (udp,), (gns,) = world.programs("alpha", Udp), world.programs("alpha", Gns)
        assert isinstance(udp, Udp) and isinstance(gns, Gns)
        assert udp.sockets == {} and len(gns.protocols.connections) == 1


def test_who_is_not_there_is_not_reached() -> None:
    for way in WAYS:
        with World(pair(("i386", way), ("i386", way), 1, 8).replace("ask 1 7", "ask 9 7")) as world:
            world.run(600 * SECOND)
            assert world.lines("beta")[1].startswith("no answer to 1: ")


def test_without_a_datagram_server_there_is_no_network_for_datagrams() -> None:
    text = pair(("i386", "direct"), ("i386", "checked"), 1, 8).replace(', "masix.protocols.udp:Udp"', "")
    with World(text) as world:
        world.run(10 * SECOND)
        for name in ("alpha", "beta"):
            assert world.lines(name) == ["there is no datagram server", "END"]


def test_calls_of_other_nodes_go_on_beside() -> None:
    """The network servers' own datagrams are theirs."""
    gamma = node("gamma", "serve", "greeter", program="greet") + SERVERS
    delta = node("delta", "call", "greeter", 5, machine="m68k", program="greet") + SERVERS
    with World(pair(("i386", "direct"), ("m68k", "checked"), 20, 200, rest=gamma + delta)) as world:
        world.run(10 * SECOND)
        came_back(world, 20, 200)
        assert world.lines("delta")[-2:] == ["answer 5: -1000 GOOD MORNING", "END"]


@pytest.mark.slow
def test_a_node_that_crashes_and_comes_back_is_asked_again() -> None:
    faults = fault("30ms", "crash", node="alpha") + fault("300ms", "restart", node="alpha")
    for way in WAYS:
        with World(pair(("i386", way), ("i386", way), 300, 8, faults=faults)) as world:
            world.run(30 * SECOND)
            assert world.lines("beta")[1].startswith("300 of 8 bytes came back, ")
            assert world.lines("alpha") == ["echoes at port 7"] * 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("time", [7_000_000, 33_333_333])
def test_a_cluster_saved_in_the_middle_goes_on_the_same(way: str, time: int, tmp_path: Path) -> None:
    text = pair(("i386", way), ("m68k", way), 20, 300, lan=LOSSY)
    with saved_in_between(text, time, 60 * SECOND, tmp_path / "saved") as world:
        assert world.lines("beta")[1].startswith("20 of 300 bytes came back, ")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("way", WAYS)
def test_tshark_reads_every_frame(way: str, tmp_path: Path) -> None:
    capture = tmp_path / "datagrams.pcapng"
    with World(cluster("m68k", way, 777, 5)) as world, Output.create(capture) as file:
        frames = Capture(file, ["lan"])
        world.cluster.watch(frames.happened)
        world.run(SECOND)
        frames.finish()
    names = ("eth.type", "arp.opcode", "udp.length", "_ws.malformed", "ip.checksum.status", "udp.checksum.status", "_ws.expert")
    fields = [part for name in names for part in ("-e", name)]
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    done = subprocess.run(["tshark", "-r", capture, *checks, "-T", "fields", *fields], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1] for row in rows if row[0] == "0x0806"] == ["1", "2"]
    datagrams = [row for row in rows if row[0] == "0x0800"]
    assert datagrams == [["0x0800", "", "785", "", "1", "1", ""]] * 10
