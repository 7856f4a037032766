"""Nodes of a cluster that run in processes of their own: machemu.cluster.link.NodeLink over pipes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from machemu.abi.errors import UserError
from machemu.cluster.cluster import Cluster
from machemu.cluster.faults import Action
from machemu.cluster.file import parse_file
from machemu.cluster.link import Arrival, Status
from machemu.cluster.node import ClusterNode
from machemu.sim.saved import Part
from tests.support.clusters import ROOT

PATIENCE_S = 300
PROCESSES = multiprocessing.get_context("spawn")


class Worker:
    """A node in a process of its own. Every message is the name of a NodeLink's method and its arguments."""

    def __init__(self, text: str, number: int) -> None:
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=serve, args=(theirs, text, number), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what: str, *arguments: object) -> Any:
        """Sends a message and waits for its answer."""
        self.pipe.send((what, arguments))
        if not self.pipe.poll(PATIENCE_S):
            raise TimeoutError(f"{what} is not answered")
        answer, error = self.pipe.recv()
        if error is not None:
            raise UserError(error)
        return answer

    def status(self) -> Status:
        return self.ask("status")  # type: ignore[no-any-return]

    def power_on(self, time: int, seed: int) -> Status:
        return self.ask("power_on", time, seed)  # type: ignore[no-any-return]

    def crash(self) -> Status:
        return self.ask("crash")  # type: ignore[no-any-return]

    def pause(self) -> Status:
        return self.ask("pause")  # type: ignore[no-any-return]

    def resume(self, time: int) -> Status:
        return self.ask("resume", time)  # type: ignore[no-any-return]

    def act(self, action: Action, seed: int) -> tuple[Status, str]:
        return self.ask("act", action, seed)  # type: ignore[no-any-return]

    def run(self, horizon: int) -> Status:
        return self.ask("run", horizon)  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Nothing: a run ends where it would anyway."""

    def hear(self, arrival: Arrival, sent: int) -> Status | str | None:
        return self.ask("hear", arrival, sent)  # type: ignore[no-any-return]

    def forget(self, time: int) -> None:
        self.ask("forget", time)

    def digest(self) -> str:
        return self.ask("digest")  # type: ignore[no-any-return]

    def save(self) -> Part:
        return self.ask("save")  # type: ignore[no-any-return]

    def console(self) -> bytes:
        """All that the node has printed."""
        return self.ask("console")  # type: ignore[no-any-return]

    def close(self) -> None:
        self.pipe.close()
        self.process.join(PATIENCE_S)


def serve(pipe: Connection, text: str, number: int) -> None:
    """The process of a node: answers messages until nobody sends any more."""
    node = ClusterNode(parse_file(text, ROOT).nodes[number - 1])
    console = bytearray()

    def switched_on(each: ClusterNode) -> None:
        assert each.kernel is not None
        each.kernel.console.sinks.append(console.extend)

    node.switched_on = switched_on
    while True:
        try:
            what, arguments = pipe.recv()
        except EOFError:
            break
        try:
            answer = bytes(console) if what == "console" else getattr(node, what)(*arguments)
            if isinstance(answer, Part):
                answer = answer._replace(pages=list(answer.pages))
            pipe.send((answer, None))
        except UserError as error:
            pipe.send((None, str(error)))
    node.close()


@contextmanager
def in_processes(text: str) -> Iterator[tuple[Cluster, list[Worker]]]:
    """A cluster that has been switched on, each of its nodes in a process of its own."""
    spec = parse_file(text, ROOT)
    workers = [Worker(text, node.number) for node in spec.nodes]
    try:
        cluster = Cluster(spec, links=workers)
        cluster.boot()
        yield cluster, workers
    finally:
        for worker in workers:
            worker.close()
