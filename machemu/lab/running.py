"""A run that Ctrl-C leaves between two traps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from machemu.core.interrupt import Interrupt
from machemu.lab.errors import UsageError


@contextmanager
def interruptible(interrupt: Interrupt) -> Iterator[None]:
    """What runs inside ends when its `interrupt` is asked for; by Ctrl-C, where Python's own handler has it. Then
    KeyboardInterrupt is raised at the end."""
    before: Any = None

    def asked(_number: int, _frame: FrameType | None) -> None:
        interrupt.asked = True

    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    except UsageError:  # a way to a point, broken off
        if not interrupt.asked:
            raise
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if interrupt.asked:
        interrupt.asked = False
        raise KeyboardInterrupt
