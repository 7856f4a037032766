"""Clients of a name server that make the calls of a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machemu.core.host_side import launch
from machemu.mig.runtime import Routine
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Message
from machemu.user.server import Server
from masix.interfaces import acs, acs_client
from tests.support.guests import Arch
from tests.support.machine import Machine, new_node
from tests.support.name_servers import launch_servers
from tests.support.net import serve_two

SECOND_NS = 1_000_000_000
SUCCESS, NOT_THERE, TAKEN, NOT_THE_SAME = 0, 15, 13, 17


@state
class Scripted(Server):
    """Calls the name server with what `script` says: (routine, arguments), each a function of the program, which keeps in
    `answers` the code and what came. It has a service of its own, `port`, and keeps what is sent to that in `received`."""

    __slots__ = ("answers", "port", "received", "reply", "routine", "script")

    def __init__(self, script: list[tuple[Routine, Callable[[Scripted, Mach], tuple[Any, ...]]]]) -> None:
        self.script = script
        self.answers: list[tuple[int, tuple[Any, ...]]] = []
        self.received: list[int] = []

    def start(self, mach: Mach) -> None:
        self.port, self.reply, _ = serve_two(mach)
        self._ask(mach)

    def _ask(self, mach: Mach) -> None:
        if self.script:
            self.routine, arguments = self.script.pop(0)
            mach.request(self.routine, mach.given("name-server"), arguments(self, mach), self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local == self.port:
            self.received.append(message.header.id)
            mach.reply(message, acs_client.ACS_SAVE_AND_END, 0)
            return
        assert self.routine.reply is not None
        values = self.routine.reply.matches(mach.order, message.body, message.carried, message.complex)
        if values is None:
            values = acs.ACS_REGISTER.reply.matches(mach.order, message.body, message.carried, message.complex)  # type: ignore[union-attr]
        assert values is not None
        self.answers.append((values[0], tuple(values[1:])))
        self._ask(mach)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        raise AssertionError(code)


def ran(arch: Arch, place: str, *scripts: Scripted) -> Served:
    machine = Served(arch, place, *scripts)
    machine.run(SECOND_NS)
    return machine


class Served(Machine):
    """A machine with a name server and clients."""

    def __init__(self, arch: Arch, place: str, *clients: Scripted) -> None:
        super().__init__(new_node(arch))
        self.name_server = launch_servers(self, place, [(f"client {n}", client) for n, client in enumerate(clients)])

    def add(self, client: Server) -> None:
        """One more client, from now on."""
        launch(self.kernel, client, "late client", {"name-server": self.name_server})


def own(program: Scripted, mach: Mach) -> int:
    return mach.copy_send(program.port)
