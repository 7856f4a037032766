"""The end of a run where a message moves."""

from __future__ import annotations

from machemu.core.kernel import Kernel
from machemu.core.observe import unwatch, watch
from machemu.trace.events import MessageMoved, TraceEvent


class MessageStop:
    """A Tracer that ends a run when a message moves. Use as a context manager."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, MessageMoved):
            self.kernel.stop()

    def __enter__(self) -> None:
        watch(self.kernel, self)

    def __exit__(self, *exc: object) -> None:
        unwatch(self.kernel, self)
