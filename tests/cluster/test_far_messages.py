"""Every message gives sender and receiver on two nodes what it gives them on one, but for what is listed with its reason."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from machemu.core import invariants
from tests.support import far_messages
from tests.support.clusters import PORTS, SECOND, START, World
from tests.support.far_messages import NAMES, TASKS, at_home, far_away, lines_of

MACHINES = ("i386", "m68k")
PAIRS = list(product(MACHINES, repeat=2))
SERVERS = 'servers = ["masix.acs.server:Acs", "masix.gns.server:Gns"]\n'
LAN = "seed = 5\n[segments.lan]\n"
ROLES = {"sender": "sends", "receiver": "receives"}
TIME = 100 * SECOND
REASONS, ELSEWHERE = far_messages.load()


def node(name: str, machine: str, module: str, *tasks: str) -> str:
    """A node with the servers and one or both of the module's tasks."""
    path = f"tests/conformance/{machine}/{module}.elf"
    modules = ", ".join(f"'{path} {PORTS} {ROLES[task]} far {START}'" for task in tasks)
    profile = {"i386": "pc486-33", "m68k": "sun3-60"}[machine]
    return f'[nodes.{name}]\nprofile = "{profile}"\nmemory = "4M"\nmodules = [{modules}]\nnics = {{ eth0 = "lan" }}\n{SERVERS}'


def two_nodes(module: str, sender: str, receiver: str) -> str:
    return LAN + node("here", sender, module, "sender") + node("there", receiver, module, "receiver")


def ended(world: World) -> None:
    """The script comes to its end, and both tasks end themselves."""
    world.run(TIME)
    assert sorted(line for *_, line in world.printed if line.endswith("END")) == ["R END", "S END"]


def kept(world: World) -> list[tuple[int, ...]]:
    """What each node holds. An open console keeps its port, as on the real kernel."""
    found = []
    for each in world.cluster.nodes:
        assert each.kernel is not None
        used = invariants.usage(each.kernel)
        names = [len(task.space.table) for task in each.kernel.kern.tasks.values()]
        ports = used.ports - len(each.kernel.devices.opened)
        found.append((used.tasks, used.threads, ports, used.sets, used.messages, *names))
    return found


@pytest.mark.parametrize("module", NAMES)
@pytest.mark.parametrize("machine", MACHINES)
def test_at_home_both_see_what_the_real_kernel_gives(machine: str, module: str) -> None:
    with World(LAN + node("home", machine, module, "receiver", "sender")) as world:
        ended(world)
        for task in TASKS:
            assert lines_of(task, world.lines("home")) == [*at_home(module, task), "END"]


@pytest.mark.parametrize("module", NAMES)
@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
@pytest.mark.slow
def test_on_two_nodes_both_see_the_same_but_for_what_is_listed(sender: str, receiver: str, module: str) -> None:
    with World(two_nodes(module, sender, receiver)) as world:
        ended(world)
        for task, name in (("sender", "here"), ("receiver", "there")):
            assert lines_of(task, world.lines(name)) == [*far_away(module, task, sender, receiver, REASONS), "END"]


@pytest.mark.parametrize("module", NAMES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_a_network_that_loses_and_repeats_changes_no_line(seed: int, module: str) -> None:
    """Then several messages come in one packet, and the network server hears of what followed before a task has got the first."""
    sender, receiver = PAIRS[seed]
    lossy = 'loss = 0.1\nduplication = 0.1\nreordering = 0.1\ndelay = "1ms"\n'
    with World(two_nodes(module, sender, receiver).replace("[segments.lan]\n", f"[segments.lan]\n{lossy}"), seed) as world:
        ended(world)
        for task, name in (("sender", "here"), ("receiver", "there")):
            assert lines_of(task, world.lines(name)) == [*far_away(module, task, sender, receiver, REASONS), "END"]


@pytest.mark.parametrize("module", NAMES)
@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
@pytest.mark.slow
def test_nothing_is_left_of_all_the_messages(sender: str, receiver: str, module: str) -> None:
    """The servers hold what they hold where there were never any other tasks."""
    with World(re.sub(r"modules = .*\n", "", two_nodes(module, sender, receiver))) as empty:
        empty.run(TIME)
        before = kept(empty)
    with World(two_nodes(module, sender, receiver)) as world:
        ended(world)
        assert kept(world) == before


def calls(module: str) -> set[str]:
    """The names of the lines that show a return code."""
    transcript = (far_messages.MODULES / f"{module}.expected").read_text()
    return set(re.findall(r"^(?:[SR] )?(\w.*?) -> ", transcript, re.MULTILINE))


def test_every_message_of_the_module_for_one_task_is_sent_or_said_why_not() -> None:
    missing = calls("messages") - calls("twotasks")
    named = [name for entry in ELSEWHERE if entry.module == "messages" for name in entry.calls]
    assert sorted(named) == sorted(missing)


def test_every_difference_is_of_a_module_and_a_task() -> None:
    assert {(each.module, each.task) for reason in REASONS for each in reason.lines} <= set(product(NAMES, TASKS))


def test_a_difference_that_is_not_there_is_found_out() -> None:
    reason = REASONS[0]
    (first, *_) = reason.lines
    wrong = replace(reason, lines=(replace(first, section="plain"),))
    with pytest.raises(ValueError, match="0 times there"):
        far_away(first.module, first.task, "i386", "i386", [wrong])


@pytest.mark.parametrize("broken", ['[[reason]]\ntext = "why"\n', '[[reason]]\n[[reason.lines]]\ntask = "sender"\n'])
def test_a_reason_without_lines_or_lines_without_a_reason_are_refused(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(broken)
    with pytest.raises((ValueError, KeyError)):
        far_messages.load(path)
