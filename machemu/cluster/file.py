"""The cluster file: TOML that says which nodes and segments there are, and what befalls them when.

Paths in it begin in the folder that it lies in.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import find_architecture, lone_line
from machemu.boot.disks import DiskSpec
from machemu.boot.modules import Modules
from machemu.boot.node import DISK_NAME, NIC_NAME, RAM_MAX, RAM_MIN
from machemu.cluster.faults import Crash, Fault, Heal, Partition, Pause, Restart, Resume, SetSegment
from machemu.cluster.lan import BANDWIDTH_MAX, TIME_MAX, Properties
from machemu.machine.profile import Profile, default_profile, load_profile
from machemu.sim import files
from machemu.sim.saved import is_saved
from machemu.sim.toml import parse_toml
from machemu.sim.units import parse_size, parse_time

T = TypeVar("T")
NODES_MAX: Final = 1 << 16
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
SERVER: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
SEED_MAX: Final = 1 << 64
KEY_SIZE: Final = 32
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
NAME_SERVER: Final = "name-server"
BANDWIDTH: Final = re.compile(r"(\d{1,12})([kMG]?)")
MULTIPLES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A host-side server: `module:class`, and options, which the class knows."""

    name: str
    options: tuple[tuple[str, bool | int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A guest program as a server: its path and arguments. name_server: it is the node's."""

    command: str
    name_server: bool = False


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node, as the cluster file describes it."""

    number: int  # from 1, in the file's order
    name: str
    profile: Profile
    ram: int  # bytes

    # What it boots:
    script: tuple[str, ...]  # lines, as the next
    modules: tuple[str, ...]
    module: str  # a path, or empty
    folder: Path  # where its paths begin
    variables: Mapping[str, str]  # of the boot script

    # Its devices:
    disks: Mapping[str, DiskSpec]  # by name
    nics: Mapping[str, int]  # segments' numbers by interface, eth0 to eth3

    servers: tuple[ServerSpec | GuestSpec, ...]  # in order
    input: Path | None  # what the console reads, or None
    key: bytes  # the cluster's, 32 bytes
    privileged: tuple[str, ...] | None  # digests of the programs of privileged servers; None where the file does not say

    @property
    def lines(self) -> tuple[str, ...]:
        """The boot script."""
        return boot_lines(self.script, self.modules, self.module)


def boot_lines(script: tuple[str, ...], modules: tuple[str, ...], module: str) -> tuple[str, ...]:
    return script + modules + ((lone_line(module),) if module else ())


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    name: str
    properties: Properties


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """faults: by time, the file's order where times are the same."""

    seed: int
    segments: tuple[SegmentSpec, ...]
    nodes: tuple[NodeSpec, ...]
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class Table:
    """A table of the file under examination: each key is taken once, and `end` refuses those that nobody took."""

    place: str
    values: dict[str, Any]
    taken: list[str] = field(default_factory=list)

    def take(self, key: str, convert: Callable[[Any], T], default: T | None = None) -> T:
        """A key's value as `convert` makes it, which raises ValueError or UserError; without the key, the default."""
        self.taken.append(key)
        if key not in self.values:
            if default is None:
                raise UserError(f"{self.place}{key}: is missing")
            return default
        return self.convert(key, self.values[key], convert)

    def convert(self, key: str, value: object, convert: Callable[[Any], T]) -> T:
        try:
            return convert(value)
        except (ValueError, UserError) as error:
            raise UserError(f"{self.place}{key}: {error}") from None

    def tables(self, key: str) -> dict[str, Table]:
        """The tables in a table, by name."""
        nothing: dict[str, Any] = {}
        tables = self.take(key, a_table, nothing)
        self.convert(key, list(tables), lambda names: [a_name(name) for name in names])
        return {
            name: Table(f"{self.place}{key}.{name}.", self.convert(f"{key}.{name}", value, a_table))
            for name, value in tables.items()
        }

    def end(self) -> None:
        for key in self.values:
            if key not in self.taken:
                raise UserError(f"{self.place}{key}: there is no such key; there are {', '.join(self.taken)}")


def load_file(path: Path) -> ClusterSpec:
    """Reads a cluster file. UserError, which names the file and the key, for whatever is wrong in it."""
    data = files.read(path, files.TEXT_MAX, "a cluster file")
    if is_saved(data):
        raise UserError(f"{path}: is no cluster file but a saved machine or cluster: --load goes on with it")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not TOML: it is no UTF-8 text") from None
    try:
        return parse_file(text, path.parent)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def parse_file(text: str, folder: Path) -> ClusterSpec:
    """As `load_file`; the messages begin with the key."""
    top = Table("", parse_toml(text))
    seed = top.take("seed", a_seed, 0)
    key = top.take("key", a_key, hashlib.sha256(b"machemu cluster %d" % seed).digest())
    segments = []
    for name, table in top.tables("segments").items():
        segments.append(SegmentSpec(name, properties_of(table, Properties())))
        table.end()
    names = [segment.name for segment in segments]
    nodes = [node_of(table, n, name, names, folder, key) for n, (name, table) in enumerate(top.tables("nodes").items(), 1)]
    if not 1 <= len(nodes) <= NODES_MAX - 1:
        raise UserError(f"nodes: there are {len(nodes)}; a cluster has between 1 and {NODES_MAX - 1}")
    _check_disks(nodes)
    faults = []
    none: list[Any] = []
    for n, value in enumerate(top.take("faults", a_list, none), 1):
        table = Table(f"faults[{n}].", top.convert(f"faults[{n}]", value, a_table))
        faults.append(fault_of(table, segments, [node.name for node in nodes]))
        table.end()
    top.end()
    return ClusterSpec(seed, tuple(segments), tuple(nodes), tuple(sorted(faults, key=lambda fault: fault.time)))


def properties_of(table: Table, default: Properties) -> Properties:
    """A segment's properties; those that are not named stay as in `default`."""
    return Properties(
        table.take("bandwidth", a_bandwidth, default.bandwidth),
        table.take("latency", a_time, default.latency),
        table.take("loss", a_probability, default.loss),
        table.take("duplication", a_probability, default.duplication),
        table.take("reordering", a_probability, default.reordering),
        table.take("delay", a_delay, default.delay),
    )


def node_of(table: Table, number: int, name: str, segments: Sequence[str], folder: Path, key: bytes) -> NodeSpec:
    nothing: tuple[Any, ...] = ()
    modules = table.take("modules", texts, nothing)
    script = table.take("script", lambda value: script_lines(folder / a_text(value)), nothing)
    module = table.take("module", a_text, "")
    lines = boot_lines(script, modules, module)
    started = table.take("servers", servers, nothing)
    guests = tuple(f"{server.command.split()[0]} $(task-create)" for server in started if isinstance(server, GuestSpec))
    table.convert("servers", guests, lambda lines: find_architecture(lines, Modules(folder)))
    architecture = table.convert("modules", (*guests, *lines), lambda lines: find_architecture(lines, Modules(folder)))
    given = table.take("profile", a_text, default_profile(architecture))
    profile = table.convert("profile", given, lambda name: a_profile(name, folder))
    if architecture not in (None, profile.architecture):
        raise UserError(
            f"{table.place}profile: {profile.name} is a machine of {profile.architecture}, its programs of {architecture}"
        )
    no_disks: dict[str, DiskSpec] = {}
    no_nics: dict[str, int] = {}
    disks = table.take("disks", lambda value: named(value, DISK_NAME, lambda disk: a_disk(disk, folder)), no_disks)
    nics = table.take(
        "nics", lambda value: named(value, NIC_NAME, lambda segment: index_in(segment, segments, "segment")), no_nics
    )
    console = table.take("input", a_text, "")
    allowed = table.take("privileged", digests, nothing)
    spec = NodeSpec(
        number,
        name,
        profile,
        table.take("memory", a_memory, profile.ram),
        script,
        modules,
        module,
        folder,
        table.take("variables", variables, {}),
        disks,
        nics,
        started,
        table.convert("input", folder / console, an_input) if console else None,
        key,
        allowed if "privileged" in table.values else None,
    )
    table.end()
    if not lines and not spec.servers:
        raise UserError(f"{table.place.removesuffix('.')}: has nothing to run: give it module, modules, script or servers")
    return spec


def fault_of(table: Table, segments: Sequence[SegmentSpec], nodes: Sequence[str]) -> Fault:
    time = table.take("at", a_time)
    kind = table.take("kind", lambda value: value if isinstance(value, str) and value in KINDS else refuse_kind(value))
    if kind in NODE_FAULTS:
        return NODE_FAULTS[kind](time, table.take("node", lambda value: index_in(value, nodes, "node") + 1))
    names = [segment.name for segment in segments]
    number = table.take("segment", lambda value: index_in(value, names, "segment"))
    if kind == "partition":
        return Partition(time, number, table.take("groups", lambda value: groups(value, nodes)))
    if kind == "heal":
        return Heal(time, number)
    given = tuple(key for key in Properties._fields if key in table.values)
    values = properties_of(table, Properties())
    if not given:
        raise UserError(f"{table.place}segment: nothing is set; name one or more of {', '.join(Properties._fields)}")
    return SetSegment(time, number, tuple((key, getattr(values, key)) for key in given))


NODE_FAULTS: Final[dict[str, Callable[[int, int], Fault]]] = {
    "crash": Crash,
    "restart": Restart,
    "pause": Pause,
    "resume": Resume,
}
KINDS: Final = (*NODE_FAULTS, "partition", "heal", "segment")


def refuse_kind(value: object) -> str:
    raise ValueError(f"{value!r} is none of {', '.join(KINDS)}")


# Values: each gives what a TOML value stands for, or raises ValueError.


def a_table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, and is {value!r}")
    return value


def a_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, and is {value!r}")
    return value


def a_text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be a text, and is {value!r}")
    return value


def texts(value: object) -> tuple[str, ...]:
    return tuple(a_text(item) for item in a_list(value))


def a_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name: 1 to 32 letters, digits, '_', '-' and '.'")
    return value


def a_seed(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < SEED_MAX:
        raise ValueError(f"must be a whole number from 0 to 2^64 - 1, and is {value!r}")
    return value


def a_key(value: object) -> bytes:
    """What the servers of the nodes share and nobody else knows."""
    key = bytes.fromhex(a_text(value))
    if len(key) != KEY_SIZE:
        raise ValueError(f"has {len(key)} bytes; {KEY_SIZE} are wanted, as {2 * KEY_SIZE} hexadecimal digits")
    return key


def digests(value: object) -> tuple[str, ...]:
    """SHA-256 of programs."""
    for text in texts(value):
        if not DIGEST.fullmatch(text):
            raise ValueError(f"{text!r} is no digest: 64 hexadecimal digits, which machemu.cluster.privileges prints")
    return texts(value)


def a_time(value: object) -> int:
    time = parse_time(a_text(value))
    if time > TIME_MAX:
        raise ValueError(f"{value!r} is more than an hour")
    return time


def a_delay(value: object) -> int:
    time = a_time(value)
    if not time:
        raise ValueError(f"must be more than no time, and is {value!r}")
    return time


def a_probability(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"must be a number from 0 to 1, and is {value!r}")
    return float(value)


def a_bandwidth(value: object) -> int:
    match = BANDWIDTH.fullmatch(value) if isinstance(value, str) else None
    bits = int(match[1]) * MULTIPLES[match[2]] if match is not None else 0
    if not 1000 <= bits <= BANDWIDTH_MAX:
        raise ValueError(f"must be bits a second from '1k' to '100G', such as '10M', and is {value!r}")
    return bits


def a_memory(value: object) -> int:
    size = parse_size(a_text(value))
    if not RAM_MIN <= size <= RAM_MAX:
        raise ValueError(f"{value!r}: a machine has between 1M and 2G")
    return size


def a_profile(name: str, folder: Path) -> Profile:
    return load_profile(str(folder / name) if "/" in name or name.endswith(".toml") else name)


def a_disk(value: object, folder: Path) -> DiskSpec:
    text = a_text(value)
    path = a_text(text.removesuffix(",writable"))
    return DiskSpec(folder / path, path != text)


def an_input(path: Path) -> Path:
    if not os.path.isfile(path):  # which says no of names that cannot be, too
        raise ValueError(f"{path}: there is no such file")
    return path


def script_lines(path: Path) -> tuple[str, ...]:
    return tuple(files.read_text(path, "a boot script").splitlines())


def servers(value: object) -> tuple[ServerSpec | GuestSpec, ...]:
    return tuple(map(a_server, a_list(value)))


def a_server(value: object) -> ServerSpec | GuestSpec:
    """`module:class`, or a table of that as `class` and the options that the class has; or a table with a `guest`."""
    options: dict[str, Any] = dict(value) if isinstance(value, dict) else {"class": value}
    if "guest" in options:
        return a_guest(options)
    name = a_text(options.pop("class", None))
    if not SERVER.fullmatch(name):
        raise ValueError(f"{name!r} is no server: write 'module:class'")
    for key, option in options.items():
        if not isinstance(option, bool | int | str):
            raise ValueError(f"{name}: {key}: must be true, false, a whole number or a text, and is {option!r}")
    return ServerSpec(name, tuple(options.items()))


def a_guest(options: dict[str, Any]) -> GuestSpec:
    command = a_text(options["guest"])
    if not command.split():
        raise ValueError("guest: names no program")
    if others := [key for key in options if key not in ("guest", NAME_SERVER)]:
        raise ValueError(f"guest: has no {others[0]}; its arguments stand behind its path")
    is_name_server = options.get(NAME_SERVER, False)
    if not isinstance(is_name_server, bool):
        raise ValueError(f"{NAME_SERVER}: must be true or false, and is {is_name_server!r}")
    return GuestSpec(command, is_name_server)


def variables(value: object) -> dict[str, str]:
    table = a_table(value)
    for key, text in table.items():
        if not isinstance(text, str):
            raise ValueError(f"{key}: must be a text, and is {text!r}")
    return table


def named(value: object, pattern: re.Pattern[str], convert: Callable[[Any], T]) -> dict[str, T]:
    """A table of devices, by name."""
    found = {}
    for name, item in a_table(value).items():
        if not pattern.fullmatch(name):
            raise ValueError(f"there can be no device '{name}': its name is of the form {pattern.pattern}")
        try:
            found[name] = convert(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def index_in(value: object, names: Sequence[str], what: str) -> int:
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"there is no {what} {value!r}; there are {', '.join(names) or 'none'}")
    return names.index(value)


def groups(value: object, nodes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Sets of nodes, as their numbers."""
    found = tuple(tuple(index_in(name, nodes, "node") + 1 for name in a_list(group)) for group in a_list(value))
    every = [number for group in found for number in group]
    if len(dict.fromkeys(every)) != len(every):
        raise ValueError("a node is in it twice")
    return found


def _check_disks(nodes: Sequence[NodeSpec]) -> None:
    """A file that a machine writes is nobody else's."""
    owners: dict[Path, str] = {}
    written: dict[Path, str] = {}
    for node in nodes:
        for name, disk in node.disks.items():
            place = Path(os.path.realpath(disk.path))
            key = f"nodes.{node.name}.disks.{name}"
            if place in written or (disk.writable and place in owners):
                raise UserError(f"{key}: {disk.path} is a disk of {owners[place]} already, and one of them writes it")
            owners[place] = key
            if disk.writable:
                written[place] = key
