"""What a cluster file says now against what it said when a cluster was saved: what holds from now on, and what cannot.

A saved cluster carries what its file said, key by key. Values that were used up when the cluster, or a node, was made cannot
change: they are refused by their key. The others are the future's: faults to come, a segment's properties, and whatever a node
without power will boot from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.cluster.faults import NAMES, Action, Fault, NodeFault, SetSegment
from machemu.cluster.file import ClusterSpec, NodeSpec
from machemu.cluster.lan import Properties
from machemu.cluster.server_specs import NAME_SERVER, GuestSpec, ServerSpec
from machemu.machine.profile import Profile
from machemu.sim.saved import Head
from machemu.sim.state import state
from machemu.sim.units import time_text

SECRET: Final = "key"
SHOWN_MAX: Final = 60
"""Characters of a value that a message shows."""


class Rule(Enum):
    """What becomes of a change of a key. ALWAYS: it holds from now on. UNPOWERED: it does for a node without power, from its next
    boot on, and is refused for others. NEVER: it is refused."""

    ALWAYS = auto()
    UNPOWERED = auto()
    NEVER = auto()


RULES: Final = {
    "seed": Rule.NEVER,
    "key": Rule.NEVER,
    "segments": Rule.NEVER,
    **{f"segments.*.{name}": Rule.ALWAYS for name in Properties._fields},
    "nodes": Rule.NEVER,
    "nodes.*.profile": Rule.UNPOWERED,
    "nodes.*.memory": Rule.UNPOWERED,
    "nodes.*.script": Rule.UNPOWERED,
    "nodes.*.modules": Rule.UNPOWERED,
    "nodes.*.module": Rule.UNPOWERED,
    "nodes.*.variables": Rule.UNPOWERED,
    "nodes.*.servers": Rule.UNPOWERED,
    "nodes.*.privileged": Rule.UNPOWERED,
    "nodes.*.disks": Rule.NEVER,
    "nodes.*.nics": Rule.NEVER,
    "nodes.*.input": Rule.ALWAYS,
    "faults": Rule.ALWAYS,
    "actions": Rule.ALWAYS,
}
"""By key. Of `segments` and `nodes` it is the names and their order; of `disks` the names, and which are written: where an image
lies may change, and its contents are compared. Of `faults` and `actions` those to come."""


@state
class Origin(NamedTuple):
    """What a cluster was saved from. powered: numbers of the nodes with power. faults: all. started: classes of
    servers that actions have named.

    settings: of each its node's number, or 0; its key; its value.
    """

    powered: tuple[int, ...]
    settings: tuple[tuple[int, str, Any], ...]
    faults: tuple[Fault, ...]
    started: tuple[str, ...] = ()


def settings(spec: ClusterSpec) -> tuple[tuple[int, str, Any], ...]:
    """The keys of a cluster file, but those that each load grants anew. Values are plain, and equal where they mean the same."""
    found: list[tuple[int, str, Any]] = [
        (0, "seed", spec.seed),
        (0, SECRET, hashlib.sha256(spec.nodes[0].key).hexdigest()),
        (0, "segments", tuple(segment.name for segment in spec.segments)),
        (0, "nodes", tuple(node.name for node in spec.nodes)),
    ]
    for segment in spec.segments:
        found += [(0, f"segments.{segment.name}.{name}", getattr(segment.properties, name)) for name in Properties._fields]
    for node in spec.nodes:
        found += [(node.number, f"nodes.{node.name}.{name}", value) for name, value in _node_settings(node, spec)]
    return tuple(found)


def _node_settings(node: NodeSpec, spec: ClusterSpec) -> Iterator[tuple[str, Any]]:
    profile = [name for name in Profile.__dataclass_fields__ if name not in ("name", "ram")]
    yield "profile", tuple((name, getattr(node.profile, name)) for name in profile)
    yield "memory", node.ram
    yield "script", node.script
    yield "modules", node.modules
    yield "module", node.module
    yield "variables", tuple(sorted(node.variables.items()))
    yield "servers", tuple(_server(server) for server in node.servers)
    yield "privileged", node.privileged
    yield "disks", tuple((name, "writable" if disk.writable else "not writable") for name, disk in node.disks.items())
    yield "nics", tuple((name, spec.segments[number].name) for name, number in sorted(node.nics.items()))


def _server(server: ServerSpec | GuestSpec) -> tuple[Any, ...]:
    if isinstance(server, ServerSpec):
        return (server.name, *server.options)
    return ("guest", server.command, *((NAME_SERVER,) if server.name_server else ()))


def origin_of(head: Head) -> Origin:
    """What a saved file says that it is from. ValueError where it says nothing that could be."""
    origin = head.origin
    if not isinstance(origin, Origin):
        raise ValueError("it does not say of which cluster file it is")
    if (
        not all(isinstance(part, tuple) for part in origin)
        or not all(isinstance(name, str) for name in origin.started)
        or not all(
            isinstance(item, tuple) and list(map(type, item[:2])) == [int, str] and len(item) == 3 for item in origin.settings
        )
    ):
        raise ValueError("what it says of its cluster file cannot be")
    return origin


def check(origin: Origin, spec: ClusterSpec) -> list[int]:
    """Compares a cluster file with what it was. Gives the numbers of the nodes with power.

    UserError, which names the key and both values, for what can be other neither now nor later.
    """
    then = {(node, key): value for node, key, value in origin.settings}
    now = {(node, key): value for node, key, value in settings(spec)}
    for (node, key), value in now.items():
        if then.get((node, key)) != value:
            rule = next(rule for pattern, rule in RULES.items() if fnmatchcase(key, pattern))
            if rule is Rule.NEVER or (rule is Rule.UNPOWERED and node in origin.powered):
                raise UserError(_refusal(key, then.get((node, key)), value, rule))
    return [node.number for node in spec.nodes if node.number in origin.powered]


def _refusal(key: str, then: Any, now: Any, rule: Rule) -> str:
    why = "that is part of what was saved" if rule is Rule.NEVER else "a node keeps what it was booted from while it has power"
    if key == SECRET:
        return f"{key}: is not that of the saved cluster, and {why}"
    if _is_table(then) and _is_table(now):
        then, now = tuple(item for item in then if item not in now), tuple(item for item in now if item not in then)
    return f"{key}: is {_shown(now)}, and was {_shown(then)} when the cluster was saved: {why}"


def _is_table(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, tuple) for item in value)


def _shown(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, tuple):
        text = ", ".join(" ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value) or "nothing"
    else:
        text = str(value) or "nothing"
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def faults(origin: Origin, to_come: Sequence[Fault], spec: ClusterSpec, time: int) -> list[Fault]:
    """What will befall a cluster that has come to `time`: the file's faults but those that have been, and its segments' changes.

    to_come: as it was saved. UserError, which names the fault, where the file has others before that time.
    """
    been = list(origin.faults)
    pending = []
    for fault in to_come:
        if fault in been:
            been.remove(fault)
        else:
            pending.append(fault)  # a change of a segment, of an earlier load
    found = []
    for fault in spec.faults:
        if fault in been:
            been.remove(fault)
        elif fault.time < time and fault not in to_come:
            raise UserError(f"faults: {described(fault, spec)} is new, and the saved cluster is at {time_text(time)} already")
        else:
            found.append(fault)
    if been:
        raise UserError(f"faults: {described(been[0], spec)} is not there, and has befallen the saved cluster already")
    return sorted([*found, *pending, *_segment_changes(origin, spec, time)], key=lambda fault: fault.time)


def _segment_changes(origin: Origin, spec: ClusterSpec, time: int) -> Iterator[SetSegment]:
    then = {key: value for _, key, value in origin.settings}
    for number, segment in enumerate(spec.segments):
        given = [(name, getattr(segment.properties, name)) for name in Properties._fields]
        changed = tuple((name, value) for name, value in given if then[f"segments.{segment.name}.{name}"] != value)
        if changed:
            yield SetSegment(time, number, changed)


def described(fault: Fault, spec: ClusterSpec) -> str:
    """Which of the file's faults and actions it is, for messages."""
    name = spec.nodes[fault.node - 1].name if isinstance(fault, NodeFault | Action) else spec.segments[fault.segment].name
    return f"'{NAMES[type(fault)]}' of {name} at {time_text(fault.time)}"
