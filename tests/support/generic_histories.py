"""Histories of generic processes that a seed makes, for both stores of the table: creation, moves, exits, waits and faults.

A history is steps, each some nanoseconds after the one before it. What it does with processes depends on which there are then: a
step has numbers that choose among them. Each operation is compared with the model when it is done (`Stage.record`), and all
entries at the end.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from masix.gps.entry import Kind
from masix.gps.names import UqPid
from masix.gps.operations import Bury, Disown, Look, Reap
from masix.gps.paged import First
from masix.groups import Member
from tests.support.generic_pages import PagedWorld
from tests.support.generic_replicas import ReplicatedWorld
from tests.support.generic_worlds import MS, Actor

World = ReplicatedWorld | PagedWorld
STORES: Final = ("replicated", "paged")
STEPS: Final = (8, 30)
WAITS: Final = (0, 0, 1, 5, 20, 100, 400)
PATIENCE: Final = (1, 3, 10, 100, 1500)
"""Milliseconds."""
PAGES: Final = (5, 8, 64)
QUIET: Final = {"create": 5, "fork": 8, "move": 10, "exit": 6, "wait": 6, "sedentary": 2, "part": 3, "look": 1}
"""How often each is done, of all that is."""
FAULTS: Final = {"crash": 3, "restart": 4, "partition": 2, "heal": 3, "slow": 1}


class Step(NamedTuple):
    """wait: nanoseconds before it. number: chooses among what there is."""

    wait: int
    what: str
    number: int


class History(NamedTuple):
    """faulty: something may go wrong. reload: nodes are saved and loaded now and then. founders: nodes that are in the group from
    its begin on; the others join.
    """

    seed: int
    size: int
    faulty: bool
    reload: bool
    first: First
    pages: int
    founders: int
    steps: tuple[Step, ...]


def history(seed: int) -> History:
    chosen = random.Random(seed)
    faulty = chosen.random() < 0.6
    kinds = QUIET | FAULTS if faulty else QUIET
    steps = [Step(0, "create", number) for number in range(chosen.randint(1, 4))]
    for _ in range(chosen.randint(*STEPS)):
        (what,) = chosen.choices(list(kinds), list(kinds.values()))
        steps.append(Step(chosen.choice(WAITS) * MS, what, chosen.getrandbits(32)))
    reload, first, pages = chosen.random() < 0.1, chosen.choice(list(First)), chosen.choice(PAGES)
    size = chosen.randint(2, 5)
    return History(seed, size, faulty, reload, first, pages, chosen.choice((1, size)), tuple(steps))


def run(store: str, wanted: History) -> World:
    """The whole history, and calm afterwards. AssertionError where the table is not what it must be."""
    world: World
    if store == "replicated":
        world = ReplicatedWorld(wanted.seed, wanted.size, wanted.founders)
        world.run(50 * MS)
    else:
        world = PagedWorld(wanted.seed, wanted.size, wanted.first, wanted.pages)
    world.reload = 0.02 if wanted.reload else 0.0
    for step in wanted.steps:
        world.run(step.wait)
        globals()[f"do_{step.what}"](world, random.Random(step.number))
    found = world.finish()
    assert not found, found
    _check_end(world, wanted)
    return world


def _check_end(world: World, wanted: History) -> None:
    """Each process that runs by the table runs where the table says, if its node lives, and nowhere else."""
    unreachable = any(outcome == "UNREACHABLE" for _, outcome in world.outcomes)
    assert wanted.faulty or not unreachable
    if isinstance(world, PagedWorld):
        assert wanted.faulty or not world.repeated, "a request went to a node twice"
        if unreachable:
            return
    for name, process in world.model.processes.items():
        if process.status is None and world.actor(process.place) is not None:
            assert process.goal is None, f"{name} is still frozen"
            assert world.running.get(name) == process.place, f"{name} does not run at {process.place}"
    for name, place in world.running.items():
        assert name in world.model.processes, f"{name} runs at {place}, and the table has no such process"
    assert not any(actor.frozen for actor in world.actors.values())


def _somewhere(world: World, chosen: random.Random) -> Actor | None:
    return chosen.choice(list(world.actors.values())) if world.actors else None


def _running(world: World, chosen: random.Random) -> tuple[Actor, UqPid] | None:
    """A process that runs, and the actor of its node."""
    found = [(actor, process) for actor in world.actors.values() for process in actor.running]
    return chosen.choice(found) if found else None


def do_create(world: World, chosen: random.Random) -> None:
    if actor := _somewhere(world, chosen):
        actor.create()


def do_fork(world: World, chosen: random.Random) -> None:
    if found := _running(world, chosen):
        found[0].create(found[1])


def do_move(world: World, chosen: random.Random) -> None:
    """To any node that lives or did; sometimes to none, or to where it is."""
    found = _running(world, chosen)
    if found:
        node = chosen.randrange(world.size)
        to = Member(node, world.starts[node])
        found[0].move(found[1], to, chosen.choice(PATIENCE) * MS)


def do_exit(world: World, chosen: random.Random) -> None:
    if found := _running(world, chosen):
        found[0].exit(found[1], chosen.getrandbits(8))


def do_wait(world: World, chosen: random.Random) -> None:
    if found := _running(world, chosen):
        found[0].wait(found[1])


def do_look(world: World, chosen: random.Random) -> None:
    actor = _somewhere(world, chosen)
    if actor and world.born:
        actor.ask(Look(chosen.choice(world.born)))


def do_sedentary(world: World, chosen: random.Random) -> None:
    """A process whose parent is sedentary: that one's entry is at its own node."""
    if actor := _somewhere(world, chosen):
        actor.create(UqPid(actor.member.node, 0, 1), Kind.SEDENTARY)


def do_part(world: World, chosen: random.Random) -> None:
    """A sedentary parent waits for one of its children, or is gone."""
    actor = _somewhere(world, chosen)
    if actor and world.born:
        child, parent = chosen.choice(world.born), UqPid(actor.member.node, 0, 1)
        actor.ask(Reap(child, parent) if chosen.random() < 0.6 else Disown(child, parent))


def do_crash(world: World, chosen: random.Random) -> None:
    node = chosen.randrange(world.size)
    world.crash(node)


def do_restart(world: World, chosen: random.Random) -> None:
    """A node comes back, and so all know that its last incarnation is over: some other one buries who was there."""
    node = chosen.randrange(world.size)
    if node in world.lives:
        return
    old = Member(node, world.starts[node])
    world.restart(node)
    if actor := _somewhere(world, chosen):
        for name, process in world.model.processes.items():
            if process.place == old:
                actor.ask(Bury(name, old))


def do_partition(world: World, chosen: random.Random) -> None:
    world.partition([chosen.randrange(2) for _ in range(world.size)])


def do_heal(world: World, chosen: random.Random) -> None:
    world.heal()


def do_slow(world: World, chosen: random.Random) -> None:
    world.delay = (MS // 10, chosen.choice([1, 10, 100, 4000]) * MS)
