"""The hunt for what the Masix servers lose or leave behind: `fuzz --cluster`.

In each trial programs on two or three nodes, of both processors, do at random what clients may, while nodes crash and stand
still, network servers are replaced or end, and the segment is bad. Then the faults end, and the programs; and when what is lost
has been noticed, nothing may be left.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from machemu.cluster.node import ClusterNode
from machemu.core import invariants
from machemu.kern import task_control
from masix.acs.server import Acs
from masix.gns.ports import EVERYBODY
from masix.gns.server import Gns
from masix.gns.wire import RightKind
from tests.support.callers import programs
from tests.support.guests import ARCHS
from tests.support.machine import Machine, new_node
from tests.support.roamers import WHAT, Roamer
from tools.fuzz.children import TEXT_MAX, at_once, signature

ROOT: Final = Path(__file__).parents[2]
MS: Final = 1_000_000
PROFILES: Final = ("pc486dx2-66", "mc68040-25")
MEMORY: Final = 4 << 20
STEPS: Final = 36
FAULTS_END_MS: Final = 2_500
STEPS_END_MS: Final = 3_000
NOTICED_MS: Final = 75_000
"""By then each node has noticed which others are lost: after 15 s without an answer, or by a probe before that."""
LAST_MS: Final = NOTICED_MS + 5_000
END_MS: Final = NOTICED_MS + 45_000
KINDS: Final = ("crash", "restart", "pause", "partition", "cut", "cut", "loss")


class Trial(NamedTuple):
    """text: the cluster file. crashed: numbers of nodes that lose their power, for good or not."""

    text: str
    crashed: tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """count: how many trials. seconds: after which none begins. jobs: how many processes at once."""

    seed: int
    count: int
    seconds: float = math.inf
    jobs: int = 1


def trial(seed: int, number: int) -> Trial:
    """A trial, as it is chosen."""
    chooser = random.Random(f"{seed} {number}")
    names = [f"n{n}" for n in range(1, chooser.randint(2, 3) + 1)]
    text = f"seed = {chooser.randrange(1 << 32)}\n[segments.lan]\n"
    options = "".join(f", {option} = true" for option in ("announces", "introduces", "prepares") if chooser.random() < 0.3)
    for name in names:
        steps = " ".join(f"{chooser.choice(WHAT)}{chooser.randrange(100):02}" for _ in range(STEPS))
        every = chooser.randint(20, STEPS_END_MS // STEPS)
        script = f"register{chooser.randrange(100):02} {steps}"
        roamer = f'{{ class = "tests.support.roamers:Roamer", script = "{script}", every = {every} }}'
        network = f'{{ class = "masix.gns.server:Gns"{options} }}'
        replaced = chooser.choice((0, 0, 1, 3))
        ends = not replaced and chooser.random() < 0.4
        at = chooser.randint(1, STEPS_END_MS)
        killer = f', {{ class = "tests.support.revived:Killer", name = "gns", at_ms = {at} }}' if ends else ""
        servers = f'"masix.acs.server:Acs", {network}, {roamer}{killer}'
        text += f'[nodes.{name}]\nprofile = "{chooser.choice(PROFILES)}"\nmemory = "{MEMORY >> 20}M"\n'
        text += f'servers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
        for _ in range(replaced):
            at = chooser.randint(1, STEPS_END_MS)
            text += _table("actions", at, "replace", node=name, name="gns") + f"server = {network}\n"
        text += _table("actions", LAST_MS if name == names[-1] else NOTICED_MS, "stop", node=name, name="roamer")
    crashed: list[int] = []
    for _ in range(chooser.randint(0, 3)):
        text += _fault(chooser, names, crashed)
    text += _table("faults", FAULTS_END_MS, "heal", segment="lan")
    text += _table("faults", FAULTS_END_MS, "segment", segment="lan", loss=0.0, duplication=0.0, reordering=0.0)
    return Trial(text, tuple(crashed))


def _fault(chooser: random.Random, names: list[str], crashed: list[int]) -> str:
    kind, at = chooser.choice(KINDS), chooser.randint(1, 2_000)
    node = chooser.choice(names)
    if kind in ("crash", "restart"):
        crashed.append(names.index(node) + 1)
        return _table("faults", at, kind, node=node)
    if kind == "pause":
        end = min(at + chooser.randint(1, 1_000), FAULTS_END_MS)
        return _table("faults", at, "pause", node=node) + _table("faults", end, "resume", node=node)
    if kind == "partition":
        return _table("faults", at, "partition", segment="lan", groups=[[node]])
    if kind == "cut":
        other = chooser.choice([name for name in names if name != node])
        keys = {"from": [node], "to": [other], "both": chooser.random() < 0.5, "loss": chooser.choice((0.3, 1.0))}
        return _table("faults", at, "cut", segment="lan", **keys)
    rates = {name: round(chooser.uniform(0, 0.3), 2) for name in ("loss", "duplication", "reordering")}
    return _table("faults", at, "segment", segment="lan", **rates)


def _table(table: str, at: int, kind: str, **keys: object) -> str:
    plain = {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in keys.items()}
    values = "".join(f"{key} = {value}\n".replace("'", '"') for key, value in plain.items())
    return f'[[{table}]]\nat = "{at}ms"\nkind = "{kind}"\n{values}'


def play(given: Trial) -> list[str]:
    """Runs a trial: what was wrong, in words."""
    wrong: list[str] = []
    with Cluster(parse_file(given.text, ROOT)) as cluster:
        cluster.boot()
        cluster.run(NOTICED_MS * MS)
        for node in cluster.nodes:
            if node.number not in given.crashed:
                wrong += _calls(node)
        cluster.run(LAST_MS * MS)
        wrong += _not_given_back(cluster.nodes)
        cluster.run(END_MS * MS)
        cluster.check_invariants()
        for node in cluster.nodes:
            if node.kernel is not None:
                invariants.check(node.kernel)
                wrong += [f"{node.name}: {what}" for what in _left(node)]
        for node in cluster.nodes:
            wrong += _leaks(node)
    return wrong


def _calls(node: ClusterNode) -> list[str]:
    """What a node's program says that should not be: a call that has no end, memory that came otherwise than it went."""
    found = []
    for roamer in programs(node, Roamer):
        if roamer.asked != roamer.answered + roamer.lost:
            found.append(f"{node.name}: of {roamer.asked} calls {roamer.answered} are answered and {roamer.lost} lost")
        if roamer.wrong:
            found.append(f"{node.name}: memory of {roamer.wrong} messages is not what was sent")
    return found


def _not_given_back(nodes: list[ClusterNode]) -> list[str]:
    """What the last node thinks that others have of its ports, though only its program goes on. A name that is still there for a
    service that has moved keeps its right; so does a proxy for a port that has come home, and one that is kept for a send-once
    right alone, which is on its way through another node."""
    *others, last = nodes
    if last.kernel is None or any(len(acs.entries) > 1 for node in others for acs in programs(node, Acs)):
        return []
    gns = programs(last, Gns)[0]
    proxies = [each for node in others if node.kernel for other in programs(node, Gns) for each in other.tables.proxies.values()]
    passing = {each.number for each in proxies if each.node == last.number and each.is_unused}
    given = [
        number
        for number, export in gns.tables.exports.items()
        if export.kind is RightKind.SEND
        and number not in passing
        and any(node not in (EVERYBODY, last.number) for node in export.given)
    ]
    return [f"{last.name}: exports {given} are left, and nobody has rights to them"] if given else []


def _left(node: ClusterNode) -> list[str]:
    """What a node's servers still keep, though nobody uses them."""
    gns, acs = programs(node, Gns)[0], programs(node, Acs)[0]
    tables = gns.tables
    assert node.servers is not None and node.kernel is not None
    kept: dict[str, Sized] = {
        "exports": tables.exports, "proxies": tables.proxies, "moved ports": tables.leaving, "pledges": tables.pledges,
        "names of proxies": tables.by_number or tables.onces, "watchers": tables.watchers, "queries": gns.names.queries,
        "questions": gns.questions or acs.questions, "streams": gns.streams.by_token, "arrivals": gns.arrivals.streams,
        "names": [name for name in acs.entries if name != b"gns"],
        "predecessors": [name for name in node.servers.names(node.kernel) if name.endswith("-before")],
    }  # fmt: skip
    return [f"{len(things)} {what} are left" for what, things in kept.items() if things]


def _leaks(node: ClusterNode) -> list[str]:
    """Ends all that is left on a node, whose kernel must be as an empty one then."""
    if node.kernel is None or node.machine is None:
        return []
    arch = ARCHS[node.kernel.cpu.architecture]
    assert node.servers is not None
    node.servers.lasting.clear()  # none is started again
    with new_node(arch, MEMORY) as fresh:
        before = invariants.usage(fresh.kernel)
    machine = Machine(node.machine, before)
    current = node.kernel.kern.sched.current
    if current is not None and not (current.active and current.task.active):
        machine.run(1)
    for task in machine.tasks:
        if task.active:
            task_control.terminate(node.kernel.kern, task)
    machine.run(1)
    machine.settle()
    after = machine.usage()
    after = after._replace(ports=after.ports - len(node.kernel.devices.opened))
    pairs = zip(after._fields, after, before, strict=True)
    return [
        f"{node.name}: its kernel has {now} {what}, and had {then} when it was empty" for what, now, then in pairs if now != then
    ]


def examine(seed: int, number: int) -> list[str]:
    """What is wrong in a trial, an exception too."""
    try:
        return play(trial(seed, number))
    except Exception as error:
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        return [f"{signature(error)}: {error!r}"]


def hunt(options: Options) -> int:
    """Makes the trials, prints what was found, and the figures; 1 where there was something."""
    began, used = time.monotonic(), 0.0
    totals: Counter[str] = Counter()

    def work(job: int, out: Connection) -> None:
        for number in range(job, options.count, options.jobs):
            if time.monotonic() - began >= options.seconds:
                break
            start = time.process_time()
            wrong = examine(options.seed, number)
            out.send((number, wrong, time.process_time() - start))

    for number, wrong, seconds in at_once(options.jobs, work):
        totals["trials"] += 1
        used += seconds
        if wrong:
            totals["found"] += 1
            print(f"trial {number}: {'; '.join(wrong)[:TEXT_MAX]}", flush=True)
    each = used / max(totals["trials"], 1)
    print(f"{totals['trials']} clusters, {totals['found']} with something wrong, {each:.2f} s of a processor each")
    return int(totals["found"] > 0)


def only(seed: int, number: int) -> int:
    """One trial, in this process: its cluster file, and what is wrong; what it raises is seen whole."""
    chosen = trial(seed, number)
    print(chosen.text, flush=True)
    for line in (wrong := play(chosen)):
        print(line)
    return int(bool(wrong))
