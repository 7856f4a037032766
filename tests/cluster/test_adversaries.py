"""An adversary that knows the source tries what it can against the servers of its node and their clients, here and far away.

Each attempt is a test: the service keeps its name, its clients here and on the other node are answered, the servers live, and
nothing is left of the attempt when its program has ended. docs/masix.md lists those that once succeeded.
"""

from __future__ import annotations

import json
import re

import pytest

from machemu.cluster.faults import StartServer, StopServer
from machemu.cluster.server_specs import ServerSpec
from machemu.core.observe import watch
from machemu.trace.events import MessageMoved, TraceEvent
from masix.acs.server import Acs
from masix.gns.server import Gns
from masix.interfaces.acs_client import ACS_NAME_ENTERED
from tests.support.attackers import ATTEMPTS, Attacker
from tests.support.clients import Caller, Steps
from tests.support.clusters import ACS, MS, ROOT, SECOND, World, with_guests
from tests.support.name_servers import GUEST, both_places

PROFILES = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
CALLS = 40
LATE = 1_500
END = 5 * SECOND
both_machines = pytest.mark.parametrize("architecture", list(PROFILES))


def program(kind: str, **options: object) -> str:
    values = "".join(f", {key} = {json.dumps(value)}" for key, value in options.items())
    return f'{{ class = "tests.support.{kind}"{values} }}'


def cluster(attempt: str, architecture: str) -> str:
    """Node a, with a service, a client and the adversary, and node b with a client."""
    attacker = program("attackers:Attacker", attempt=attempt)
    caller = program("clients:Caller", name="bank", calls=CALLS, every=40)
    late = program("clients:Steps", script=f"{LATE} look bank; {LATE + 100} who bank")
    text = "[segments.lan]\n"
    there = next(each for each in PROFILES if each != architecture)
    for name, machine, own in (
        ("a", architecture, (program("clients:Link", name="bank"), caller, late, attacker)),
        ("b", there, (caller, late)),
    ):
        servers = ", ".join((ACS, '"masix.gns.server:Gns"', *own))
        text += f'[nodes.{name}]\nprofile = "{PROFILES[machine]}"\nmemory = "8M"\nservers = [{servers}]\n'
        text += 'nics = { eth0 = "lan" }\n'
    return text


@both_machines
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_whatever_an_adversary_tries_the_others_go_on(attempt: str, architecture: str) -> None:
    with World(cluster(attempt, architecture)) as world:
        world.run(END)
        for node in ("a", "b"):
            (caller,) = world.programs(node, Caller)
            assert (caller.answers, caller.lost) == (CALLS, 0)
            (late,) = world.programs(node, Steps)
            assert [each.value for each in late.said if each.step == "who"] == [1]
            assert len(world.programs(node, Acs)) == len(world.programs(node, Gns)) == 1
            assert world.node(node).powered == 0
        attacker = next(iter(world.programs("a", Attacker)), None)
        assert attacker is None or attacker.round >= 4
        _check_nothing_left(world)


def _check_nothing_left(world: World) -> None:
    """Once the adversary has ended the servers keep what they would without it."""
    if world.programs("a", Attacker):
        _, why = world.cluster.links[0].act(StopServer(END, 1, "attacker"), 0)
        assert not why
    world.run(END + 2 * SECOND)
    (acs,), (gns,) = world.programs("a", Acs), world.programs("a", Gns)
    assert sorted(acs.entries) == [b"bank", b"gns"]
    assert not acs.questions and not gns.questions and not gns.names.queries
    assert len(acs.watchers) <= 4, "the network server, and servers' ports that do not end"
    assert len(gns.tables.exports) <= 3 and len(gns.tables.proxies) <= 3


@both_places
@both_machines
def test_a_network_server_that_is_started_again_hears_of_names_though_others_have_taken_all_places(
    architecture: str, place: str
) -> None:
    """They watch with the service's port, and so on: places that are not free when they end."""
    text = cluster("takes all places of watchers and hears nothing", architecture)
    with World(with_guests(text) if place == GUEST else text) as world:
        world.run(150 * MS)
        node, heard = world.node("a"), list[int]()
        assert node.kernel is not None
        node.act(StopServer(150 * MS, 1, "gns"), 0)
        world.run(SECOND)
        assert not world.programs("a", Gns)
        node.act(StartServer(SECOND, 1, ServerSpec("masix.gns.server:Gns")), 7)
        watch(node.kernel, Names(heard))
        world.run(2 * SECOND)
        assert ACS_NAME_ENTERED.request.id in heard


class Names:
    """Ids of the messages that network servers receive."""

    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, MessageMoved) and not event.is_sent and event.task_name == "gns":
            self.heard.append(event.message_id)


def test_there_are_thirty_attempts_and_more() -> None:
    assert len(ATTEMPTS) >= 30
    page = (ROOT / "docs" / "masix.md").read_text().split("## Who tries what\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^- (.*?)(?: \*\*.*)?$", page, re.MULTILINE)) == sorted(ATTEMPTS)
