"""The prompt's commands over a cluster: all nodes go together, by steps of the one that is chosen, which is looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from machemu.debug.errors import CommandError
from machemu.debug.looker import Command, Looker
from machemu.debug.show import location
from machemu.lab.cluster import Cluster, Member
from machemu.lab.console import Console
from machemu.lab.errors import EndError
from machemu.lab.looks import Looks
from machemu.lab.recorded import Reason
from machemu.sim.units import time_text

ENDED = {
    Reason.DURATION: "the time is over",
    Reason.WEDGED: "no node can run, and nothing will wake one",
    Reason.STOPPED: "stopped",
}


class ClusterStepper(Looker):
    """As Looker. chosen: the node whose steps are made, and that is looked into."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None], may_save: Callable[[Path], None] = lambda _: None) -> None:
        self.cluster = cluster
        self.chosen: Member = next(iter(cluster.nodes.values()))
        super().__init__(say, may_save)

    @property
    def looks(self) -> Looks:
        return self.chosen

    @property
    def screen(self) -> Console:
        return self.chosen.console

    def sum(self) -> str:
        return self.cluster.digest()

    def write(self, path: Path) -> None:
        self.cluster.save(path)

    def goings(self) -> dict[str, Command]:
        return {
            "node": Command(self.node, "[NAME]", "choose a node by its name, or list them", ("n",)),
            "step": Command(self.step, "[KIND] [N]", "all go on by traps, instructions or messages of the node", ("s",)),
            "back": Command(self.back, "[KIND] [N]", "all go back by so many traps or messages of the node", ("bk",)),
            "run": Command(self.run, "[for TIME | console TEXT]", "go on to a time, a line of any node, or the end", ("r", "c")),
            "where": Command(self.where, "", "where the cluster and the node are, and how far back it can go", ("w",)),
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

    def step(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "step")
        self.cluster.step(self.chosen.name, kind, count)
        self.reason = f"step {kind.value}"
        self._here()

    def back(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "back")
        start = self.cluster.point
        try:
            self.cluster.back(self.chosen.name, kind, count)
        except KeyboardInterrupt:
            self.cluster.go(start)
            raise
        self.reason = f"back {kind.value}"
        self._here()

    def run(self, given: list[str], text: str) -> None:
        match given:
            case []:
                reason = self.cluster.run()
            case ["for", time]:
                reason = self.cluster.run(duration=time)
            case ["console", _, *_]:
                reason = self.cluster.run(text.partition(" ")[2].strip())
            case _:
                raise CommandError(f"run {self.commands['run'].usage}: one of these is wanted")
        self.reason = ENDED.get(reason, text)
        self.say(self.reason)
        if given[:1] == ["console"] and reason is not Reason.UNTIL:
            raise EndError(f"the run ended before '{text}' came")
        self._here()

    def where(self, given: list[str], _: str) -> None:
        self._none(given, "where")
        self._here()
        self.say(f"back to {time_text(self.cluster.earliest.time)}")

    def _here(self) -> None:
        self.say(f"{time_text(self.cluster.time)}: node {self.chosen.name}")
        if self.chosen.powered:
            self._lines(location(self.chosen))
