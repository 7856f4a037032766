"""A name or network server that dies is started again by the loader, and its node goes on."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from machemu.machine.profile import DEFAULT_PROFILES
from masix.acs.server import Acs
from masix.gns.server import Gns
from masix.protocols.udp import Udp
from tests.support.callers import Caller
from tests.support.clusters import MS, SECOND, World, saved_in_between, with_guests
from tests.support.datagrams import SERVERS as DATAGRAM_SERVERS
from tests.support.datagrams import WAYS
from tests.support.datagrams import cluster as datagrams
from tests.support.dependents import Dependent
from tests.support.name_servers import GUEST, HOST, both_places
from tests.support.revived import kill

PROFILES = list(DEFAULT_PROFILES.values())
PAIRS = list(product(PROFILES, PROFILES))
KILL_MS = 4000
WITHIN = 5 * SECOND
KILLS = ("acs", "gns")
PROFILES_OF = {"i386": "pc486dx2-66", "m68k": "sun3-60"}


def cluster(profiles: tuple[str, str], place: str = HOST, replicates: bool = False, killer: str = "", late_ms: int = 4500) -> str:
    """Two nodes that depend on each other. On both, a program that looks the other node's answerer up at 3 s and calls it for
    long, and one that looks it up at `late_ms`. killer: a program of the first node that ends a task of this name."""
    text = "[segments.lan]\n"
    gns = f'{{ class = "masix.gns.server:Gns", replicates = {str(replicates).lower()} }}'
    for name, other, profile in (("alpha", "beta", profiles[0]), ("beta", "alpha", profiles[1])):
        programs = [
            f'class = "tests.support.dependents:Dependent", name = "{name}", other = "{other}", start_ms = 3000',
            f'class = "tests.support.revived:Lasting", name = "last {name}"',
            f'class = "tests.support.callers:Caller", name = "last {other}", start_ms = {late_ms}',
        ]
        if killer and name == "alpha":
            programs.append(f'class = "tests.support.revived:Killer", name = "{killer}", at_ms = {KILL_MS}')
        servers = ", ".join(['"masix.acs.server:Acs"', gns, *(f"{{ {program} }}" for program in programs)])
        text += f'[nodes.{name}]\nprofile = "{profile}"\nmemory = "4M"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
    return with_guests(text) if place == GUEST else text


def check_calls(world: World) -> None:
    """Who looked a service up after the death has found and called it."""
    for name in ("alpha", "beta"):
        (caller,) = world.programs(name, Caller)
        assert len(caller.times) == caller.calls + 2 and caller.times[-1] < KILL_MS * MS + WITHIN, (name, caller.times)


@both_places
@pytest.mark.parametrize("profiles", PAIRS)
@pytest.mark.parametrize("replicates", [False, True])
@pytest.mark.parametrize("what", KILLS)
def test_look_ups_and_calls_work_again_after_a_server_was_killed(
    what: str, replicates: bool, profiles: tuple[str, str], place: str
) -> None:
    with World(cluster(profiles, place, replicates)) as world:
        world.run(KILL_MS * MS)
        powered = world.node("alpha").powered
        kill(world, "alpha", what)
        world.run(KILL_MS * MS + WITHIN)
        check_calls(world)
        assert world.node("alpha").powered == powered, "it has rebooted"
        for name in ("alpha", "beta"):
            (program,) = world.programs(name, Dependent)
            ends = [program.died, program.unused, program.spent]
            if what == "gns":
                assert all(KILL_MS * MS < time < KILL_MS * MS + 2 * SECOND for time in ends), ends
            else:
                assert ends == [0, 0, 0], "rights between nodes do not go through the name server"


@both_places
@pytest.mark.parametrize("what", KILLS)
def test_a_privileged_client_that_ends_a_server_finds_the_next_one(what: str, place: str) -> None:
    with World(cluster(PAIRS[1], place, killer=what)) as world:
        world.run(KILL_MS * MS + WITHIN)
        check_calls(world)


@pytest.mark.parametrize("what", KILLS)
def test_a_server_may_die_again_and_again_and_leaves_nothing(what: str) -> None:
    with World(cluster(PAIRS[1], late_ms=14_000)) as world:
        counts = []
        for at in range(5, 13):
            world.run(at * SECOND)
            kernel = world.node("alpha").kernel
            assert kernel is not None
            counts.append((len(kernel.kern.tasks), len(kernel.ipc.ports), kernel.kern.thread_count))
            kill(world, "alpha", what)
        assert counts[3:] == counts[2:-1], counts
        world.run(20 * SECOND)
        (caller,) = world.programs("beta", Caller)
        assert len(caller.times) == caller.calls + 2
        assert [len(world.programs("alpha", kind)) for kind in (Acs, Gns)] == [1, 1]


def test_a_name_server_that_is_started_again_knows_its_clients_and_when_one_ends() -> None:
    with World(cluster(PAIRS[1])) as world:
        world.run(KILL_MS * MS)
        kill(world, "alpha", "acs")
        world.run(6 * SECOND)
        node = world.node("alpha")
        (acs,) = world.programs("alpha", Acs)
        assert node.kernel is not None
        everybody = [task for task in node.kernel.kern.tasks.values() if task.active and task.number and "acs" not in task.name]
        assert len(acs.clients) == 1 + len(everybody)
        kill(world, "alpha", "caller")
        world.run(7 * SECOND)
        assert len(acs.clients) == len(everybody)


def test_both_servers_may_die_at_once() -> None:
    with World(cluster(PAIRS[2])) as world:
        world.run(KILL_MS * MS)
        for what in KILLS:
            kill(world, "alpha", what)
        world.run(KILL_MS * MS + WITHIN)
        check_calls(world)


@pytest.mark.parametrize("what", KILLS)
def test_a_server_that_was_stopped_stays_away(what: str) -> None:
    action = f'[[actions]]\nat = "4s"\nkind = "stop"\nnode = "alpha"\nname = "{what}"\n'
    with World(cluster(PAIRS[0]) + action) as world:
        world.run(KILL_MS * MS + WITHIN)
        kernel = world.node("alpha").kernel
        assert kernel is not None and what not in [task.name for task in kernel.kern.tasks.values()]


@pytest.mark.parametrize("what", KILLS)
def test_a_cluster_saved_after_a_server_came_back_goes_on_the_same(what: str, tmp_path: Path) -> None:
    text = cluster(PAIRS[1], killer=what)
    with saved_in_between(text, (KILL_MS + 1) * MS, 9 * SECOND, tmp_path / "saved") as world:
        kernel = world.node("alpha").kernel
        assert kernel is not None and what in [task.name for task in kernel.kern.tasks.values()]


@pytest.mark.parametrize("machine", ["i386", "m68k"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kills", [("gns",), ("acs",), ("gns", "acs"), ("acs", "gns"), ("gns", "gns")], ids="-".join)
def test_the_datagram_server_comes_back_with_network_and_name_server(machine: str, way: str, kills: tuple[str, ...]) -> None:
    """Who opens sockets after that uses them, though those that were open are over."""
    text = "[segments.lan]\n"
    for name, words, at in (("alpha", "echo 7", 400), ("beta", "ask 1 7 20 100", 500)):
        profile = PROFILES_OF[machine]
        text += f'[nodes.{name}]\nmemory = "4M"\nprofile = "{profile}"\nnics = {{ eth0 = "lan" }}\n{DATAGRAM_SERVERS}'
        text += f'[[actions]]\nat = "{at}ms"\nkind = "start"\nnode = "{name}"\n'
        text += f'server = {{ guest = "images/{machine}/datagram.elf {way} {words}" }}\n'
    with World(text) as world:
        for number, what in enumerate(kills):
            world.run((100 + 60 * number) * MS)
            for name in ("alpha", "beta"):
                kill(world, name, what)
        world.run(3 * SECOND)
        assert world.lines("alpha") == ["echoes at port 7"]
        assert world.lines("beta")[-3].startswith("20 of 100 bytes came back")
        for name in ("alpha", "beta"):
            (server,) = world.programs(name, Udp)
            assert len(server.registered) == 2 and server.registration


@pytest.mark.parametrize("way", WAYS)
def test_sockets_end_with_the_network_server_and_their_owner_is_told(way: str) -> None:
    with World(datagrams("i386", way, 100, 5)) as world:
        world.run(SECOND)
        assert "END" in world.lines("beta") and len(world.programs("alpha", Udp)[0].sockets) == 1
        kill(world, "alpha", "gns")
        world.run(2 * SECOND)
        assert world.programs("alpha", Udp)[0].sockets == {}
