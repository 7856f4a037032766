"""`machemu names`: the names that the name servers of a saved cluster have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import load_file
from machemu.cluster.node import ClusterNode
from machemu.kern.task import Task
from machemu.sim.state import PortName
from machemu.ui.options import PathOption
from machemu.user.thread import ServerThread
from masix.acs.server import Acs


def names(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """show which names the name servers of a saved cluster have, and whose they are"""
    parser.add_argument("file", action=PathOption, help="the cluster file, TOML")
    parser.add_argument("saved", action=PathOption, help="the saved cluster")
    return run


def run(options: argparse.Namespace) -> int:
    """A line a name: its node, the name, and the task that receives what is sent to it."""
    with Cluster.load(options.saved, load_file(options.file)) as cluster:
        for node in cluster.nodes:
            for line in describe(node):
                options.out.line(f"{node.name}: {line}")
    return 0


def describe(node: ClusterNode) -> Iterator[str]:
    """The lines of a node, or the one that says why there are none."""
    if node.kernel is None:
        yield "has no power"
        return
    tasks = node.kernel.kern.tasks.values()
    servers = [(task, server) for task in tasks if (server := _name_server(task)) is not None]
    if not servers:
        yield "has no name server in Python"
    for task, server in servers:
        for name, entry in server.entries.items():
            essential = ", essential" if entry.essential else ""
            yield f"{name.decode(errors='backslashreplace')}: {_owner(node, task, entry.port)}{essential}"


def _name_server(task: Task) -> Acs | None:
    programs = (thread.program for thread in task.threads.values())
    servers = (program.server for program in programs if isinstance(program, ServerThread))
    return next((server for server in servers if isinstance(server, Acs)), None)


def _owner(node: ClusterNode, task: Task, right: PortName) -> str:
    """Who receives from the port that a right of a task's is for."""
    assert node.kernel is not None
    entry = task.space.lookup(right)
    if entry is None or entry.object is None:
        return "a port that is dead"
    receiver = entry.port().receiver
    owner = next((each for each in node.kernel.kern.tasks.values() if each.space is receiver), None)
    return "nobody's" if owner is None else f"task {owner.number} ({owner.name})"
