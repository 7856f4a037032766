"""Programs that do what a test tells them to, when it says so."""

from __future__ import annotations

from collections.abc import Callable

from machemu.abi.message import COPY_SEND, MOVE_SEND, CarriedPort
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.interfaces import acs
from tests.support.guests import Arch
from tests.support.net import Net, Program, item

REGISTER, LOOK_UP = acs.ACS_REGISTER, acs.ACS_LOOK_UP
GIVEN = 4000


@state
class Actor(Program):
    """A program that does what the test tells it to, when the test says so. rights: those that came, in order. registrations: of
    its names, in order."""

    __slots__ = ("registrations", "rights", "todo")

    def __init__(self) -> None:
        super().__init__()
        self.todo: list[Callable[[Actor, Mach], None]] = []
        self.rights: list[int] = []
        self.registrations: list[int] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(mach.now())

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.id == REGISTER.request.id + 100:
            self.registrations += [each.port for each in message.carried]  # type: ignore[union-attr]
        elif message.header.local == self.reply:
            self.found = message.carried[0].port if message.carried else self.found  # type: ignore[union-attr]
        elif message.header.id == GIVEN:
            self.rights += [each.port for each in message.carried]  # type: ignore[union-attr]
        else:
            self.received.append(message)

    def expired(self, mach: Mach) -> None:
        for each in self.todo:
            each(self, mach)
        self.todo = []
        mach.alarm(mach.now() + 1_000_000)

    def ids(self) -> list[int]:
        return [message.header.id for message in self.received]


def register(name: bytes, where: str = "name-server") -> Callable[[Actor, Mach], None]:
    return lambda actor, mach: mach.request(REGISTER, mach.given(where), (name, 0, mach.copy_send(actor.port)), actor.reply)


def unregister(name: bytes) -> Callable[[Actor, Mach], None]:
    return lambda actor, mach: mach.request(
        acs.ACS_UNREGISTER, mach.given("name-server"), (name, mach.copy_send(actor.registrations.pop(0))), actor.reply
    )


def look_up(name: bytes) -> Callable[[Actor, Mach], None]:
    return lambda actor, mach: mach.request(LOOK_UP, mach.given("name-server"), (name,), actor.reply)


def give(arch: Arch, right: Callable[[Actor], int], kind: int = MOVE_SEND) -> Callable[[Actor, Mach], None]:
    """Sends a right to whom was found last."""

    def do(actor: Actor, mach: Mach) -> None:
        body = item(arch, kind, 1) + bytes(4)
        mach.send(Message(Header(actor.found, COPY_SEND, 0, 0, GIVEN), body, (CarriedPort(4, kind, right(actor)),), True))

    return do


def say(right: Callable[[Actor], int], *ids: int) -> Callable[[Actor, Mach], None]:
    def do(actor: Actor, mach: Mach) -> None:
        for msgh_id in ids:
            mach.send(Message(Header(right(actor), COPY_SEND, 0, 0, msgh_id), b"", (), False))

    return do


def found(actor: Actor) -> int:
    assert isinstance(actor.found, int)
    return actor.found


def do(made: Net, actor: Actor, *steps: Callable[[Actor, Mach], None], slices: int = 30) -> None:
    actor.todo += steps
    made.run(slices)
