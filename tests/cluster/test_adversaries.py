"""An adversary that knows the source tries what it can against the servers of its node and their clients, here and far away.

Each attempt is a test: the service keeps its name, its clients here and on the other node are answered, the servers live, and
nothing is left of the attempt when its program has ended. docs/masix.md lists those that once succeeded.
"""

from __future__ import annotations

import json
import re

import pytest

from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.cluster.faults import StartServer, StopServer
from machemu.cluster.server_specs import ServerSpec
from machemu.core.observe import watch
from machemu.trace.events import MessageMoved, TraceEvent
from masix.acs.server import LOOK_UPS_OF_ONE, NAMES_OF_ONE, WATCHERS_OF_ONE, Acs
from masix.gns.server import Gns
from masix.interfaces.acs_client import ACS_NAME_ENTERED
from tests.support.attackers import ATTEMPTS, Attacker
from tests.support.clients import Caller, Steps
from tests.support.clusters import ACS, MS, PORTS, ROOT, SECOND, START, World, with_guests
from tests.support.name_servers import GUEST, both_places

PROFILES = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
GNS = '"masix.gns.server:Gns"'
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
        servers = ", ".join((ACS, GNS, *own))
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


def greedy_cluster(architecture: str, place: str, attempt: str = "") -> str:
    """Node a, with a service, a greedy task (a guest where no attempt is named) and another client of its servers; and node b."""
    there = next(each for each in PROFILES if each != architecture)
    steps = "1000 reg later; 1100 look bank; 1200 who bank; 1300 look far; 1400 who far; 1500 look later; 4500 look h7"
    own = [program("clients:Link", name="bank"), program("clients:Steps", script=steps)]
    own += [program("attackers:Attacker", attempt=attempt)] if attempt else []
    modules = f"modules = ['tests/cluster/guests/{architecture}/rude.elf {PORTS} hoard {START}']\n"
    text = "[segments.lan]\n"
    for name, machine, servers in (("a", architecture, own), ("b", there, [program("clients:Link", name="far")])):
        text += f'[nodes.{name}]\nprofile = "{PROFILES[machine]}"\nmemory = "8M"\nnics = {{ eth0 = "lan" }}\n'
        text += f"servers = [{', '.join((ACS, GNS, *servers))}]\n"
        text += "" if attempt or name == "b" else modules
    return with_guests(text) if place == GUEST else text


def check_others_served(world: World) -> None:
    """Another client of the node registers, looks up and calls, here and far away; and nothing of the greedy one is left."""
    (other,) = world.programs("a", Steps)
    said = {(each.ms, each.step): each.value for each in other.said}
    assert (said[1000, "reg"], said[1200, "who"], said[1400, "who"]) == (0, 1, 2)
    assert said[1500, "look"] and not said[4500, "look"]
    for acs in world.programs("a", Acs):
        assert sorted(acs.entries) == [b"bank", b"gns", b"later"] and not acs.questions
        assert len(acs.watchers) == 1 and len(acs.clients) == 4


@both_places
@both_machines
@pytest.mark.parametrize("attempt", ["registers names until it gets no more", "asks for a thousand names at once"])
def test_a_task_that_takes_all_the_room_that_one_may_have_is_refused_and_the_others_are_served(
    attempt: str, architecture: str, place: str
) -> None:
    with World(greedy_cluster(architecture, place, attempt)) as world:
        world.run(4 * SECOND)
        (attacker,) = world.programs("a", Attacker)
        assert attacker.codes.count(KERN_RESOURCE_SHORTAGE) >= 50
        _, why = world.cluster.links[0].act(StopServer(4 * SECOND, 1, "attacker"), 0)
        assert not why
        world.run(6 * SECOND)
        check_others_served(world)


@both_places
@both_machines
def test_a_guest_that_takes_all_the_room_that_one_may_have_is_refused_and_the_others_are_served(
    architecture: str, place: str
) -> None:
    with World(greedy_cluster(architecture, place)) as world:
        world.run(6 * SECOND)
        lines = world.lines("a")
        assert f"names: {NAMES_OF_ONE}, then {KERN_RESOURCE_SHORTAGE}" in lines
        assert f"look-ups refused: {20 - LOOK_UPS_OF_ONE}" in lines and f"watchers refused: {5 - WATCHERS_OF_ONE}" in lines
        assert "END" in lines
        check_others_served(world)


class Names:
    """Ids of the messages that network servers receive."""

    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, MessageMoved) and not event.is_sent and event.task_name == "gns":
            self.heard.append(event.message_id)


def test_there_are_thirty_attempts_and_more() -> None:
    assert len(ATTEMPTS) >= 30
    assert sorted(re.findall(r"^- (.*?)(?: \*\*.*)?$", attempts_page(), re.MULTILINE)) == sorted(ATTEMPTS)


def test_the_page_names_tests_that_there_are() -> None:
    named = re.findall(r"^\| .* \| \[`(test_\w+)`\]\(\.\./(tests/\S+)\) \|$", attempts_page(), re.MULTILINE)
    assert len(named) == attempts_page().count("\n| ") - 1 > 10
    for test, path in named:
        assert f"\ndef {test}(" in (ROOT / path).read_text()


def attempts_page() -> str:
    return (ROOT / "docs" / "masix.md").read_text().split("## Who tries what\n")[1].split("\n## ")[0]
