"""A queue of waiting threads (Mach's ipc_thread_queue)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError
from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.ipc.thread import IpcThread


@state
class WaitQueue:
    """Threads that wait for one thing. A thread knows the queue that it stands in.

    The last that came is served first, as in GNU Mach (its ipc_thread_enqueue makes the new thread the queue's first).
    """

    __slots__ = ("threads",)
    threads: deque[IpcThread]

    def __init__(self) -> None:
        self.threads = deque()

    def enqueue(self, thread: IpcThread) -> None:
        thread.ith_queue = self
        self.threads.appendleft(thread)

    def first(self) -> IpcThread | None:
        return self.threads[0] if self.threads else None

    def dequeue(self) -> IpcThread | None:
        if not self.threads:
            return None
        thread = self.threads.popleft()
        thread.ith_queue = None
        return thread

    def remove(self, thread: IpcThread) -> None:
        self.threads.remove(thread)
        thread.ith_queue = None

    def check_invariants(self) -> None:
        if any(thread.ith_queue is not self for thread in self.threads):
            raise InvariantError("a thread stands in a queue that it does not know")
