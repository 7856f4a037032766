"""Tasks that move between the nodes of a cluster, as the operator says, while others talk to them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.privileges import digest
from machemu.cluster.server_specs import ServerSpec
from machemu.ipc import port as ports
from machemu.ipc.mach_port import copyout_send
from machemu.kern import task_control
from masix.gns.server import Gns
from masix.migration import ipc, pieces, process, report
from masix.migration.ipc import IpcManager
from masix.migration.manager import MigrationManager
from masix.migration.process import ProcessManager
from masix.migration.space import SpaceManager
from tests.support.clusters import MS, PORTS, ROOT, SECOND, START, World, fault, saved_in_between
from tests.support.guests import I386, Arch
from tests.support.pesterers import Pesterer
from tests.support.wanderers import MANAGERS

IMAGES = ROOT / "images"
MIGRATE = (IMAGES / "migrate.toml").read_text()
MIGRATE_HERE = MIGRATE.replace('"i386/', '"images/i386/').replace('"m68k/', '"images/m68k/')
"""As cluster files of tests have it, whose paths begin at the root."""


def check_idle(world: World, *names: str) -> None:
    """Nothing of a move is left with the managers, of the nodes named or of all."""
    for node in map(world.node, names) if names else world.cluster.nodes:
        (processes,) = world.programs(node.name, ProcessManager)
        (space,) = world.programs(node.name, SpaceManager)
        (manager,) = world.programs(node.name, MigrationManager)
        (rights,) = world.programs(node.name, IpcManager)
        assert not (processes.held or processes.made or processes.come or processes.sources or processes.going)
        assert not (rights.extracted or rights.arrived)
        assert not (space.going or space.coming or space.objects or manager.moves)
        assert not any(each.questions for each in (processes, space, manager, rights))


def test_tasks_count_on_and_are_answered_while_they_move_there_and_back() -> None:
    with World(MIGRATE_HERE) as world:
        world.run(2 * SECOND)
        for name, there in (("alpha", "beta"), ("gamma", "delta")):
            lines = world.lines(name)
            counted = [int(line.split()[1].rstrip(":")) for line in lines if line.startswith("answer")]
            assert counted == list(range(1, 13))
            assert sum(line.startswith("asked") for line in lines) == 12
            assert "END" in lines
            assert any(line.endswith(": moved") for line in lines)
            assert any(line.strip() == f"depends on {name}: 1 x device-master" for line in lines)
            back = world.lines(there)
            assert any(line.endswith(": moved") for line in back)
            assert not any("depends on" in line for line in back)
            kernel = world.node(there).kernel
            assert kernel is not None
            assert not any("greet" in task.name for task in kernel.kern.tasks.values())
        for node in world.cluster.nodes:
            (network,) = world.programs(node.name, Gns)
            tables = network.tables
            assert not any((tables.proxies, tables.exports, tables.pledges, tables.coming, tables.leaving))
        check_idle(world)


def test_the_page_s_transcript_is_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "migration.md").read_text()
    transcript = page.split("```text\n")[1].split("```")[0].splitlines()
    done = subprocess.run(
        [sys.executable, "-m", "machemu", "cluster", str(IMAGES / "migrate.toml")], capture_output=True, text=True, check=True
    )
    printed = [line for line in done.stdout.splitlines() if line.startswith("alpha")]
    at = printed.index(transcript[1]) - 1
    assert printed[at : at + len(transcript)] == transcript


def test_the_page_has_a_line_for_each_outcome() -> None:
    page = (ROOT / "docs" / "migration.md").read_text()
    assert all(re.search(rf"^\|.*\b{re.escape(outcome)}\b.*\|", page, re.MULTILINE) for outcome in report.OUTCOMES)


@pytest.mark.slow
@pytest.mark.parametrize("time", (95, 115, 130, 140, 230))
def test_a_cluster_that_is_saved_in_the_middle_of_a_move_goes_on_as_if_it_had_not_been(time: int, tmp_path: Path) -> None:
    with saved_in_between(MIGRATE_HERE, time * MS, 600 * MS, tmp_path / "saved") as world:
        check_idle(world)


PAIR = f"""
seed = 3
[segments.lan]
[nodes.pc]
memory = "4M"
modules = [
    'images/i386/greet.elf ${{host-port}} ${{device-port}} serve one $(task-create) $(task-resume)',
    'images/i386/greet.elf ${{host-port}} ${{device-port}} serve two $(task-create) $(task-resume)',
]
servers = {list(MANAGERS)}
nics = {{ eth0 = "lan" }}
[nodes.other]
memory = "4M"
servers = {list(MANAGERS)}
nics = {{ eth0 = "lan" }}
[nodes.sun]
profile = "sun3-60"
servers = {list(MANAGERS)}
nics = {{ eth0 = "lan" }}
"""
ONE = str(len(MANAGERS) + 1)
"""The number of the first module's task."""


def action(at: int, kind: str, node: str = "pc", **options: str) -> str:
    keys = "".join(f"{name} = {value}\n" for name, value in options.items())
    return f'[[actions]]\nat = "{at}ms"\nkind = "{kind}"\nnode = "{node}"\n{keys}'


def move(at: int, task: str, to: str) -> str:
    return action(at, "migrate", task=f'"{task}"', to=f'"{to}"')


def said(*actions: str) -> list[str]:
    """What the operator was told on the console of `pc`, without what he was about to do."""
    with World(PAIR + "".join(actions)) as world:
        world.run(3 * SECOND)
        check_idle(world)
        return [line for line in world.lines("pc") if re.match("(migrate|stay|block): ", line) and " goes to " not in line]


def test_of_two_moves_of_a_task_at_once_one_is_refused() -> None:
    for later in (0, 1, 4, 8, 20):
        lines = said(move(200, ONE, "other"), move(200 + later, ONE, "other"))
        assert lines.count(f"migrate: {ONE}: moved") == 1 and len(lines) == 2
        assert later > 4 or f"migrate: {ONE}: has to stay: it is moving already" in lines


@pytest.mark.parametrize(
    ("kind", "options", "what"),
    (
        (
            "migrate",
            {"task": "8", "to": '"other"'},
            'task = 8: write a name or a number in quotes, such as task = "8", of at most',
        ),
        ("migrate", {"task": '"8"', "to": '""'}, "to = '': write the name of a node"),
        (
            "migrate",
            {"task": '"8"'},
            "has not these options: Migrate.__init__() missing 1 required positional argument: 'to'",
        ),
        ("migrate", {"task": r'"a\u0007"', "to": '"other"'}, "write a name or a number in quotes"),
        ("migrate", {"task": '"8"', "to": '"nowhere"'}, "to = 'nowhere': there is no such node; there are pc, other, sun"),
        ("empty", {"to": '"other nowhere"'}, "to = 'nowhere': there is no such node; there are pc, other, sun"),
        ("save-and-end", {"name": "5"}, "name = 5: write the name of a service"),
        ("stay", {"task": '"8"', "stays": '"no"'}, "stays = 'no': write true or false"),
        ("block", {"blocks": "1"}, "blocks = 1: write true or false"),
        ("block", {"bloks": "true"}, "bloks"),
    ),
)
def test_an_action_with_wrong_keys_is_refused_before_anything_runs(kind: str, options: dict[str, str], what: str) -> None:
    with pytest.raises(UserError, match=re.escape(what)), World(PAIR + action(200, kind, **options)):
        pass


@pytest.mark.parametrize(
    ("before", "task", "to", "what"),
    (
        ("", "nobody", "other", "there is no such task"),
        ("", "images/i386/greet.elf", "other", "several tasks have that name: give a number"),
        ("", ONE, "sun", "the node has another architecture or page size"),
        (action(100, "block", "other"), ONE, "other", "the node takes no tasks"),
        (action(100, "stay", task=f'"{ONE}"'), ONE, "other", "has to stay: it was told to stay"),
        ("", "acs", "other", "has to stay: it has a program that runs on the host"),
        ("", "processmanager", "other", "has to stay: it has a program that runs on the host"),
        ("", "gnumach", "other", "has to stay: it has a program that runs on the host"),
    ),
)
def test_a_move_that_cannot_be_is_refused_by_its_reason(before: str, task: str, to: str, what: str) -> None:
    lines = said(before, move(200, task, to))
    assert lines[-1] == f"migrate: {task}: {what}"


def test_a_task_that_was_told_to_stay_does_until_it_is_held() -> None:
    """Also where that is said while its move is agreed on; afterwards whoever says it is told that it moves."""
    for time in range(200, 210):
        lines = said(move(200, ONE, "other"), action(time, "stay", task=f'"{ONE}"'))
        if f"stay: {ONE} stays" in lines:
            assert f"migrate: {ONE}: has to stay: it was told to stay" in lines
        else:
            assert lines == [f"stay: {ONE}: it is moving already (KERN_INVALID_TASK)", f"migrate: {ONE}: moved"]


def test_a_task_with_more_rights_than_network_servers_keep_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "NAMES_MAX", 3)
    assert said(move(200, ONE, "other"))[-1] == f"migrate: {ONE}: has to stay: it has too many port rights"


def test_the_table_of_rights_is_looked_for_beside_the_cluster_file(tmp_path: Path) -> None:
    manager = '"masix.migration.ipc:IpcManager"'
    (tmp_path / "my.toml").write_text('host = "rebound"\n')

    def cluster(table: str) -> World:
        text = PAIR.replace("'masix.migration.ipc:IpcManager'", f"{{ class = {manager}, table = {table} }}")
        return World(text.replace("images/", f"{IMAGES}/"), folder=tmp_path)

    with cluster('"my.toml"') as world:
        (rights,) = world.programs("pc", IpcManager)
        assert rights.rebound == ("host",)
    for table, what in (
        ('""', "table = '': write the path"),
        ("1", "table = 1: write"),
        ('"none.toml"', f"{tmp_path}/none.toml"),
    ):
        with pytest.raises(UserError, match=re.escape(what)):
            cluster(table)


def test_who_asks_a_node_without_managers_is_told_what_it_lacks() -> None:
    """On the console, where a long line goes in pieces."""
    text = PAIR.replace(str(list(MANAGERS)), '["masix.acs.server:Acs", "masix.gns.server:Gns"]', 1)
    name = "x" * 300
    back = move(250, name, "pc").replace('node = "pc"', 'node = "other"')
    with World(text + move(200, name, "other") + back) as world:
        world.run(SECOND)
        lacks = "pc has no migration manager: its `servers` lack those of docs/migration.md"
        assert f"migrate: {lacks}" in world.lines("pc")
        assert f"migrate: {name}: there is no such task" in world.lines("other")


def test_a_node_that_has_gone_is_no_such_node() -> None:
    with World(PAIR + move(300, ONE, "other") + fault("100ms", "crash", node="other")) as world:
        world.run(3 * SECOND)
        assert f"migrate: {ONE}: the node is not there, or has no managers of tasks" in world.lines("pc")


def test_a_manager_that_is_not_there_is_told_as_that() -> None:
    gone = "one of the managers is not there, here or on the other node: ask again when it is (MIG_SERVER_DIED)"
    for node, outcome in (("pc", "given up"), ("other", "the node is not there, or has no managers of tasks")):
        for name in ("processmanager", "ipcmanager"):
            stop = action(100, "stop", node, name=f'"{name}"')
            with World(PAIR + stop + move(300, ONE, "other") + action(300, "stay", task=f'"{ONE}"')) as world:
                world.run(SECOND)
                lines = world.lines("pc")
                assert f"migrate: {ONE}: {outcome}: {gone}" in lines
                assert (f"stay: {ONE}: {gone}" in lines) is ((node, name) == ("pc", "processmanager"))


def test_rights_that_go_in_many_pieces_come_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 2)
    with World(MIGRATE_HERE.split("[nodes.gamma]")[0] + move(90, "8", "beta").replace('"pc"', '"alpha"')) as world:
        world.run(3 * SECOND)
        lines = world.lines("alpha")
        assert "migrate: 8: moved" in lines
        assert [line.split()[1] for line in lines if line.startswith("answer")] == [f"{n}:" for n in range(1, 13)]
        check_idle(world)


def test_of_tasks_that_are_lost_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a name space do not come whole."""
    monkeypatch.setattr(ipc, "WORDS_MAX", 4)
    with World(PAIR + move(200, ONE, "other")) as world:
        world.run(3 * SECOND)
        assert any(line.startswith(f"migrate: {ONE}: the tasks are lost") for line in world.lines("pc"))
        check_idle(world)
        for name in ("pc", "other"):
            assert not any(task.frozen for task in world.node(name).kernel.kern.tasks.values())  # type: ignore[union-attr]


def test_a_task_has_the_same_name_where_it_comes(tmp_path: Path) -> None:
    """Also one that is longer than Mach's, with letters that are none of ASCII's; and it can be asked for by that."""
    path = tmp_path / ("grüße-" * 20 + ".elf")
    path.write_bytes((IMAGES / "i386/greet.elf").read_bytes())
    text = PAIR.replace("'images/i386/greet.elf ${", f"'{path} ${{", 1)
    with World(text + move(200, str(path), "other") + move(400, str(path), "pc").replace('"pc"', '"other"', 1)) as world:
        world.run(SECOND)
        assert f"migrate: {path}: moved" in world.lines("pc")
        assert f"migrate: {path}: moved" in world.lines("other")


def test_who_holds_the_host_s_port_does_not_reach_a_task_that_moves() -> None:
    servers = str([*MANAGERS, "tests.support.meddlers:Meddler"])
    with World(PAIR.replace(str(list(MANAGERS)), servers) + move(200, "9", "other")) as world:
        world.run(3 * SECOND)
        assert "migrate: 9: moved" in world.lines("pc")


@pytest.mark.parametrize("code", (("crash", {"node": "pc"}), ("partition", {"segment": "lan", "groups": [["pc"]]})))
@pytest.mark.parametrize("time", (207, 230, 248, 254))
def test_a_task_that_was_made_for_a_node_that_is_gone_ends(code: tuple[str, dict[str, object]], time: int) -> None:
    kind, keys = code
    with World(PAIR + move(200, ONE, "other") + fault(f"{time}ms", kind, **keys)) as world:
        world.run(time * MS)
        (processes,) = world.programs("other", ProcessManager)
        assert processes.made or processes.come
        world.run(6 * SECOND)
        kernel = world.node("other").kernel
        assert kernel is not None
        assert not any("greet" in task.name for task in kernel.kern.tasks.values())
        check_idle(world, "other")


@pytest.mark.parametrize("node", ("pc", "other"))
def test_of_a_task_whose_process_manager_has_gone_nothing_is_left(node: str) -> None:
    with World(PAIR + move(200, ONE, "other") + action(225, "stop", node, name='"processmanager"')) as world:
        world.run(5 * SECOND)
        for name in ("pc", "other"):
            kernel = world.node(name).kernel
            assert kernel is not None
            assert not any(task.frozen for task in kernel.kern.tasks.values())


@pytest.mark.parametrize("seed", (1, 2))
def test_a_privileged_server_s_nonsense_ends_no_manager(seed: int) -> None:
    server = f'{{ class = "tests.support.pesterers:Pesterer", number = {seed} }}'
    text = PAIR.replace(str(list(MANAGERS)), f"{str(list(MANAGERS))[:-1]}, {server}]", 1)
    allowed = [digest(ServerSpec(name), ROOT) for name in ("masix.gns.server:Gns", "tests.support.pesterers:Pesterer")]
    text = text.replace("[nodes.pc]\n", f"[nodes.pc]\nprivileged = {allowed}\n")
    with World(text + move(300, "9", "other")) as world:
        world.run(SECOND)
        (pesterer,) = world.programs("pc", Pesterer)
        assert pesterer.refused > 100 and pesterer.done > 50
        for name in ("pc", "other"):
            for manager in (ProcessManager, SpaceManager, IpcManager, MigrationManager):
                assert world.programs(name, manager)


def test_a_manager_forgets_tasks_that_end_while_they_are_held_or_come() -> None:
    with World(PAIR + move(200, ONE, "other")) as world:
        world.run(220 * MS)
        for name in ("pc", "other"):
            kernel = world.node(name).kernel
            assert kernel is not None
            (task,) = (task for task in kernel.kern.tasks.values() if task.frozen)
            world.node(name).pass_time(world.cluster.time)
            task_control.terminate(kernel.kern, task, is_loader=True)
            world.node(name).idle = False
        world.run(6 * SECOND)
        check_idle(world)


def test_a_task_moves_though_another_one_of_its_family_ends_before_they_are_held() -> None:
    with World(PAIR + move(200, ONE, "other")) as world:
        world.run(199 * MS)
        kernel = world.node("pc").kernel
        assert kernel is not None
        task = kernel.kern.tasks[int(ONE)]
        child = task_control.create(kernel.kern, task, True)
        copyout_send(kernel.ipc, task.space, ports.copy_send(kernel.ipc, child.itk_sself))
        world.run(203 * MS)
        (manager,) = world.programs("pc", MigrationManager)
        assert [len(each.tasks) for each in manager.moves.values()] == [2]
        task_control.terminate(kernel.kern, child, is_loader=True)
        world.run(3 * SECOND)
        assert f"migrate: {ONE}: moved" in world.lines("pc")
        check_idle(world)


@pytest.mark.parametrize("time", (95, 105, 120))
def test_tasks_go_on_where_they_were_when_the_other_node_dies_before_their_rights_go(time: int) -> None:
    counting = MIGRATE_HERE.split("[nodes.gamma]")[0] + move(90, "8", "beta").replace('"pc"', '"alpha"')
    with World(counting + fault(f"{time}ms", "crash", node="beta")) as world:
        world.run(3 * SECOND)
        lines = world.lines("alpha")
        assert any(re.match("migrate: 8: given up: one of the managers is not there", line) for line in lines)
        assert [line.split()[1] for line in lines if line.startswith("answer")] == [f"{n}:" for n in range(1, 13)]
        assert "END" in lines


def test_a_task_that_may_move_again_and_a_node_that_takes_tasks_again_do() -> None:
    lines = said(
        action(100, "stay", task=f'"{ONE}"'),
        action(120, "stay", task=f'"{ONE}"', stays="false"),
        move(200, ONE, "other"),
    )
    assert lines == [f"stay: {ONE} stays", f"stay: {ONE} may move", f"migrate: {ONE}: moved"]
    lines = said(action(100, "block", "other"), action(120, "block", "other", blocks="false"), move(200, ONE, "other"))
    assert lines == [f"migrate: {ONE}: moved"]


def stays(arch: Arch, reason: str, module: str, disk: Path | None = None) -> None:
    """A module's task is refused by its reason. If it counts, it counts on."""
    profile = "pc486dx2-66" if arch.name == "i386" else "sun3-60"
    common = f'profile = "{profile}"\nservers = {list(MANAGERS)}\nnics = {{ eth0 = "lan" }}\n'
    disks = f'disks = {{ hd0 = "{disk}" }}\n' if disk is not None else ""
    text = f"[segments.lan]\n[nodes.other]\n{common}[nodes.pc]\n{common}{disks}modules = ['{module} {START}']\n"
    with World(text + move(200, ONE, "other")) as world:
        world.run(SECOND)
        lines = world.lines("pc")
        at = lines.index(f"migrate: {ONE}: has to stay: it {reason}")
        assert disk is not None or sum(line.startswith("count") for line in lines[at:]) > 5
        check_idle(world)


STAYS = "tests/cluster/guests/{}/stays.elf ${{host-port}} ${{device-port}} {}"
"""A module's line, of an architecture and with a reason."""


@pytest.mark.parametrize(
    ("what", "reason"),
    (
        ("essential", "is essential"),
        ("copy", "has a copy of memory that its family manages"),
        ("mail", "has a copy of memory that its family manages"),
        ("shared", "shares memory with a program that runs on the host"),
    ),
)
def test_a_task_that_a_node_needs_stays_and_runs_on(arch: Arch, what: str, reason: str) -> None:
    stays(arch, reason, STAYS.format(arch.name, what))


@pytest.mark.parametrize(
    ("what", "reason"),
    (("ports", "may use I/O ports"), ("device", "has mapped a device"), ("v86", "has a thread in virtual-8086 mode")),
)
def test_a_task_with_a_part_of_the_machine_stays_and_runs_on(what: str, reason: str) -> None:
    stays(I386, reason, STAYS.format("i386", what))


def test_the_default_memory_manager_stays(arch: Arch, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    stays(arch, "is the default pager", f"images/{arch.name}/default_pager.elf {PORTS} hd0", disk)
