"""Name servers in Python and in C that follow each other while their node runs: nobody who looks a name up notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_INVALID_NAME, KERN_NAME_EXISTS, KERN_NO_ACCESS
from machemu.abi.message import PORT_SEND, CarriedPort, TypeDescriptor
from machemu.cluster.faults import ReplaceServer, StartServer, StopServer
from machemu.cluster.privileges import digest
from machemu.cluster.server_specs import GuestSpec, ServerSpec
from machemu.core import invariants
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.succession import SUCCESSION_BEGIN
from masix.acs.server import Acs
from tests.support.clients import Steps
from tests.support.clusters import ACS, MS, ROOT, SECOND, US, World, check_saved_replacements
from tests.support.name_servers import GUEST, HOST, PLACES
from tests.support.successors import Looker, Visitor, action, both_machines, cluster, desk, program, script, visitor

AT = 50
"""Milliseconds after which a server is replaced."""
both_ways = pytest.mark.parametrize(("first", "second"), [(HOST, GUEST), (GUEST, HOST), (GUEST, GUEST)])
FAITHLESS = "tests/cluster/guests/{}/faithless.elf"


def server(place: str, architecture: str) -> str:
    """A name server as a cluster file has it."""
    return ACS if place == HOST else guest(f"images/{architecture}/acs.elf")


def guest(command: str) -> str:
    return f'{{ guest = "{command}", name-server = true }}'


def name_of(place: str, architecture: str) -> str:
    return "acs" if place == HOST else f"images/{architecture}/acs.elf"


def replace(name: str, by: str, at: str = f"{AT}ms") -> str:
    return action(at, "replace", name=f'"{name}"', server=by)


def replaced(first: str, second: str, architecture: str, *servers: str, far: str = "", actions: str = "") -> str:
    """A cluster in which node a's name server is followed by another one."""
    actions = replace(name_of(first, architecture), server(second, architecture)) + actions
    return cluster(*servers, architecture=architecture, far=far, actions=actions, names=server(first, architecture))


def looker(name: str, calls: int) -> str:
    return program("tests.support.successors:Looker", name=name, calls=calls)


def names_of(world: World) -> list[str]:
    """The servers of node a."""
    node = world.node("a")
    assert node.servers is not None and node.kernel is not None
    return node.servers.names(node.kernel)


def task_of(world: World, name: str) -> Task:
    node = world.node("a")
    assert node.servers is not None and node.kernel is not None
    return node.kernel.kern.tasks[node.servers.tasks[name]]


def values(world: World, step: str, node: str = "a") -> dict[str, list[int]]:
    """What steps of a kind were answered, by name."""
    found: dict[str, list[int]] = {}
    for each in [each for client in world.programs(node, Steps) for each in client.said if each.step == step]:
        found.setdefault(each.name, []).append(each.value)
    return found


@both_machines
@both_ways
def test_names_registrations_and_watchers_are_the_successor_s(architecture: str, first: str, second: str) -> None:
    mine = script("10 reg svc; 150 unreg svc; 1200 reg svc")
    others = script("100 look desk; 120 look gns; 130 reg desk"), script("250 look svc"), script("1400 look svc")
    late = script("300 look svc; 1400 look svc; 1700 who svc")
    with World(replaced(first, second, architecture, desk(), mine, *others, far=late)) as world:
        world.run(2 * SECOND)
        assert world.cluster.undone == []
        assert values(world, "unreg") == {"svc": [0]}
        assert values(world, "reg") == {"svc": [0, 0], "desk": [KERN_NAME_EXISTS]}
        looked = {name: [bool(value) for value in each] for name, each in values(world, "look").items()}
        assert looked == {"desk": [True], "gns": [True], "svc": [False, True]}
        assert [bool(each) for each in values(world, "look", "b")["svc"]] == [False, True]
        assert values(world, "who", "b") == {"svc": [1]}
        assert [name for name in names_of(world) if "acs" in name] == [name_of(first, architecture)]


@both_machines
@pytest.mark.parametrize("first", PLACES)
def test_no_look_up_and_no_call_is_lost_while_one_follows_the_other(architecture: str, first: str) -> None:
    """Five follow the first; what looks a name up of this node, and of the other one, waits for no more than its turn."""
    order = GUEST, GUEST, HOST, HOST, GUEST
    actions = "".join(
        replace(name_of(first, architecture), server(place, architecture), f"{60 + 40 * n}ms") for n, place in enumerate(order)
    )
    servers = desk(), looker("desk", 500), looker("desk", 500), looker("far", 100), visitor(100, 1000)
    text = cluster(
        *servers, architecture=architecture, far=script("5 reg far"), actions=actions, names=server(first, architecture)
    )
    with World(text) as world:
        world.run(2 * SECOND)
        assert world.cluster.undone == []
        assert [(each.found, each.codes, each.calls) for each in world.programs("a", Looker)] == [
            (calls, [], 0) for calls in (500, 500, 100)
        ]
        (client,) = world.programs("a", Visitor)
        assert (len(client.answers), client.lost, client.calls) == (100, 0, 0)
        assert [name for name in names_of(world) if "acs" in name] == [name_of(first, architecture)]


@both_machines
@both_ways
def test_an_answer_that_waits_for_the_network_is_still_given(architecture: str, first: str, second: str) -> None:
    """A name that nobody has takes 0.6 s; the predecessor ends after that."""
    with World(replaced(first, second, architecture, looker("nobody", 1))) as world:
        world.run(300 * MS)
        assert f"{name_of(first, architecture)}-before" in names_of(world)
        world.run(SECOND)
        (client,) = world.programs("a", Looker)
        assert client.codes == [KERN_INVALID_NAME]
        assert f"{name_of(first, architecture)}-before" not in names_of(world)


@both_machines
@both_ways
def test_essential_and_privileged_names_stay_that(architecture: str, first: str, second: str) -> None:
    """Only the first Steps program is privileged where the file allows it; the node begins anew when it ends."""
    allowed = f'privileged = ["{digest(ServerSpec("tests.support.clients:Steps"), ROOT)}"]\n'
    text = replaced(first, second, architecture, script("10 essential vital; 100 reg gps; 110 essential vital"), desk())
    text = text.replace("servers = [", f"{allowed}servers = [", 1)
    with World(text) as world:
        world.run(200 * MS)
        assert values(world, "reg") == {"gps": [0]}
        assert values(world, "essential") == {"vital": [0, KERN_NAME_EXISTS]}
        kernel = world.node("a").kernel
        world.node("a").act(StopServer(200 * MS, 1, "steps"), 0)
        world.run(3 * SECOND)
        assert world.node("a").kernel is not kernel
    with World(replaced(first, second, architecture, script("10 reg desk; 100 reg gps; 110 essential more"))) as world:
        world.run(200 * MS)
        assert values(world, "reg") == {"desk": [0], "gps": [KERN_NO_ACCESS]}
        assert values(world, "essential") == {"more": [KERN_NO_ACCESS]}


@pytest.mark.slow
@both_machines
@both_ways
def test_saved_at_any_moment_it_goes_on_the_same(architecture: str, first: str, second: str, tmp_path: Path) -> None:
    text = replaced(first, second, architecture, desk(), looker("desk", 100), looker("nobody", 1))
    end = 75 * MS
    name = name_of(first, architecture)
    check_saved_replacements(text, "a", name, range(AT * MS, end, 500 * US), end, tmp_path / "saved")


@pytest.mark.slow
@both_machines
@both_ways
@pytest.mark.parametrize("ends", ["predecessor", "successor"])
@pytest.mark.parametrize("how", ["stops", "dies"])
def test_whichever_ends_at_any_moment_the_other_serves_or_the_next(
    architecture: str, first: str, second: str, ends: str, how: str
) -> None:
    """Stopped, a successor that has begun is gone, as any server that is stopped; one that dies is started again."""
    name = name_of(first, architecture)
    served = []
    for at in range(AT * MS + 1, (AT + 12) * MS, 1400 * US):
        with World(replaced(first, second, architecture, script("300 reg new; 320 look new; 340 look gns"))) as world:
            world.run(at)
            ending = name if ends == "successor" else f"{name}-before"
            kernel = world.node("a").kernel
            assert kernel is not None
            if how == "stops":
                world.node("a").act(StopServer(at, 1, ending), 0)
            elif ending in names_of(world):
                task_control.terminate(kernel.kern, task_of(world, ending), is_loader=True)
            world.run(SECOND)
            served.append(values(world, "reg") == {"new": [0]} and bool(values(world, "look").get("new", [0])[0]))
            assert len([each for each in names_of(world) if "acs" in each]) == served[-1]
            world.check()
    assert all(served) or (ends == "successor" and how == "stops" and served == sorted(served, reverse=True) and served[0])


@both_machines
def test_what_cannot_follow_is_told_and_changes_nothing(architecture: str) -> None:
    acs = f"images/{architecture}/acs.elf"
    greet = f"images/{architecture}/greet.elf"
    tries = (
        ("desk", guest(acs), f"{acs} is a name server"),
        (acs, f'{{ guest = "{greet}" }}', f"{greet} is no name server"),
        (acs, desk(), "Desk is no name server"),
        (greet, desk(), "Desk follows no guest: it has no accepts(self, legacy)"),
        ("gns", f'{{ guest = "{greet}" }}', "Gns hands over all that it has, which a guest cannot"),
        (greet, '"masix.gns.server:Gns"', "Gns hands over all that it has, which a guest cannot"),
        (
            greet,
            f'{{ guest = "{greet}" }}',
            "is a guest program that hands nothing over, or has not begun: the last of its",
        ),
    )
    actions = "".join(replace(name, by, f"{AT + n}ms") for n, (name, by, _) in enumerate(tries))
    servers = f'{{ guest = "{greet} serve greeter" }}', desk(), script("200 look greeter; 210 look desk; 220 look gns")
    with World(cluster(*servers, architecture=architecture, actions=actions, names=guest(acs))) as world:
        world.run(40 * MS)
        before = names_of(world)
        world.run(SECOND)
        assert names_of(world) == before
        assert all(value for each in values(world, "look").values() for value in each)
        for line, (name, _, reason) in zip(world.cluster.undone, tries, strict=True):
            assert f"replace {name} by " in line and reason in line


@both_machines
@pytest.mark.parametrize("kind", ["start", "replace"])
@pytest.mark.parametrize("program", ["nothing", "foreign"])
def test_a_program_that_cannot_run_there_is_refused_at_the_start_and_later_changes_nothing(
    architecture: str, kind: str, program: str
) -> None:
    acs, other = (f"images/{machine}/acs.elf" for machine in (architecture, "m68k" if architecture == "i386" else "i386"))
    path, reason = ("nothing.elf", "cannot be read") if program == "nothing" else (other, "is a program for")
    keys = {"server": guest(path)} | ({"name": f'"{acs}"'} if kind == "replace" else {})
    with pytest.raises(
        UserError, match=f"^actions: '{kind}' of a at 0.05 s: {ROOT / path if program == 'nothing' else path}: {reason}"
    ):
        World(cluster(architecture=architecture, actions=action("50ms", kind, **keys), names=guest(acs)))
    with World(cluster(desk(), script("200 look desk"), architecture=architecture, names=guest(acs))) as world:
        world.run(40 * MS)
        before, spec = names_of(world), GuestSpec(path, True)
        late = StartServer(40 * MS, 1, spec) if kind == "start" else ReplaceServer(40 * MS, 1, acs, spec)
        _, undone = world.node("a").act(late, 0)
        assert ("is a second name server" if kind == "start" else f"{path}: {reason}") in undone
        world.run(SECOND)
        assert names_of(world) == before and values(world, "look")["desk"][0]


@both_machines
@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("second", PLACES)
def test_two_successors_of_one_server_are_one_too_many(architecture: str, first: str, second: str) -> None:
    acs = name_of(first, architecture)
    by = server(second, architecture)
    actions = replace(acs, by) + replace(acs, by) + replace(f"{acs}-before", by)
    text = cluster(desk(), looker("desk", 500), architecture=architecture, actions=actions, names=server(first, architecture))
    with World(text) as world:
        world.run(SECOND)
        already = "is about to be replaced already, or has not begun"
        reasons = already, already if first == HOST else "hands nothing over"
        assert [reason in line for reason, line in zip(reasons, world.cluster.undone, strict=True)] == [True, True]
        assert [each.found for each in world.programs("a", Looker)] == [500]


@both_machines
@pytest.mark.parametrize("second", PLACES)
@pytest.mark.parametrize("does", ["nothing", "another", "dead"])
def test_a_guest_that_shows_no_port_of_its_own_is_not_replaced(architecture: str, second: str, does: str) -> None:
    name = FAITHLESS.format(architecture)
    text = cluster(architecture=architecture, actions=replace(name, server(second, architecture)), names=guest(f"{name} {does}"))
    with World(text) as world:
        world.run(100 * MS)
        (line,) = world.cluster.undone
        assert line.endswith("hands nothing over, or has not begun: the last of its registered ports is no port of its own")
        assert names_of(world) == [name, "gns"]


@both_machines
@pytest.mark.parametrize("second", PLACES)
@pytest.mark.parametrize("does", ["silence", "noise", "null", "counts", "rights", "huge", "empty", "perishes", "robs"])
def test_a_guest_that_hands_over_what_cannot_be_ends_nothing(architecture: str, second: str, does: str) -> None:
    """It keeps its name where it has kept its service's port; else a name server begins anew, for what is started then."""
    name = FAITHLESS.format(architecture)
    actions = replace(name, server(second, architecture)) + action("2s", "start", server=desk())
    actions += action("2100ms", "start", server=script("2200 look desk"))
    with World(cluster(architecture=architecture, actions=actions, names=guest(f"{name} {does}"))) as world:
        world.run(3 * SECOND)
        assert world.cluster.undone == []
        if does in ("silence", "noise", "null"):
            assert names_of(world) == [name, "gns", "desk", "steps"]
        else:
            assert names_of(world)[:2] == [name, "gns"]
            assert (f"{name}-before" in names_of(world)) is (does not in ("perishes", "robs"))
            assert [bool(each) for each in values(world, "look")["desk"]] == [True]


@both_machines
@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("does", ["deaf", "leaves", "babbles", "drops"])
def test_a_guest_that_does_not_take_over_leaves_the_server_before_it_at_work(architecture: str, first: str, does: str) -> None:
    """Only what it has inherited it can take along."""
    name = name_of(first, architecture)
    bad = guest(f"{FAITHLESS.format(architecture)} {does}")
    actions = replace(name, bad) + (action("100ms", "stop", name=f'"{name}"') if does in ("deaf", "babbles") else "")
    later = replace(name, server(first, architecture), "200ms") if does != "drops" else ""
    text = cluster(
        desk(), looker("desk", 500), architecture=architecture, actions=actions + later, names=server(first, architecture)
    )
    with World(text) as world:
        world.run(SECOND)
        assert world.cluster.undone == []
        (client,) = world.programs("a", Looker)
        assert (client.found == 500) is (does != "drops") and client.found > 5
        assert name in names_of(world) and f"{name}-before" not in names_of(world)


@both_machines
@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("does", ["deaf", "leaves"])
def test_a_server_whose_successor_failed_comes_back_as_itself(architecture: str, first: str, does: str) -> None:
    """Whether the successor has ended by itself or was stopped; not as the program that could not follow."""
    name = name_of(first, architecture)
    stops = action("100ms", "stop", name=f'"{name}"') if does == "deaf" else ""
    actions = replace(name, guest(f"{FAITHLESS.format(architecture)} {does}")) + stops
    steps = script("400 reg new; 420 look new; 440 look gns")
    with World(cluster(steps, architecture=architecture, actions=actions, names=server(first, architecture))) as world:
        world.run(200 * MS)
        kernel, (serves, *_) = world.node("a").kernel, [each for each in names_of(world) if each.startswith(name)]
        assert kernel is not None
        task_control.terminate(kernel.kern, task_of(world, serves), is_loader=True)
        world.run(SECOND)
        assert world.cluster.undone == []
        assert task_of(world, serves).name == name
        assert values(world, "reg") == {"new": [0]} and all(each[0] for each in values(world, "look").values())


@both_machines
@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("does", ["deaf", "leaves"])
def test_a_server_that_is_no_name_server_has_its_name_again_too(architecture: str, first: str, does: str) -> None:
    """Its successor is stopped, or ends by itself."""
    path = f"images/{architecture}/acs.elf"
    name, first_server = ("desk", desk()) if first == HOST else (path, f'{{ guest = "{path}" }}')
    successor = f'{{ guest = "{FAITHLESS.format(architecture)} {does}" }}'
    with World(cluster(first_server, architecture=architecture, actions=replace(name, successor))) as world:
        world.run(AT * MS)
        task = task_of(world, name)
        world.run(2 * AT * MS)
        if does == "deaf":
            assert names_of(world)[2:] == [name, f"{name}-before"] and task_of(world, name) is not task
            world.node("a").act(StopServer(2 * AT * MS, 1, name), 0)
        assert names_of(world)[2:] == [name] and task_of(world, name) is task
        assert world.cluster.undone == []


@both_machines
@both_ways
def test_nothing_is_left_over_however_often_they_follow_each_other(architecture: str, first: str, second: str) -> None:
    """Ports, tasks and pages of the node are as many after twenty as after four."""
    found = []
    for times in (4, 20):
        steps = [(second, first)[n % 2] for n in range(times)]
        actions = "".join(
            replace(name_of(first, architecture), server(place, architecture), f"{100 + 30 * n}ms")
            for n, place in enumerate(steps)
        )
        servers = desk(), script("10 reg svc")
        text = cluster(*servers, architecture=architecture, actions=actions, names=server(first, architecture))
        with World(text) as world:
            world.run(2 * SECOND)
            assert world.cluster.undone == []
            kernel = world.node("a").kernel
            assert kernel is not None
            found.append(invariants.usage(kernel))
            assert first == GUEST or len(world.programs("a", Acs)) == 1
    assert found[0] == found[1]


@pytest.mark.slow
@both_machines
@pytest.mark.parametrize(("first", "second"), [(HOST, HOST), (HOST, GUEST), (GUEST, HOST), (GUEST, GUEST)])
def test_a_service_that_dies_at_any_moment_is_gone_and_an_essential_one_takes_the_node_along(
    architecture: str, first: str, second: str
) -> None:
    """Two in Python follow each other within half a millisecond; a guest is loaded first."""
    is_quick = (first, second) == (HOST, HOST)
    for at in range(AT * MS - 10 * US, AT * MS + (400 * US if is_quick else 9 * MS), 40 * US if is_quick else 900 * US):
        ends = action(f"{at // US}us", "stop", name='"desk"') + action(f"{at // US}us", "stop", name='"steps-2"')
        servers = desk(), script("10 reg svc; 80 look svc; 90 reg desk"), script("10 essential vital")
        allowed = f'privileged = ["{digest(ServerSpec("tests.support.clients:Steps"), ROOT)}"]\n'
        text = replaced(first, second, architecture, *servers, actions=ends)
        with World(text.replace("servers = [", f"{allowed}servers = [", 1)) as world:
            world.run(200 * MS)
            kernel = world.node("a").kernel
            assert values(world, "reg") == {"svc": [0], "desk": [0]} and values(world, "look")["svc"][0]
            world.run(3 * SECOND)
            assert world.node("a").kernel is not kernel, f"the node goes on, with {at}"


@both_machines
def test_who_has_a_right_to_a_guest_s_port_for_successors_cannot_name_one(architecture: str) -> None:
    """A task that a server creates inherits its registered ports; the loader alone makes send-once rights."""
    acs = name_of(GUEST, architecture)
    text = cluster(desk(), looker("desk", 100), architecture=architecture, actions=replace(acs, guest(acs)), names=guest(acs))
    with World(text) as world:
        world.run(40 * MS)
        kernel, port = world.node("a").kernel, task_of(world, acs).itk_registered[-1]
        assert kernel is not None and isinstance(port, Port)
        body = kernel.ipc.pair.pack(TypeDescriptor(PORT_SEND, 32, 1).word(kernel.cpu.order), 0)
        carried = (CarriedPort(4, PORT_SEND, ports.make_send(kernel.ipc, port)),)
        to = ports.make_send(kernel.ipc, port)
        number = SUCCESSION_BEGIN.request.id
        kmsgs.kernel_send(kernel.ipc, kmsgs.make(kernel.ipc, to, PORT_SEND, None, 0, number, body, carried))
        world.run(SECOND)
        assert world.cluster.undone == []
        assert [each.found for each in world.programs("a", Looker)] == [100]
        assert not port.active
