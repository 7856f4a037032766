"""Ctrl-C: ends a command at once until its machines run, and from then on between two traps."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from machemu.core.interrupt import Interrupt

SAME_S: Final = 0.25
"""Host seconds within which a signal that comes again is the same Ctrl-C, of which more than one process is told."""


class CtrlC(Interrupt):
    """Takes SIGINT while its `with` block lasts, unless it is ignored. A second one gives up at once, wherever the run is.

    waker: a descriptor that can be read once it has come. came: when that was, by the host's clock.
    """

    __slots__ = ("_before", "_bell", "_running", "came", "waker")

    def __init__(self) -> None:
        super().__init__()
        self._running = False
        self.came = 0.0
        self.waker, self._bell = os.pipe()
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> CtrlC:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._signal)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        os.close(self.waker)
        os.close(self._bell)

    @staticmethod
    def listen() -> None:
        """It may come from now on, where it was blocked before. KeyboardInterrupt where it has come."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

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
        now = time.monotonic()
        if self.asked and now < self.came + SAME_S:
            return
        again, self.asked, self.came = self.asked, True, now
        with suppress(OSError):
            os.write(self._bell, b"!")
        if again or not self._running:
            raise KeyboardInterrupt
