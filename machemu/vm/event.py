"""What threads wait for in virtual memory: a page, a memory manager, a free frame (Mach's event_t)."""

from __future__ import annotations

from collections.abc import Callable

from machemu.sim.state import state


@state
class WaitEvent:
    """threads: those that wait, the first that came first. They are kern's threads; here they are only names."""

    __slots__ = ("threads",)
    threads: list[object]

    def __init__(self) -> None:
        self.threads = []

    def wake(self, wake: Callable[[object], None]) -> None:
        """thread_wakeup: all that wait try again."""
        for thread in list(self.threads):
            wake(thread)
