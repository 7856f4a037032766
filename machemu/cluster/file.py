"""The cluster file: TOML that says which nodes and segments there are, and what befalls them when.

Paths in it begin in the folder that it lies in.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import find_architecture, lone_line
from machemu.boot.disks import DiskSpec
from machemu.boot.modules import Modules
from machemu.boot.node import DISK_NAME, NIC_NAME, RAM_MAX, RAM_MIN
from machemu.boot.script import module_paths
from machemu.cluster.faults import Fault
from machemu.cluster.lan import Properties
from machemu.cluster.schedule import Names, schedule_of
from machemu.cluster.server_specs import GuestSpec, ServerSpec
from machemu.cluster.values import Table, a_table, a_text, index_in, properties_of, servers, texts
from machemu.machine.profile import Profile, default_profile, load_profile
from machemu.sim import files
from machemu.sim.saved import is_saved
from machemu.sim.toml import parse_toml
from machemu.sim.units import parse_size

T = TypeVar("T")
NODES_MAX: Final = 1 << 16
SEED_MAX: Final = 1 << 64
KEY_SIZE: Final = 32
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


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
    """faults: actions, too; by time, faults first and the file's order where times are the same."""

    seed: int
    segments: tuple[SegmentSpec, ...]
    nodes: tuple[NodeSpec, ...]
    faults: tuple[Fault, ...]

    def files(self) -> Iterator[Path]:
        """What its nodes read."""
        for node in self.nodes:
            if node.input is not None:
                yield node.input
            yield from (disk.path for disk in node.disks.values())
            yield from (node.folder / path for path in module_paths(node.lines))


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
    faults = schedule_of(top, Names(names, [node.name for node in nodes]))
    top.end()
    return ClusterSpec(seed, tuple(segments), tuple(nodes), tuple(sorted(faults, key=lambda fault: fault.time)))


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


# Values: each gives what a TOML value stands for, or raises ValueError.


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


def a_memory(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError(f"must be a size such as '64M', and is {value!r}")
    size = parse_size(value)
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
