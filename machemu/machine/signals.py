"""Handlers of signals that run at once, in the middle of what the process does; Python's own wait for its next instruction.

An engine's run is such a middle: there ctypes has released Python's lock, or the extension in C keeps it for the same host
thread, so Python may run in the handler as in a hook. Linux alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

SIGINFO: Final = 4
"""SA_SIGINFO (<bits/sigaction.h>)."""
CODE: Final = 8
"""Where in siginfo_t si_code is; what another process or thread sent has none above 0."""

_VOID = ctypes.c_void_p
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, _VOID, _VOID)
_libc = ctypes.CDLL(None)
_kept: list[Any] = []
"""Handlers stay: the system holds their addresses."""


class Action(ctypes.Structure):
    """struct sigaction of Linux's C libraries: what is done for a signal."""

    _fields_ = (("handler", _VOID), ("mask", ctypes.c_char * 128), ("flags", ctypes.c_int), ("restorer", _VOID))


def action(function: Callable[[int, int, int], None]) -> Action:
    """Calls function(number, address of its siginfo_t, address of its ucontext_t)."""
    handler = _HANDLER(function)
    _kept.append(handler)
    return Action(handler=ctypes.cast(handler, _VOID).value, flags=SIGINFO)


def current(number: int) -> Action:
    """What is done for a signal now."""
    found = Action()
    _check(number, _libc.sigaction(number, None, ctypes.byref(found)))
    return found


def become(number: int, wanted: Action) -> None:
    """Does this for a signal from now on."""
    _check(number, _libc.sigaction(number, ctypes.byref(wanted), None))


def _check(number: int, failed: int) -> None:
    if failed:
        raise OSError(f"signal {number} cannot be handled")
