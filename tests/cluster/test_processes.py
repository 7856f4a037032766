"""A cluster whose nodes run in processes of their own is the same cluster as one that runs in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.cluster import Cluster, ClusterStop
from machemu.cluster.file import parse_file
from machemu.sim.saved import Part
from tests.support.clusters import MS, PORTS, ROOT, START, World, fault, node
from tests.support.workers import in_processes

NIC = 'nics = { eth0 = "lan" }'
SERVERS = (
    'servers = ["masix.acs.server:Acs", "masix.protocols.udp:Udp", '
    '{ class = "masix.gns.server:Gns", announces = true, prepares = true, replicates = true }]\n'
    f'memory = "2M"\n{NIC}\n'
)


def module(program: str, *arguments: object) -> str:
    return f"'images/{program}.elf {PORTS} {' '.join(map(str, arguments))} {START}'"


TEXT = f"""
seed = 5
[segments.lan]
loss = 0.05
duplication = 0.02
reordering = 0.05
[nodes.alpha]
modules = [{module("m68k/datagram", "direct echo 7")}, {module("m68k/greet", "call greeter 50")}]
{SERVERS}
[nodes.beta]
modules = [{module("i386/datagram", "direct ask 1 7 50 1400")}, {module("i386/greet", "serve greeter")}]
{SERVERS}
{node("gamma", "ask", 9, 0)}
""" + "".join(
    (
        fault("90ms", "pause", node="gamma"),
        fault("140ms", "segment", segment="lan", latency="50us", loss=0.2),
        fault("170ms", "partition", segment="lan", groups=[["alpha"]]),
        fault("230ms", "heal", segment="lan"),
        fault("260ms", "crash", node="beta"),
        fault("280ms", "resume", node="gamma"),
        fault("320ms", "restart", node="beta"),
        fault("420ms", "restart", node="gamma"),
    )
)
TIMES = [time * MS for time in (0, 1, 40, 100, 150, 200, 270, 300, 360, 430, 600)]


@pytest.mark.slow
def test_digests_files_and_consoles_are_those_of_one_process(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with World(TEXT) as world, in_processes(TEXT) as (cluster, workers):
        for time in TIMES:
            assert world.run(time) is cluster.run(time) is ClusterStop.TIME
            assert world.cluster.digest() == cluster.digest()
            assert world.cluster.arrivals == cluster.arrivals
        for each, worker in zip(world.cluster.nodes, workers, strict=True):
            assert each.digest() == worker.digest()
            assert worker.console().decode().splitlines() == world.lines(each.name) != []
        assert world.cluster.arrivals > 150
        world.cluster.save(one)
        cluster.save(other)
        assert one.read_bytes() == other.read_bytes()
        digest = cluster.digest()
    with Cluster.load(other, parse_file(TEXT, ROOT)) as loaded:
        assert loaded.digest() == digest


def test_a_cluster_s_digest_is_one_of_each_node_and_of_what_is_between_them() -> None:
    with World(TEXT) as world:
        world.run(40 * MS)
        cluster = world.cluster
        digest = cluster.digest()
        assert cluster.digest() == digest
        cluster.segments[0].bytes += 1
        assert cluster.digest() != digest
        cluster.segments[0].bytes -= 1
        for each in cluster.nodes:
            own = each.digest()
            each.frames += 1
            assert each.digest() != own and cluster.digest() != digest
            each.frames -= 1
            assert each.digest() == own and cluster.digest() == digest


def test_a_mistake_in_another_process_names_the_node() -> None:
    text = f'[segments.lan]\n[nodes.far]\nmodules = ["images/i386/hello.elf {PORTS} {START}"]\nmemory = "1M"\n{NIC}\n'
    text += 'servers = ["no.such:Server"]\n'
    with pytest.raises(UserError, match=r"^node far: server no.such:Server: cannot be imported"), in_processes(text):
        pass


def test_a_saved_node_is_plain_data_in_parts_that_share_nothing() -> None:
    with World(TEXT) as world:
        world.run(40 * MS)
        for each in world.cluster.nodes:
            part = each.save()
            assert isinstance(part, Part) and isinstance(part.graph, bytes)
            assert part.size and all(isinstance(number, int) and isinstance(page, bytes) for number, page in part.pages)
        each.crash()
        assert (each.save().size, list(each.save().pages)) == (0, [])
