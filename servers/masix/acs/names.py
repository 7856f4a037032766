"""What the name server keeps of a name, and of who is told of names."""

from __future__ import annotations

from typing import Final

from machemu.sim.state import U32, PortName, Receive, SendRight, state
from masix.acs import estate

PRIVILEGED: Final = None
"""In the place of a client's number: it came to the port for privileged servers."""


@state
class Entry:
    """A registered service. port: its send right's name. client: whose it is. Who may take its name away shows the registration,
    a port that was made for it, or of a netname the signature; without either everybody may."""

    __slots__ = ("client", "essential", "port", "registration", "signature")
    client: U32 | None
    essential: bool
    port: SendRight
    registration: Receive
    signature: U32

    def __init__(
        self, port: PortName, client: int | None, essential: bool = False, registration: PortName = 0, signature: PortName = 0
    ) -> None:
        self.port = port
        self.client = client
        self.essential = essential
        self.registration = registration
        self.signature = signature


@state
class Watcher:
    """Who is told of names. client: whose it is. told: those that are there as far as it was told. waiting: those of which it is
    to hear. busy: a message is on its way into its port's queue.
    """

    __slots__ = ("busy", "client", "told", "waiting")
    busy: bool
    client: U32 | None
    told: dict[bytes, None]
    waiting: dict[bytes, None]

    def __init__(self, client: int | None, names: dict[bytes, None]) -> None:
        self.client = client
        self.told = {}
        self.waiting = names
        self.busy = False


def flags_of(entry: Entry) -> int:
    """An entry in a legacy."""
    has = (entry.essential, estate.ESSENTIAL), (entry.registration, estate.REGISTERED), (entry.signature, estate.SIGNED)
    return estate.IS_THERE | sum(flag for value, flag in has if value)
