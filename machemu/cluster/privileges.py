"""Which servers of a node are privileged: those whose program is one that the cluster file allows, by its digest."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.cluster.faults import ReplaceServer, StartServer
from machemu.cluster.file import load_file
from machemu.cluster.server_specs import GuestSpec, ServerSpec
from machemu.sim import files
from machemu.sim.output import ClosedPipe, Output

TRUSTED: Final = "masix"
"""The package whose servers are privileged where the cluster file does not say which are."""
IMAGE_MAX: Final = 256 << 20


def is_privileged(spec: ServerSpec | GuestSpec, folder: Path, allowed: Collection[str] | None) -> bool:
    """Whether a server gets a right to the name server's port for privileged ones. allowed: digests, or None where the cluster
    file does not say any. folder: where guests' paths begin. UserError where its program cannot be read."""
    if allowed is not None:
        return digest(spec, folder) in allowed
    return isinstance(spec, ServerSpec) and package_of(spec) == TRUSTED


def package_of(spec: ServerSpec) -> str:
    """The outermost package, or the module, that a server's class is in."""
    return spec.name.partition(":")[0].partition(".")[0]


def digest(spec: ServerSpec | GuestSpec, folder: Path) -> str:
    """SHA-256, in hexadecimal, of a server's program: a guest's file, or all source files of the outermost package of a class,
    each with its name."""
    if isinstance(spec, GuestSpec):
        return hashlib.sha256(files.read(folder / spec.command.split()[0], IMAGE_MAX, "a program")).hexdigest()
    return _package_digest(package_of(spec))


@cache
def _package_digest(package: str) -> str:
    found = importlib.util.find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or ())
    names = [(Path(place), path) for place in places for path in sorted(Path(place).rglob("*.py"))]
    if not names and found is not None and found.origin is not None:
        names = [(Path(found.origin).parent, Path(found.origin))]
    total = hashlib.sha256()
    for place, path in names:
        data = path.read_bytes()
        total.update(f"{path.relative_to(place).as_posix()}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def main(arguments: list[str]) -> int:
    """Prints of each server of a cluster file and its actions: node, name, digest, and whether it is privileged."""
    out = Output("standard output", os.fdopen(1, "wb", closefd=False))
    try:
        if len(arguments) != 1:
            raise UserError("write: python3 -m machemu.cluster.privileges FILE.toml")
        cluster = load_file(Path(arguments[0]))
        actions = [fault for fault in cluster.faults if isinstance(fault, StartServer | ReplaceServer)]
        for node in cluster.nodes:
            for spec in (*node.servers, *(action.server for action in actions if action.node == node.number)):
                name = spec.name if isinstance(spec, ServerSpec) else spec.command.split()[0]
                is_allowed = is_privileged(spec, node.folder, node.privileged)
                out.line(f"{node.name}: {name} {digest(spec, node.folder)}{' privileged' if is_allowed else ''}")
        out.check()
    except UserError as error:
        print(f"machemu: {error}", file=sys.stderr)
        return 1 if isinstance(error, ClosedPipe) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
