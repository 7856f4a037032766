"""Servers of a node: classes on the host that the cluster file names, imported by that name, and guest programs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import boot_server
from machemu.cluster.file import GuestSpec, ServerSpec
from machemu.core.host_side import launch_server
from machemu.core.kernel import Kernel
from machemu.ipc.port import Port
from machemu.user.server import Server


def load_server(name: str) -> type:
    """The class `module:class`. UserError where there is none."""
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"server {name}: cannot be imported: {error}") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not callable(getattr(found, "receive", None)):
        raise UserError(f"server {name}: {module_name} has no server {class_name}")
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
    server: Server = make(*arguments, **dict(spec.options))
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
            port = launch_server(kernel, make_server(spec, node, seed, key), spec.name.partition(":")[2].lower(), port)
    return port
