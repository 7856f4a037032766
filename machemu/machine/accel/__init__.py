"""The optional extension in C, `native`: which engine runs, and why. docs/speed.md says what it does, and decision 35 what it
may touch.

The Python of the machines says what each of its files does, and runs wherever it cannot: without a compiler, where Unicorn's
instructions cannot be counted in its translations, and for threads in unusual states.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Final

from machemu.abi.errors import UserError

CHOICE: Final = "MACHEMU_ENGINE"
"""The environment variable that chooses: "python" or "native"; without it, what is there."""
PYTHON, NATIVE = "python", "native"


def _find() -> tuple[ModuleType | None, str]:
    """The extension, or why there is none."""
    if os.environ.get(CHOICE) == PYTHON:
        return None, f"{CHOICE} says so"
    try:
        return import_module(f"{__name__}.native"), ""
    except ImportError as error:
        return None, f"the extension in C cannot be used: {error}"


native, reason = _find()
_left_out = 0


@contextmanager
def left_out() -> Iterator[None]:
    """CPUs that are made meanwhile have Python's ways out of user mode: to compare both."""
    global _left_out  # noqa: PLW0603
    _left_out += 1
    try:
        yield
    finally:
        _left_out -= 1


def for_a_cpu() -> ModuleType | None:
    """The extension whose ways out of user mode a CPU that is made now has; None for Python's. UserError for a choice that there
    is not."""
    if wrong := refused():
        raise UserError(wrong)
    return None if _left_out else native


def guard_deaths() -> None:
    """From now on a fatal signal inside an engine's run is told, and the process ends with status 70; once a process, and
    before other handlers that are to have signals first. Without the extension signals do what they always do."""
    if native is not None:
        native.guard_deaths()


def leave_deaths() -> None:
    """From now on fatal signals do in this process what they always do, since another one tells of its death."""
    if native is not None:
        native.leave_deaths()


def engine() -> str:
    """Which engine runs, for people."""
    return NATIVE if native is not None else f"{PYTHON}: {reason}"


def refused() -> str:
    """What is wrong with the user's choice, "" for nothing."""
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", PYTHON, NATIVE):
        return f'{CHOICE} is "{choice}": set it to "{PYTHON}" or "{NATIVE}", or not at all'
    if choice == NATIVE and native is None:
        return f'{CHOICE} is "{NATIVE}", but {reason}'
    return ""
