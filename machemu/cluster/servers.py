"""Host-side servers of a node: classes that the cluster file names, imported by that name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from machemu.abi.errors import UserError
from machemu.core.kernel import Kernel


def load_server(name: str) -> Callable[[], object]:
    """The class `module:class`. UserError where there is none."""
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"server {name}: cannot be imported: {error}") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise UserError(f"server {name}: {module_name} has no class {class_name}")
    return found


def start_server(kernel: Kernel, program: object) -> None:
    """Makes a program a task of a node that boots."""
    launch = getattr(importlib.import_module("machemu.user"), "launch")  # noqa: B009
    launch(kernel, program)
