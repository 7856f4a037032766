"""Clients of a name server that make the calls of a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machemu.abi.message import COPY_SEND
from machemu.core.host_side import launch
from machemu.core.name_server import client_port
from machemu.mig.runtime import RETCODE, PolyPort, Routine
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from machemu.user.server import Server
from masix.acs.server import CLOSED, GENERIC
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
    `answers` the code and what came. It has a service of its own, `port`, and keeps what is sent to that in `received`.

    registrations: by name. is_rude: it asks for privileged things where everybody asks.
    """

    __slots__ = ("answers", "asked", "is_rude", "port", "received", "registrations", "reply", "routine", "script")

    def __init__(self, script: list[tuple[Routine, Callable[[Scripted, Mach], tuple[Any, ...]]]]) -> None:
        self.script = script
        self.answers: list[tuple[int, tuple[Any, ...]]] = []
        self.received: list[int] = []
        self.registrations: dict[bytes, int] = {}
        self.asked: tuple[Any, ...] = ()
        self.is_rude = False

    def start(self, mach: Mach) -> None:
        self.port, self.reply, _ = serve_two(mach)
        self._ask(mach)

    def _ask(self, mach: Mach) -> None:
        if self.script:
            self.routine, arguments = self.script.pop(0)
            self.asked = arguments(self, mach)
            mach.request(self.routine, mach.given("privilege" if self._wants_more() else "name-server"), self.asked, self.reply)

    def _wants_more(self) -> bool:
        """Whether what it asks is a privileged server's to ask, and it asks as one."""
        essential = self.routine is acs.ACS_REGISTER and (self.asked[1] or self.asked[0] in GENERIC)
        closed = self.routine in (acs.ACS_REGISTER, acs.ACS_LOOK_UP, acs.ACS_LOOK_UP_HERE) and self.asked[0].startswith(CLOSED)
        return (essential or closed) and not self.is_rude

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local == self.port:
            self.received.append(message.header.id)
            mach.reply(message, acs_client.ACS_SAVE_AND_END, 0)
            return
        assert self.routine.reply is not None
        values = self.routine.reply.matches(mach.order, message.body, message.carried, message.complex)
        if values is None:
            values = RETCODE.matches(mach.order, message.body, message.carried, message.complex)
        assert values is not None
        if self.routine is acs.ACS_REGISTER and len(values) > 1:
            self.registrations[self.asked[0]] = living(values[1])
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
        launch(self.kernel, client, "late client", {"name-server": client_port(self.kernel, self.name_server)})


def registration(name: bytes) -> Callable[[Scripted, Mach], tuple[Any, ...]]:
    """The arguments with which a name that the program has registered is taken away."""
    return lambda program, mach: (name, PolyPort(program.registrations[name], COPY_SEND))


def own(program: Scripted, mach: Mach) -> int:
    return mach.copy_send(program.port)
