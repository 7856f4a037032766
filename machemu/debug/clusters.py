"""The prompt's commands over a cluster: all nodes go together, by steps of the one that is chosen, which is looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from machemu.cluster.schedule import of_others
from machemu.core.kernel import FOREVER
from machemu.debug import search, story, words
from machemu.debug.conditions import Made
from machemu.debug.errors import CommandError
from machemu.debug.fields import Field, InCluster
from machemu.debug.looker import Command
from machemu.debug.show import location
from machemu.debug.traveller import LAST_MAX, Aim, Traveller, View
from machemu.lab.cluster import Cluster
from machemu.lab.console import Console
from machemu.lab.errors import UsageError
from machemu.lab.looks import Looks
from machemu.lab.members import Member
from machemu.lab.travel import StepKind
from machemu.sim.units import time_text

EXAMPLE: Final = 'node = "NAME", name = "SERVER"'
ANY: Final = "any"
"""Before UNTIL: in whichever node it comes."""


class ClusterStepper(Traveller):
    """As Traveller. chosen: the node whose steps are made, and that is looked into."""

    def __init__(
        self,
        cluster: Cluster,
        say: Callable[[str], None],
        view: Callable[[TextIO], View],
        may_save: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.cluster = cluster
        self.chosen: Member = next(iter(cluster.nodes.values()))
        self.told_undone = 0
        super().__init__(say, view, may_save)

    @property
    def whole(self) -> Cluster:
        return self.cluster

    @property
    def looks(self) -> Looks:
        return self.chosen

    @property
    def screen(self) -> Console:
        return self.chosen.console

    def goings(self) -> dict[str, Command]:
        return {
            "node": Command(self.node, "[NAME]", "choose a node by its name, or list them", ("n",)),
            **super().goings(),
            "fault": Command(self.fault, "KEYS", "let a fault befall the cluster: the keys of a cluster file's"),
            "action": Command(self.action, "KEYS", "start, stop or replace a server of a node: the keys of a cluster file's"),
        }

    def node(self, given: list[str], _: str) -> None:
        nodes = self.cluster.nodes
        if not given:
            self._lines(f"{'*' if member is self.chosen else ' '} {member!r}" for member in nodes.values())
            return
        name = self._one(given, "node")
        if name not in nodes:
            raise CommandError(f"no node {name}: there are {', '.join(nodes)}")
        self.chosen = nodes[name]

    def fault(self, _: list[str], text: str) -> None:
        if not text:
            raise CommandError('fault: what? write keys as in a cluster file, such as kind = "crash", node = "NAME"')
        self.cluster.fault(text)

    def action(self, _: list[str], text: str) -> None:
        if not text:
            raise CommandError(f'action: what? write keys as in a cluster file, such as kind = "stop", {EXAMPLE}')
        self.cluster.action(text)

    def command(self, name: str) -> Command:
        """A kind of actions that another package has is a command, too."""
        try:
            return super().command(name)
        except CommandError:
            if name not in of_others():
                raise
            return Command(partial(self._in_words, name), "WORDS", "what the package of this action says")

    def _in_words(self, kind: str, given: list[str], _: str) -> None:
        self.cluster.action_in_words(kind, given, self.chosen.name)

    def aims(self, given: list[str]) -> list[Aim]:
        """In the node that is chosen; in any, and then in those alone that have what is named."""
        if given[0] not in (ANY, "console"):
            return [self._aim(self.chosen, given)]
        until = given[1:] if given[0] == ANY else given
        aims, error = list[Aim](), None
        for member in self.cluster.nodes.values():
            try:
                aims.append(self._aim(member, until))
            except UsageError as wrong:
                error = error or wrong
        if not aims and error is not None:
            raise error
        return aims

    @staticmethod
    def _aim(member: Member, given: list[str]) -> Aim:
        return Aim(f"{' '.join(given)}, node {member.name}", words.condition(member, given), member)

    def came(self, aim: Aim) -> None:
        """Its node is chosen."""
        if aim.member is not None:
            self.chosen = aim.member

    def until_traps(self, count: int) -> tuple[int, list[Aim]]:
        text = "so many traps are made"
        return FOREVER, [Aim(text, Made(text, self.chosen.kernel.trap_count + count), self.chosen)]

    def find(self, aims: list[Aim], way: Callable[[Field], search.Found]) -> search.Found:
        conditions = [(aim.member, aim.condition) for aim in aims if aim.member is not None]
        return self.cluster.travel(lambda subject, history: way(InCluster(subject, history, conditions)))

    def stepped(self, kind: StepKind, count: int) -> None:
        self.cluster.step(self.chosen.name, kind, count)

    def stepped_back(self, kind: StepKind, count: int) -> None:
        self.cluster.back(self.chosen.name, kind, count)

    def told(self, begin: Any) -> list[str]:
        end, node = self.cluster.point, self.chosen
        return self.cluster.travel(lambda _, way: story.of_node_between(node, way, begin, end, self._viewed, LAST_MAX))

    def last_told(self, count: int) -> list[str]:
        end, node = self.cluster.point, self.chosen
        traps = max(node.kernel.trap_count - count, 0)
        return self.cluster.travel(lambda _, way: story.of_node(node, way, traps, end, self._viewed))

    def places(self) -> Iterator[str]:
        yield from self.cluster.undone[self.told_undone :]
        self.told_undone = len(self.cluster.undone)
        yield f"{time_text(self.cluster.time)}: node {self.chosen.name}"
        if self.chosen.powered:
            yield from location(self.chosen)

    def begin(self) -> str:
        return time_text(self.cluster.earliest.time)
