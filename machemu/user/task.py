"""What the threads of a host-side task share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.sim.state import AnyName, Receives, Time, state
from machemu.user.server import Server

if TYPE_CHECKING:
    from machemu.user.thread import ServerThread


@state
class ServerTask:
    """A server and what it has told the kit, whichever of its threads called it."""

    __slots__ = ("attached", "deadline", "leaves", "names", "port", "server", "threads")
    TRANSIENT = ("attached",)
    server: Server  # the program
    threads: list[ServerThread]  # the first runs `start`; those that have ended stay
    port: Receives  # what they receive from, 0 until `start` has said
    deadline: Time | None  # when one of them calls `expired`, None for never
    leaves: bool  # it has a successor, and ends once it owes nobody anything
    names: dict[str, AnyName]  # the rights that the task starts with, and its task's, host's and reply port's, once known
    attached: bool  # whether nothing has to be made again after a load; transient

    def __init__(self, server: Server) -> None:
        self.server = server
        self.threads = []
        self.port = 0
        self.deadline = None
        self.leaves = False
        self.names = {}
        self.attached = True

    def attach(self) -> None:
        """After a load: the server makes again what is not saved, once for all threads."""
        if not hasattr(self, "attached"):
            self.attached = True
            self.server.attach()
