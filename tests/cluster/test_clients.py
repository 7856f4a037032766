"""What a client of the Masix servers may do to them, to their node and to other clients: use them, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from machemu.core.observe import watch
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.trace.events import Noted, TraceEvent
from masix.protocols.udp import Udp
from tests.support.clients import MS, SEND_ONCE_DIED, Caller, Giver, Said, Sink, Source, Steps, pattern
from tests.support.clusters import PORTS, SECOND, START, World, fault, with_guests
from tests.support.name_servers import GUEST, both_places

RUDE = Path("tests") / "cluster" / "guests"
PROFILES = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
HERE, FAR = ("i386",), ("i386", "m68k", "i386", "m68k")
NO_SENDERS, PORT_DESTROYED = MACH_NOTIFY_NO_SENDERS.request.id, MACH_NOTIFY_PORT_DESTROYED.request.id
LARGE = 17 << 20


def program(kind: str, /, **options: object) -> str:
    """A server's entry in a cluster file."""
    values = "".join(f", {key} = {value!r}".replace("'", '"') for key, value in options.items())
    return f'{{ class = "tests.support.clients:{kind}"{values} }}'


def steps(script: str) -> str:
    return program("Steps", script=script)


def machine(name: str, architecture: str, *programs: str, memory: str = "4M", module: str = "", switch: str = "") -> str:
    network = f'{{ class = "masix.gns.server:Gns", {switch} = true }}' if switch else '"masix.gns.server:Gns"'
    servers = ", ".join(('"masix.acs.server:Acs"', network, *programs))
    modules = f"modules = ['{RUDE}/{architecture}/rude.elf {PORTS} {module} {START}']\n" if module else ""
    head = f'[nodes.{name}]\nprofile = "{PROFILES[architecture]}"\nmemory = "{memory}"\n{modules}'
    return f'{head}servers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'


def lan(*machines: str, bandwidth: str = "10M") -> str:
    return f'seed = 5\n[segments.lan]\nbandwidth = "{bandwidth}"\n' + "".join(machines)


def nodes(*scripts: str, switch: str = "") -> str:
    """Nodes n1, n2, ... of both machines in turn, each with the scripts of one text, parted by `|`."""
    every = enumerate(scripts, 1)
    return lan(*(machine(f"n{n}", FAR[n - 1], *map(steps, text.split("|")), switch=switch) for n, text in every))


def placed(text: str, place: str) -> str:
    """A cluster whose name servers are in Python or guests."""
    return with_guests(text) if place == GUEST else text


def said(world: World, node: str, number: int = 0) -> dict[int, Said]:
    """What a Steps program noted, by the milliseconds at which each step began."""
    return {each.ms: each for each in world.programs(node, Steps)[number].said}


@pytest.mark.slow
@pytest.mark.parametrize("architectures", [("i386", "m68k"), ("m68k", "i386")], ids=["to i386", "to m68k"])
def test_a_message_of_17_mb_arrives_whole(architectures: tuple[str, str]) -> None:
    there, here = architectures
    text = lan(
        machine("a", there, program("Sink"), memory="64M"),
        machine("b", here, program("Source", size=LARGE), memory="64M"),
        bandwidth="1000M",
    )
    with World(text) as world:
        world.run(60 * SECOND)
        (sink,), (source,) = world.programs("a", Sink), world.programs("b", Source)
        assert sink.received == [(LARGE, hashlib.sha256(pattern(LARGE)).hexdigest())]
        assert source.ended == 1


@pytest.mark.slow
def test_a_guest_that_sends_17_mb_ends_nothing_and_they_arrive() -> None:
    text = lan(
        machine("a", "i386", program("Sink"), memory="64M"),
        machine("b", "m68k", memory="64M", module=f"big sink {LARGE >> 10}"),
        bandwidth="1000M",
    )
    with World(text) as world:
        world.run(60 * SECOND)
        (sink,) = world.programs("a", Sink)
        assert [size for size, _ in sink.received] == [LARGE]
        assert "END" in world.lines("b")


@pytest.mark.slow
def test_a_message_that_a_node_cannot_hold_is_destroyed_and_its_other_services_answer() -> None:
    text = lan(
        machine("a", "i386", program("Sink"), program("Link", name="s1"), memory="4M"),
        machine("b", "i386", program("Source", size=6 << 20), memory="32M"),
        machine("c", "m68k", program("Caller", name="s1", calls=10, every=200)),
        bandwidth="100M",
    )
    with World(text) as world:
        world.run(6 * SECOND)
        (sink,), (source,), (caller,) = world.programs("a", Sink), world.programs("b", Source), world.programs("c", Caller)
        assert (sink.received, source.ended) == ([], SEND_ONCE_DIED)
        assert (caller.answers, caller.lost) == (10, 0)


@both_places
def test_a_client_cannot_unregister_a_service_that_it_looked_up(place: str) -> None:
    with World(placed(nodes("10 reg svc|100 look svc; 200 unreg svc; 300 look svc"), place)) as world:
        world.run(SECOND)
        found = said(world, "n1", 1)
        assert found[200].value != 0
        assert found[300].value != 0


@both_places
def test_a_client_cannot_take_the_network_servers_name(place: str) -> None:
    with World(placed(nodes("100 look gns; 200 unreg gns; 300 reg gns|600 look far", "10 reg far"), place)) as world:
        world.run(2 * SECOND)
        found = said(world, "n1")
        assert found[200].value != 0
        assert found[300].value != 0
        assert said(world, "n1", 1)[600].value != 0


@both_places
@pytest.mark.parametrize("architecture", ["i386", "m68k"])
def test_a_client_cannot_take_the_datagram_servers_name_before_it_does(architecture: str, place: str) -> None:
    text = lan(machine("n1", architecture, steps("0 reg udp; 500 look udp"), '"masix.protocols.udp:Udp"'))
    with World(placed(text, place)) as world:
        world.run(SECOND)
        (client,) = world.programs("n1", Steps)
        registered, found = client.said
        assert registered.value != 0 and found.value != 0
        (server,) = world.programs("n1", Udp)
        assert server.registration


@both_places
def test_a_guest_cannot_cut_its_node_off_by_unregistering_the_network_server(place: str) -> None:
    text = lan(machine("a", "i386", steps("10 reg far")), machine("b", "m68k", module="unreg gns"))
    with World(placed(text, place)) as world:
        world.run(5 * SECOND)
        lines = world.lines("b")
        assert "END" in lines
        assert "look up far: 0, a right 1" in lines


@both_places
def test_a_check_out_without_a_signature_leaves_what_was_registered(place: str) -> None:
    script = "100 checkout svc; 200 look svc; 300 checkout gns; 400 look gns"
    with World(placed(nodes(f"10 reg svc|{script}"), place)) as world:
        world.run(SECOND)
        found = said(world, "n1", 1)
        assert found[100].value != 0 and found[300].value != 0
        assert found[200].value != 0 and found[400].value != 0


@both_places
def test_a_guest_cannot_reboot_its_node_by_registering_as_essential_and_ending(place: str) -> None:
    text = lan(machine("a", "i386"), machine("b", "m68k", module="bomb"))
    with World(placed(text, place)) as world:
        world.run(SECOND // 2)
        assert world.node("b").powered == 0
        assert world.lines("b").count("END") == 1


switches = pytest.mark.parametrize("switch", ["", "announces", "introduces", "prepares", "replicates"])


@both_places
@switches
def test_a_service_that_was_unregistered_is_found_on_no_node(switch: str, place: str) -> None:
    scripts = ("10 reg svc; 3500 unreg svc", "3100 look svc; 4600 look svc", "4600 look svc")
    with World(placed(nodes(*scripts, switch=switch), place)) as world:
        world.run(7 * SECOND)
        assert said(world, "n2")[3100].value != 0
        assert [said(world, name)[4600].value for name in ("n2", "n3")] == [0, 0]


@both_places
@switches
def test_a_service_that_registers_elsewhere_is_found_there_by_who_knew_the_old_one(switch: str, place: str) -> None:
    late = "5000 look svc; 5200 who svc"
    scripts = ("10 reg svc; 3500 unreg svc", f"3100 look svc; 3200 who svc; {late}", "3700 reg svc", late)
    with World(placed(nodes(*scripts, switch=switch), place)) as world:
        world.run(7 * SECOND)
        assert said(world, "n2")[3200].value == 1
        assert [said(world, name)[5200].value for name in ("n2", "n4")] == [3, 3]


@pytest.mark.slow
def test_every_call_ends_when_a_node_crashes_that_forwards_it() -> None:
    text = lan(
        machine("a", "i386", program("Link", name="s1", next="s2")),
        machine("b", "m68k", program("Link", name="s2", next="s3")),
        machine("c", "i386", program("Link", name="s3", delay=300)),
        machine("d", "m68k", program("Caller", name="s1", calls=4)),
    )
    with World(text + fault("400ms", "crash", node="b")) as world:
        world.run(120 * SECOND)
        (caller,) = world.programs("d", Caller)
        assert caller.begun == 4
        assert caller.answers + caller.lost == 4


@both_places
def test_a_look_up_honours_the_hosts_name(place: str) -> None:
    steps = ("n2", "n1", "n4", "n3", "*", "nobody")
    script = "; ".join(f"{700 + 1000 * n} netlook svc {host}; {1600 + 1000 * n} who svc" for n, host in enumerate(steps))
    with World(placed(nodes("10 reg svc", "10 reg svc", script, "10 reg other; 20 reg svc"), place)) as world:
        world.run(8 * SECOND)
        found = said(world, "n3")
        assert [found[1600 + 1000 * n].value for n in range(4)] == [2, 1, 4, 0]
        assert found[5600].value in (1, 2, 4)
        assert found[6600].value == 0


def hear(world: World, notes: list[tuple[str, Noted]]) -> None:
    """Keeps what the nodes' servers say of themselves."""

    class Hearer:
        def __init__(self, name: str) -> None:
            self.name = name

        def emit(self, event: TraceEvent) -> None:
            if isinstance(event, Noted):
                notes.append((self.name, event))

    for each in world.cluster.nodes:
        assert each.kernel is not None
        watch(each.kernel, Hearer(each.name))


@pytest.mark.parametrize("switch", ["", "introduces"])
def test_a_name_on_two_nodes_is_reported_to_both(switch: str) -> None:
    notes: list[tuple[str, Noted]] = []

    with World(nodes("10 reg svc", "10 reg svc", "700 look svc; 900 look other", "10 reg other", switch=switch)) as world:
        hear(world, notes)
        world.run(2 * SECOND)
    clashes = sorted((node, note.text) for node, note in notes if "also at" in note.text)
    assert clashes == [("n1", "gns: the name svc is also at node 2"), ("n2", "gns: the name svc is also at node 1")]


def notified(text: str) -> list[tuple[int, int]]:
    with World(text) as world:
        world.run(60 * SECOND)
        (giver,) = world.programs("a", Giver)
        return giver.notified


@pytest.mark.parametrize("far", [False, True], ids=["here", "on another node"])
@pytest.mark.parametrize(
    ("kind", "expected", "after"), [("no-senders", NO_SENDERS, 500), ("port-destroyed", PORT_DESTROYED, 1000)]
)
def test_a_notification_comes_when_what_it_is_about_happens_wherever_the_receive_right_is(
    kind: str, expected: int, after: int, far: bool
) -> None:
    giver = program("Giver", kind=kind)
    if far:
        text = lan(machine("a", "i386", giver), machine("b", "i386", program("Taker")))
    else:
        text = lan(machine("a", "i386", program("Taker"), giver))
    [(time, notification)] = notified(text) or [(0, 0)]
    assert notification == expected
    assert after <= time < after + 500


def test_a_port_whose_receive_right_is_lost_on_its_way_is_reported_destroyed_soon_after_the_crash() -> None:
    giver = program("Giver", kind="port-destroyed", drops=0)
    text = lan(machine("a", "i386", giver), machine("b", "i386", program("Taker")))
    notes: list[tuple[str, Noted]] = []
    with World(text) as world:
        hear(world, notes)
        world.run(SECOND)
    [gone] = [note.time for node, note in notes if node == "a" and "step 8" in note.text]
    [(time, notification)] = notified(text + fault(f"{gone + 100_000}ns", "crash", node="b")) or [(0, 0)]
    assert notification == PORT_DESTROYED
    assert gone < time * MS < gone + 2 * SECOND
