"""What is to befall a cluster, each at a time, as tables of its file say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.cluster.faults import (
    Crash,
    Cut,
    Fault,
    Heal,
    Mend,
    Partition,
    Pause,
    ReplaceServer,
    Restart,
    Resume,
    SetSegment,
    StartServer,
    StopServer,
)
from machemu.cluster.lan import Properties
from machemu.cluster.values import (
    Table,
    a_class,
    a_list,
    a_probability,
    a_server,
    a_table,
    a_text,
    a_time,
    a_truth,
    index_in,
    properties_of,
)
from machemu.sim.toml import parse_toml

NODE_FAULTS: Final[dict[str, Callable[[int, int], Fault]]] = {
    "crash": Crash,
    "restart": Restart,
    "pause": Pause,
    "resume": Resume,
}
KINDS: Final = (*NODE_FAULTS, "partition", "cut", "heal", "segment")
ACTIONS: Final = ("start", "stop", "replace")
GROUP: Final = "machemu.actions"
"""Entry points of other packages, each a kind of actions and the class of a server that does it."""


class Names(NamedTuple):
    """What a cluster has, by name."""

    segments: Sequence[str]
    nodes: Sequence[str]


def schedule_of(top: Table, names: Names) -> list[Fault]:
    """The faults and the actions of a cluster file."""
    found: list[Fault] = []
    none: list[Any] = []
    for key, read in TABLES.items():
        for n, value in enumerate(top.take(key, a_list, none), 1):
            table = Table(f"{key}[{n}].", top.convert(f"{key}[{n}]", value, a_table))
            found += read(table, names, None)
            table.end()
    return found


def from_line(key: str, text: str, names: Names, now: int) -> list[Fault]:
    """One of `faults` or `actions`, of a line with the keys of a table, parted by commas; without `at` it comes `now`. UserError,
    also for one that would have come before."""
    try:
        table = Table("", a_table(parse_toml(f"keys = {{ {text} }}")["keys"]))
    except UserError as error:
        raise UserError(f"{error}: write keys as in a cluster file, parted by commas") from None
    found = TABLES[key](table, names, now)
    table.end()
    if found[0].time < now:
        raise UserError("at: is over already")
    return found


def of_others() -> list[str]:
    """The kinds of actions that other packages have."""
    from importlib.metadata import entry_points  # what is installed is read slowly: only for who asks for it

    return sorted({entry.name for entry in entry_points(group=GROUP)})


def _fault_of(table: Table, names: Names, now: int | None) -> list[Fault]:
    """A fault, and where it says when it ends its end. now: when it comes if it does not say."""
    time = table.take("at", a_time, now)
    kind = table.take("kind", lambda value: one_of(value, KINDS))
    if kind in NODE_FAULTS:
        return [NODE_FAULTS[kind](time, _node_of(table, names))]
    number = table.take("segment", lambda value: index_in(value, names.segments, "segment"))
    if kind == "partition":
        return [Partition(time, number, table.take("groups", lambda value: groups(value, names.nodes)))]
    if kind == "heal":
        return [Heal(time, number)]
    return _cut_of(table, time, number, names.nodes) if kind == "cut" else [_change_of(table, time, number)]


def _node_of(table: Table, names: Names) -> int:
    return table.take("node", lambda value: index_in(value, names.nodes, "node") + 1)


def _action_of(table: Table, names: Names, now: int | None) -> list[Fault]:
    """An action. Kinds of other packages start a server of theirs, which is given the table's other keys."""
    time = table.take("at", a_time, now)
    kind = table.take("kind", a_text)
    node = _node_of(table, names)
    if kind == "start":
        return [StartServer(time, node, table.take("server", a_server))]
    if kind == "stop":
        return [StopServer(time, node, table.take("name", a_text))]
    if kind == "replace":
        return [ReplaceServer(time, node, table.take("name", a_text), table.take("server", a_server))]
    name = table.convert("kind", kind, class_of_kind)
    options = {key: value for key, value in table.values.items() if key not in table.taken and key != "class"}
    table.taken += options
    return [StartServer(time, node, table.convert("kind", {"class": name, **options}, a_class))]


def class_of_kind(kind: str) -> str:
    """The class of a kind of actions that another package has."""
    from importlib.metadata import entry_points  # what is installed is read slowly: only for who asks for it

    entries = entry_points(group=GROUP)
    found = {entry.name: entry.value for entry in entries}
    if sum(entry.name == kind for entry in entries) > 1:
        raise ValueError(f"several packages have actions of the kind {kind!r}")
    return found[one_of(kind, (*ACTIONS, *sorted(found)))]


TABLES: Final[dict[str, Callable[[Table, Names, int | None], list[Fault]]]] = {"faults": _fault_of, "actions": _action_of}


def _cut_of(table: Table, time: int, segment: int, nodes: Sequence[str]) -> list[Fault]:
    senders = table.take("from", lambda value: some_nodes(value, nodes))
    hearers = table.take("to", lambda value: some_nodes(value, nodes))
    loss = table.take("loss", a_probability, 1.0)
    cut = Cut(time, segment, senders, hearers, loss, table.take("both", a_truth, False))
    until = table.take("until", a_time, 0) if "until" in table.values else None
    check_cut(cut, nodes, table.place)
    if until is None:
        table.taken.append("until")
        return [cut]
    if until <= time:
        raise UserError(f"{table.place}until: is not later than the begin")
    return [cut, Mend(until, cut)]


def check_cut(cut: Cut, nodes: Sequence[str], place: str = "") -> None:
    """UserError, with the key, for a cut that cuts nothing."""
    for number in cut.senders:
        if number in cut.hearers:
            raise UserError(f"{place}to: {nodes[number - 1]} is in `from`, too: nobody hears what he sends himself")
    if not cut.loss:
        raise UserError(f"{place}loss: must be more than 0: nothing would be lost")


def _change_of(table: Table, time: int, segment: int) -> Fault:
    given = tuple(key for key in Properties._fields if key in table.values)
    values = properties_of(table, Properties())
    if not given:
        raise UserError(f"{table.place}segment: nothing is set; name one or more of {', '.join(Properties._fields)}")
    return SetSegment(time, segment, tuple((key, getattr(values, key)) for key in given))


def one_of(value: object, kinds: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in kinds:
        raise ValueError(f"{value!r} is none of {', '.join(kinds)}")
    return value


def groups(value: object, nodes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Sets of nodes, as their numbers."""
    found = tuple(tuple(index_in(name, nodes, "node") + 1 for name in a_list(group)) for group in a_list(value))
    check_once(found, nodes)
    return found


def some_nodes(value: object, nodes: Sequence[str]) -> tuple[int, ...]:
    """One node or more, as their numbers."""
    found = tuple(index_in(name, nodes, "node") + 1 for name in a_list(value))
    if not found:
        raise ValueError("names no node")
    check_once((found,), nodes)
    return found


def check_once(sets: Sequence[Sequence[int]], nodes: Sequence[str]) -> None:
    """UserError for a node that is in sets twice."""
    for number, times in Counter(chain.from_iterable(sets)).items():
        if times > 1:
            raise UserError(f"node {nodes[number - 1]} is in it twice: name each once")
