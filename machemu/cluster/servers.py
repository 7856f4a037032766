"""Servers of a node: classes on the host that the cluster file names, imported by that name, and guest programs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from machemu.abi.errors import KernError, UserError
from machemu.boot.bootstrap import boot_server
from machemu.cluster.file import GuestSpec, ServerSpec
from machemu.core.host_side import launch_server
from machemu.core.kernel import Kernel
from machemu.ipc.port import Port
from machemu.sim.state import REGISTRY
from machemu.user import faults
from machemu.user.server import Server

HANDLERS: Final = {
    "start": ("mach",),
    "receive": ("mach", "message"),
    "expired": ("mach",),
    "sent": ("mach", "message", "code"),
    "unsent": ("mach", "message", "code"),
}
"""user.server.Server's."""


def load_server(name: str) -> type:
    """The class `module:class`. UserError where there is none."""
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"server {name}: cannot be imported: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"server {name}: cannot be imported: {faults.raised(error)}") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not callable(getattr(found, "receive", None)):
        raise UserError(f"server {name}: {module_name} has no server {class_name}")
    for handler, arguments in HANDLERS.items():
        try:
            inspect.signature(getattr(found, handler)).bind(None, *arguments)
        except (AttributeError, TypeError, ValueError):
            wanted = f"{handler}({', '.join(('self', *arguments))})"
            raise UserError(f"server {name}: has no {wanted} {faults.class_line(found)}") from None
    if found not in REGISTRY.values():
        raise UserError(f"server {name}: is not marked @state, and could not be saved {faults.class_line(found)}")
    return found


def make_server(spec: ServerSpec, node: int, seed: int, key: bytes) -> Server:
    """A program of the class. One that has to know where it runs has a class method `on_node`, which makes it for the node of a
    number, with a seed of its own for what is to be random and the cluster's key; any other is made without them. Either has its
    options as keywords. UserError for options that it has not.
    """
    found = load_server(spec.name)
    on_node = getattr(found, "on_node", None)
    make, arguments = (found, ()) if on_node is None else (on_node, (node, seed, key))
    try:
        inspect.signature(make).bind(*arguments, **dict(spec.options))
    except TypeError as error:
        raise UserError(f"server {spec.name}: has not these options: {error}") from None
    try:
        server: Server = make(*arguments, **dict(spec.options))
    except (Exception, SystemExit) as error:
        raise UserError(f"server {spec.name}: cannot be made: {faults.raised(error, found)}") from error
    return server


def start_servers(
    kernel: Kernel, specs: Sequence[ServerSpec | GuestSpec], node: int, seed: int, key: bytes, folder: Path
) -> Port | None:
    """Makes the servers tasks of a node that boots: those on the host called as their classes in small letters, the guests as
    their paths, which begin in `folder`. The first is the name server, whose port is returned; None where there are none."""
    port: Port | None = None
    for spec in specs:
        if isinstance(spec, GuestSpec):
            port = boot_server(kernel, spec.command, port, folder)
        else:
            server = make_server(spec, node, seed, key)
            try:
                port = launch_server(kernel, server, spec.name.partition(":")[2].lower(), port)
            except KernError as error:
                raise UserError(f"server {spec.name}: does not fit into the machine's memory (code {error.code})") from None
    return port
