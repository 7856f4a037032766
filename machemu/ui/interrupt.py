"""Ctrl-C: ends a command at once until its machines run, and from then on between two traps."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from machemu.core.interrupt import Interrupt


class CtrlC(Interrupt):
    """Takes SIGINT while its `with` block lasts. A second one gives up at once, wherever the run is.

    waker: a descriptor that can be read once it has come.
    """

    __slots__ = ("_before", "_bell", "_running", "waker")

    def __init__(self) -> None:
        super().__init__()
        self._running = False
        self.waker, self._bell = os.pipe()
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> CtrlC:
        self._before = signal.signal(signal.SIGINT, self._signal)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        os.close(self.waker)
        os.close(self._bell)

    def begin(self) -> None:
        """Machines run from now on. KeyboardInterrupt where it has come before."""
        self._running = True
        if self.asked:
            raise KeyboardInterrupt

    def read(self, descriptor: int, size: int) -> bytes:
        """What a descriptor has next, when it comes; b"" at its end, or where Ctrl-C comes first."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self.waker, select.POLLIN)
        if any(ready == self.waker for ready, _ in poll.poll()):
            return b""
        return os.read(descriptor, size)

    def _signal(self, _number: int, _frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        with suppress(OSError):
            os.write(self._bell, b"!")
        if again or not self._running:
            raise KeyboardInterrupt
