"""Servers with a fault each, which a cluster file can name."""

from __future__ import annotations

import sys

from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.server import Server


@state
class Quiet(Server):
    """Does nothing; what is wrong with the others is theirs alone."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: object = 0

    def start(self, mach: Mach) -> None:
        mach.serve(mach.allocate_port())
        mach.alarm(mach.now() + 30_000_000)

    def receive(self, mach: Mach, message: Message) -> None: ...

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Raises(Quiet):
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        self.divide(0)

    def divide(self, by: int) -> int:
        return 1 // by  # here


@state
class Unset(Quiet):
    __slots__ = ("count",)

    def expired(self, mach: Mach) -> None:
        self.count += 1  # type: ignore[attr-defined]  # here


@state
class NeverSet(Quiet):  # here
    __slots__ = ("count",)


@state
class HoldsASet(Quiet):
    __slots__ = ()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.seen = {1, 2, 3}  # here


class NoState(Quiet):  # here
    __slots__ = ()


@state
class BadName(Quiet):
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        mach.make_send("port")  # type: ignore[arg-type]  # here


@state
class BadMessage(Quiet):  # here
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        mach.send(Message(Header(1, 19, 0, 0, "id"), b"", (), False))  # type: ignore[arg-type]


@state
class CannotBeMade(Quiet):
    __slots__ = ()

    def __init__(self) -> None:
        raise OSError("no such thing")  # here


@state
class NoThreads(Quiet):  # here
    __slots__ = ()
    threads = 0


@state
class TakesTooLittle(Quiet):  # here
    __slots__ = ()

    def receive(self, mach: Mach) -> None:  # type: ignore[override]
        ...


@state
class Exits(Quiet):
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        sys.exit(0)  # here


class CannotBeTold(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@state
class RaisesWhatCannotBeTold(Quiet):
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        raise CannotBeTold  # here


@state
class WakesAtNoTime(Quiet):
    __slots__ = ()

    def expired(self, mach: Mach) -> None:
        mach.alarm(mach.now() + 0.5)  # type: ignore[arg-type]  # here
