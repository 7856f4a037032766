"""A program that adds a thread to each task that comes within its reach, as who holds the privileged host port may."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND
from machemu.mig.interfaces.gnumach import REGISTER_NEW_TASK_NOTIFICATION
from machemu.mig.interfaces.mach import THREAD_CREATE
from machemu.mig.interfaces.task_notify import MACH_NOTIFY_NEW_TASK
from machemu.mig.runtime import PolyPort
from machemu.sim.state import Right, state
from machemu.user.kit import HostServer, serves
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from masix.migration import node_tasks

FROM_NS: Final = 150_000_000
"""When it begins: the tasks of its node are there."""
EVERY_NS: Final = 300_000


@state
class Meddler(HostServer):
    """known: the tasks that it has met."""

    __slots__ = ("known",)
    known: dict[Right, None]

    def __init__(self) -> None:
        super().__init__()
        self.known = {}

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.call(REGISTER_NEW_TASK_NOTIFICATION, mach.given("host-port"), PolyPort(self.service, COPY_SEND))
        mach.alarm(FROM_NS)

    @serves(MACH_NOTIFY_NEW_TASK)
    def _new_task(self, mach: Mach, request: Message, task: Any, parent: Any) -> tuple[Any, ...]:
        if self.known:
            self._meddle(mach, living(task))
        return ()

    def expired(self, mach: Mach) -> None:
        is_first = not self.known
        for task in node_tasks.of_node(mach):
            if is_first:
                self.known[task] = None
            else:
                self._meddle(mach, task)
        mach.alarm(mach.now() + EVERY_NS)

    def _meddle(self, mach: Mach, task: int) -> None:
        if task and task not in self.known:
            self.known[task] = None
            with suppress(KernError):
                mach.call(THREAD_CREATE, task)
