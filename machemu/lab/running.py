"""A run that Ctrl-C leaves between two traps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from machemu.core.interrupt import Interrupt
from machemu.lab.errors import UsageError


@contextmanager
def on_ctrl_c(asked: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `asked` meanwhile, where Python's own handler has it."""
    before: Any = None
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before = signal.signal(signal.SIGINT, lambda _number, _frame: asked())
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


@contextmanager
def interruptible(interrupt: Interrupt) -> Iterator[None]:
    """What runs inside ends when its `interrupt` is asked for, which Ctrl-C does. Then KeyboardInterrupt is raised at the end."""

    def asked() -> None:
        interrupt.asked = True

    try:
        with on_ctrl_c(asked):
            yield
    except UsageError:  # a way to a point, broken off
        if not interrupt.asked:
            raise
    if interrupt.asked:
        interrupt.asked = False
        raise KeyboardInterrupt
