"""Servers of a node: classes on the host that the cluster file names, imported by that name, and guest programs."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Final

from machemu.abi.errors import KernError, UserError
from machemu.boot.bootstrap import boot_server
from machemu.boot.modules import Modules
from machemu.cluster.file import NodeSpec
from machemu.cluster.privileges import is_privileged
from machemu.cluster.server_specs import GuestSpec, ServerSpec
from machemu.core.host_side import NameServer, launch_server
from machemu.core.kernel import Kernel
from machemu.sim.state import REGISTRY
from machemu.user import faults
from machemu.user.server import Server

HANDLERS: Final = {
    "attach": (),
    "start": ("mach",),
    "receive": ("mach", "message"),
    "expired": ("mach",),
    "sent": ("mach", "message", "code"),
    "unsent": ("mach", "message", "code"),
}
"""user.server.Server's."""
THREADS_MAX: Final = 64


def load_server(name: str) -> type[Server]:
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
            method = getattr(found, handler)
            inspect.signature(method).bind(None, *arguments)
            missing = getattr(method, "__isabstractmethod__", False)
        except (AttributeError, TypeError, ValueError):
            missing = True
        if missing:
            wanted = f"{handler}({', '.join(('self', *arguments))})"
            raise UserError(f"server {name}: has no {wanted} {faults.class_line(found)}") from None
    if not issubclass(found, Server):
        raise UserError(f"server {name}: is not derived from machemu.user.server.Server {faults.class_line(found)}")
    if found not in REGISTRY.values():
        raise UserError(f"server {name}: is not marked @state, and could not be saved {faults.class_line(found)}")
    return found


def make_server(spec: ServerSpec, node: NodeSpec, seed: int) -> Server:
    """A program of the class, by its `on_node`. UserError for options that it has not."""
    found = load_server(spec.name)
    place: tuple[Any, ...] = (node.number, seed, node.key)
    options: dict[str, Any] = dict(spec.options)
    try:
        if found.on_node.__func__ is Server.on_node.__func__:  # type: ignore[attr-defined]
            inspect.signature(found).bind(**options)
        else:
            signature = inspect.signature(found.on_node)
            if "host" in signature.parameters:
                place = (*place, node.name)
            signature.bind(*place, **options)
    except TypeError as error:
        raise UserError(f"server {spec.name}: has not these options: {error}") from None
    try:
        server = found.on_node(*place, **options)
    except (Exception, SystemExit) as error:
        raise UserError(f"server {spec.name}: cannot be made: {faults.raised(error, found)}") from error
    if type(server.threads) is not int or not 1 <= server.threads <= THREADS_MAX:
        what = f"has {server.threads!r} threads, and may have 1 to {THREADS_MAX}"
        raise UserError(f"server {spec.name}: {what} {faults.class_line(found)}")
    return server


def start_servers(kernel: Kernel, node: NodeSpec, seed: int) -> NameServer | None:
    """Makes the servers tasks of a node that boots: those on the host called as their classes in small letters, the guests as
    their paths. The node's name server, which what is started after it knows; None without.

    UserError where there are two name servers.
    """
    made: NameServer | None = None
    first = ""
    for spec in node.servers:
        before = made
        privileged = is_privileged(spec, node.folder, node.privileged)
        if isinstance(spec, GuestSpec):
            name = spec.command.split()[0]
            made = boot_server(kernel, spec.command, made, Modules(node.folder), spec.name_server, privileged)
        else:
            name = spec.name
            server = make_server(spec, node, seed)
            try:
                made = launch_server(kernel, server, name.partition(":")[2].lower(), made, privileged)
            except KernError as error:
                raise UserError(f"server {name}: does not fit into the machine's memory (code {error.code})") from None
        if made is not before:
            if before is not None:
                raise UserError(f"server {name}: is a second name server of the node: {first} is one already")
            first = name
    return made
