"""Host-side servers of a node: classes that the cluster file names, imported by that name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from machemu.abi.errors import UserError
from machemu.core.host_side import launch_all
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


def make_server(name: str, node: int, seed: int) -> Server:
    """A program of the class. One that has to know where it runs has a class method `on_node`, which makes it for the node of a
    number, with a seed of its own for what is to be random; any other is made without arguments."""
    found = load_server(name)
    on_node = getattr(found, "on_node", None)
    server: Server = found() if on_node is None else on_node(node, seed)
    return server


def start_servers(kernel: Kernel, names: Sequence[str], node: int, seed: int) -> Port | None:
    """Makes the servers tasks of a node that boots, called as their classes in small letters. The first is the name server, whose
    port is returned; None where there are none."""
    if not names:
        return None
    return launch_all(kernel, [(name.partition(":")[2].lower(), make_server(name, node, seed)) for name in names])
