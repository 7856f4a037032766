"""Servers of a node that runs are started, stopped and replaced: from the cluster file, from Python and at the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from machemu import Cluster, UsageError
from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_NAME_EXISTS
from machemu.cluster.faults import StopServer
from machemu.cluster.file import parse_file
from machemu.core.observe import watch
from machemu.debug.clusters import ClusterStepper
from machemu.kern import task_control
from machemu.trace.events import Befell, Noted, TraceEvent
from machemu.trace.words import fault_text
from machemu.ui.calls import Calls
from masix.acs.server import Acs
from masix.control.actions import SaveAndEnd
from tests.support.clients import Steps
from tests.support.clusters import MS, ROOT, SECOND, US, World, check_saved_replacements
from tests.support.successors import SUCCESSORS, Desk, Visitor, action, both_machines, cluster, desk, script, visitor


class Events:
    """The lines that servers note of actions."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, Noted) and event.text.startswith("save-and-end"):
            self.notes.append(event.text)


def check_answers(world: World, node: str, calls: int) -> list[tuple[int, int]]:
    (client,) = world.programs(node, Visitor)
    assert (len(client.answers), client.lost, client.calls) == (calls, 0, 0)
    return client.answers


@both_machines
def test_clients_here_and_far_away_do_not_notice_that_a_server_is_replaced(architecture: str) -> None:
    actions = action("60ms", "replace", name='"desk"', server=desk(version=2)) + action(
        "90ms", "replace", name='"desk"', server=desk(version=3)
    )
    text = cluster(desk(), visitor(80, 900), architecture=architecture, far=visitor(40, 2000), actions=actions)
    with World(text) as world:
        world.run(SECOND)
        answers = check_answers(world, "a", 80) + check_answers(world, "b", 40)
        assert sorted(number for number, _ in answers) == list(range(1, 121))
        assert [version for _, version in sorted(answers)] == sorted(version for _, version in answers)
        assert {version for _, version in answers} == {1, 2, 3}
        (left,) = world.programs("a", Desk)
        assert (left.version, left.count) == (3, 120)
        assert left.registration
        world.cluster.check_invariants()


@both_machines
def test_messages_that_wait_in_its_queue_are_the_successor_s(architecture: str) -> None:
    """All stand still while the action comes, so that calls wait."""
    faults = '[[faults]]\nat = "50ms"\nkind = "pause"\nnode = "a"\n[[faults]]\nat = "70ms"\nkind = "resume"\nnode = "a"\n'
    actions = action("60ms", "replace", name='"desk"', server=desk(version=2))
    with World(cluster(desk(), architecture=architecture, far=visitor(40, 500), actions=actions + faults)) as world:
        world.run(SECOND)
        answers = check_answers(world, "b", 40)
        assert [number for number, _ in answers] == list(range(1, 41))


@both_machines
def test_answers_that_a_server_owes_it_still_gives(architecture: str) -> None:
    actions = "".join(action(f"{60 + n}100us", "replace", name='"desk"', server=desk(version=2 + n, slow=True)) for n in range(4))
    text = cluster(desk(slow=True), visitor(60, 700), architecture=architecture, actions=actions)
    with World(text) as world:
        world.run(SECOND)
        answers = check_answers(world, "a", 60)
        assert [number for number, _ in answers] == list(range(1, 61))
        assert len(world.programs("a", Desk)) == 1


@pytest.mark.slow
@both_machines
@pytest.mark.parametrize("what", ["desk", "acs"])
def test_saved_at_any_moment_of_a_replacement_it_goes_on_the_same(architecture: str, what: str, tmp_path: Path) -> None:
    """Every ten microseconds, from before it begins until the predecessor has ended."""
    successor = desk(version=2) if what == "desk" else '"masix.acs.server:Acs"'
    text = cluster(
        desk(), visitor(40, 900), architecture=architecture, actions=action("60ms", "replace", name=f'"{what}"', server=successor)
    )
    end = 63 * MS
    check_saved_replacements(text, "a", what, range(60 * MS, end, 10 * US), end, tmp_path / "saved")


@both_machines
def test_a_name_server_is_replaced_with_its_names_registrations_and_watchers(architecture: str) -> None:
    mine = script("10 reg svc; 100 unreg svc; 200 reg svc")
    others = (script("60 look desk; 110 look gns; 160 reg desk"), script("150 look svc"), script("260 look svc"))
    actions = action("50ms", "replace", name='"acs"', server='"masix.acs.server:Acs"')
    with World(cluster(desk(), mine, *others, architecture=architecture, far=visitor(20), actions=actions)) as world:
        world.run(2 * SECOND)
        said = [each._replace(ms=each.ms // 10 * 10) for program in world.programs("a", Steps) for each in program.said]
        assert [each.value for each in said if each.name == "svc" and each.step != "look"] == [0, 0, 0]
        assert {each.ms: bool(each.value) for each in said if each.step == "look"} == {60: True, 110: True, 150: False, 260: True}
        assert [each.value for each in said if (each.step, each.name) == ("reg", "desk")] == [KERN_NAME_EXISTS]
        check_answers(world, "b", 20)
        (names,) = world.programs("a", Acs)
        assert sorted(names.entries) == [b"desk", b"gns", b"svc"]
        assert len(names.watchers) == 1


@both_machines
def test_the_successor_of_a_name_server_knows_its_clients_what_each_has_and_when_one_ends(architecture: str) -> None:
    mine = script("10 reg svc; 100 unreg svc; 200 reg svc")
    actions = action("50ms", "replace", name='"acs"', server='"masix.acs.server:Acs"')
    with World(cluster(desk(), mine, architecture=architecture, actions=actions)) as world:
        world.run(45 * MS)
        (names,) = world.programs("a", Acs)
        before, whose = sorted(names.clients.values()), {name: entry.client for name, entry in names.entries.items()}
        assert before == [0, 1, 2, 3] and whose == {b"gns": None, b"desk": 2, b"svc": 3}
        world.run(SECOND)
        (names,) = world.programs("a", Acs)
        assert sorted(names.clients.values()) == before
        assert {name: entry.client for name, entry in names.entries.items()} == whose
        world.node("a").act(StopServer(SECOND, 1, "desk"), 0)
        world.run(2 * SECOND)
        assert sorted(names.clients.values()) == [0, 1, 3] and sorted(names.entries) == [b"gns", b"svc"]


@both_machines
def test_servers_start_and_stop_at_their_times(architecture: str) -> None:
    actions = action("30ms", "start", server=desk(version=7)) + action("70ms", "stop", name='"desk"')
    looks = [script(f"{ms} look desk") for ms in (20, 50, 90)]
    with World(cluster(*looks, architecture=architecture, actions=actions)) as world:
        events: list[Befell] = []
        world.cluster.watch(lambda event: events.append(event) if isinstance(event, Befell) else None)
        world.run(60 * MS)
        assert [each.version for each in world.programs("a", Desk)] == [7]
        world.run(3 * SECOND)
        assert [bool(each.said[0].value) for each in world.programs("a", Steps)] == [False, True, False]
        assert world.programs("a", Desk) == []
        assert list(map(fault_text, events)) == ["start: desk", "stop: desk"]
        assert world.cluster.undone == []


def test_what_cannot_be_done_is_told_and_changes_nothing() -> None:
    actions = action("10ms", "stop", name='"nobody"') + action("11ms", "replace", name='"gns"', server=desk())
    actions += action("12ms", "replace", name='"desk"', server=f'"{SUCCESSORS}:Stubborn"')
    actions += action("13ms", "replace", name='"desk"', server='"masix.acs.server:Acs"')
    actions += action("14ms", "start", server='"masix.acs.server:Acs"')
    with World(cluster(desk(), visitor(5), actions=actions)) as world:
        told: list[str] = []
        world.cluster.watch(lambda event: told.append(fault_text(event)) if isinstance(event, Befell) else None)
        world.run(SECOND)
        check_answers(world, "a", 5)
        undone = world.cluster.undone
    reasons = (
        "stop nobody: there is no server nobody; there are acs, gns, desk, visitor",
        "replace gns by tests.support.successors:Desk: Gns hands over all that it has, which Desk cannot",
        "replace desk by tests.support.successors:Stubborn: Stubborn hands nothing over: it has no legacy(self, mach)",
        "replace desk by masix.acs.server:Acs: Acs is a name server",
        "start acs: server masix.acs.server:Acs: is a second name server of the node: masix.acs.server:Acs is one already",
    )
    times = ("0.01 s", *(f"0.01{n} s" for n in range(1, 5)))
    assert undone == [f"at {time}: node a: {reason}" for time, reason in zip(times, reasons, strict=True)]
    assert told[0] == "stop: nobody, not done: there is no server nobody; there are acs, gns, desk, visitor"


@both_machines
def test_a_kind_that_masix_brings_asks_a_service_to_end(architecture: str) -> None:
    actions = action("30ms", "save-and-end", name='"desk"') + action("40ms", "save-and-end", name='"nobody"')
    with World(cluster(desk(), architecture=architecture, actions=actions)) as world:
        events, kernel = Events(), world.node("a").kernel
        assert kernel is not None
        watch(kernel, events)
        world.run(100 * MS)
        assert world.node("a").servers is not None
        assert events.notes == ["save-and-end: desk has ended", "save-and-end: there is no nobody on this node"]
        assert world.programs("a", SaveAndEnd) == []
        assert world.programs("a", Desk) == []


def test_a_node_without_power_does_nothing_and_one_that_restarts_has_the_file_s_servers() -> None:
    faults = '[[faults]]\nat = "40ms"\nkind = "crash"\nnode = "a"\n[[faults]]\nat = "60ms"\nkind = "restart"\nnode = "a"\n'
    actions = action("30ms", "start", server=desk(version=2)) + action("50ms", "stop", name='"desk"')
    with World(cluster(actions=actions + faults)) as world:
        world.run(SECOND)
        assert world.cluster.undone == ["at 0.05 s: node a: stop desk: it has no power"]
        assert world.programs("a", Desk) == []


@pytest.mark.parametrize(("ended", "left", "answers"), [("predecessor", 2, (0, 5)), ("successor", 1, (5, 5))])
def test_where_one_of_the_two_ends_before_the_other_has_heard_of_it_the_other_serves(
    ended: str, left: int, answers: tuple[int, int]
) -> None:
    """The predecessor's clients lose it, and find the successor under the name."""
    actions = action("60ms", "replace", name='"desk"', server=desk(version=2))
    text = cluster(desk(), visitor(5, 15_000), architecture="m68k", actions=actions)
    with World(text) as world:
        world.run(60 * MS)
        node = world.node("a")
        assert node.servers is not None and node.kernel is not None
        first = node.servers.tasks["desk"]
        world.cluster.run(60 * MS + 1)
        second = node.servers.tasks["desk"]
        assert second != first
        task_control.terminate(node.kernel.kern, node.kernel.kern.tasks[first if ended == "predecessor" else second])
        world.run(SECOND)
        assert [each.version for each in world.programs("a", Desk)] == [left]
        (client,) = world.programs("a", Visitor)
        assert len(client.answers) in range(answers[0], answers[1] + 1)
        (name,) = (name for name in node.servers.names(node.kernel) if name.startswith("desk"))
        world.cluster.links[0].act(StopServer(SECOND, 1, name), 0)
        world.run(2 * SECOND)
        assert world.programs("a", Desk) == []


def test_the_api_and_the_prompt_do_the_same() -> None:
    with Cluster.boot(parse_file(cluster(desk(), visitor(40, 900)), ROOT)) as made:
        made.run(duration="40ms")
        made.replace_server("a", "desk", f"{SUCCESSORS}:Desk", version=2)
        made.run(duration="10ms")
        end, digest = made.point, made.digest()
        made.go(made.earliest)
        made.go(end)
        assert made.digest() == digest
        assert made.servers_of("a") == ["acs", "gns", "desk", "visitor"]
        lines: list[str] = []
        stepper = ClusterStepper(made, lines.append, Calls)
        stepper.do(f'action kind = "replace", node = "a", name = "desk", server = {desk(version=3)}')
        stepper.do('action kind = "stop", node = "b", name = "desk"')
        stepper.do('action kind = "start", node = "b", server = "masix.protocols.udp:Udp"')
        stepper.do("run for 40ms")
        assert any("node b: stop desk: there is no server desk; there are acs, gns" in line for line in lines)
        assert made.servers_of("b") == ["acs", "gns", "udp"]
        made.stop_server("b", "udp")
        made.start_server("b", f"{SUCCESSORS}:Desk", version=9)
        made.run(duration="5ms")
        assert made.servers_of("b") == ["acs", "gns", "desk"]
        wrongs: tuple[Callable[[], None], ...] = (
            lambda: made.stop_server("c", "desk"),
            lambda: made.start_server("a", "nothing"),
            lambda: made.replace_server("a", "desk", "a:B", at=1.5),  # type: ignore[arg-type]
        )
        for wrong in wrongs:
            with pytest.raises(UsageError):
                wrong()
        for keys, says in (
            ("", "action: what"),
            (
                'kind = "fly", node = "a"',
                "kind: 'fly' is none of start, stop, replace, block, empty, migrate, save-and-end, stay",
            ),
        ):
            with pytest.raises(UserError, match=says):
                stepper.do(f"action {keys}")
        for kind, words, says in (
            ("stop", ["desk"], "stop: takes no words: write keys as in a cluster file"),
            ("save-and-end", ["acs"], "save-and-end: takes no words"),
            ("fly", [], "fly: 'fly' is none of start, stop, replace, block, empty, migrate, save-and-end, stay"),
            ("migrate", ["8", "b"], "migrate: write TASK to NODE"),
        ):
            with pytest.raises(UserError, match=says):
                made.action_in_words(kind, words, "a")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[[actions]]\nat = "1s"\n', "actions[1].kind: is missing"),
        (action("1s", "start"), "actions[1].server: is missing"),
        (action("1s", "start", server='"masix"'), "actions[1].server: 'masix' is no server"),
        (action("1s", "start", node="x", server=desk()), "actions[1].node: there is no node 'x'"),
        (action("1s", "stop"), "actions[1].name: is missing"),
        (action("1s", "stop", name='"x"', server=desk()), "actions[1].server: there is no such key"),
        (action("1s", "replace", name='"x"', server='{ guest = " " }'), "actions[1].server: guest: names no program"),
        (
            action("1s", "save-and-end", name="[1]"),
            "actions[1].kind: masix.control.actions:SaveAndEnd: name: must be true, false",
        ),
        (action("1s", "stay", task='"8"', **{"class": '"a:B"'}), "actions[1].class: there is no such key"),
        (action("1s", "crash"), "actions[1].kind: 'crash' is none of start, stop, replace"),
        ("actions = 3\n", "actions: must be a list"),
    ],
)
def test_a_mistake_in_an_action_is_named(table: str, message: str) -> None:
    text = table + cluster() if table.startswith("actions") else cluster(actions=table)
    with pytest.raises(UserError) as raised:
        parse_file(text, ROOT)
    assert str(raised.value).startswith(message)


def test_a_server_that_cannot_be_imported_or_has_not_these_options_is_refused_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"server no.such:Thing: cannot be imported"):
        World(cluster(actions=action("1s", "start", server='"no.such:Thing"')))
    with pytest.raises(UserError, match=r"Desk: has not these options: got an unexpected keyword argument 'colour'"):
        World(cluster(actions=action("1s", "start", server=desk(colour=3))))


def test_a_server_of_a_new_action_is_refused_before_a_loaded_cluster_runs(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    with World(cluster()) as world:
        world.run(10 * MS)
        world.cluster.save(path)
    for server, why in (('"no.such:Thing"', "server no.such:Thing: cannot be imported"), ('{ guest = "none.elf" }', "none.elf")):
        with pytest.raises(UserError, match=rf"actions: 'start' of a at 1 s: .*{why}"):
            World(cluster(actions=action("1s", "start", server=server)), load=path)
