"""What the rooms of a network server share while one of its handlers runs, and the link that carries what they say."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from machemu.user.mach import Mach
from machemu.user.message import Message
from masix.gns.ports import PortTables
from masix.gns.wire import GROUPS, Payload, encode
from masix.transport.events import Unverified

NAME: Final = b"gns"
"""The network server's own, at its node's name server."""
SERVER_STREAM: Final = 0
GROUP_STREAM: Final = 1
"""What goes between two nodes in order: what the servers say, and what groups do. Neither waits for the other."""


class Link(Protocol):
    """What carries the server's messages: reliably and in order between two nodes; data, saved with the server."""

    def attach(self) -> None:
        """Makes again what is not saved."""

    def start(self, mach: Mach, ports: int) -> None:
        """Opens the network; what it receives from goes into the port set."""

    def owns(self, message: Message) -> bool:
        """Whether a message that came to one of the server's ports is the link's."""

    def receive(self, mach: Mach, message: Message) -> None: ...

    def send(self, mach: Mach, node: int, stream: int, data: bytes) -> None: ...

    def multicast(self, mach: Mach, data: bytes) -> None: ...

    def tick(self, mach: Mach) -> None: ...

    def next_timer(self) -> int | None: ...

    def next_event(self) -> tuple[int, bytes | None] | None:
        """What came next from another node, in order: a message; or None, where the node is gone or begun anew: what it knew it
        knows no more."""

    def next_unverified(self) -> Unverified | None:
        """A multicast whose sender's incarnation is not verified."""

    def verify(self, mach: Mach, unverified: Unverified) -> None:
        """Begins a handshake with its sender; after it the multicast is an event."""


class Context:
    """node: this node's number. ports: the set of all that the server receives from. notices: where the kernel tells of ports.

    loop: what the server says to itself, as if it were another node's: of ports that moved here.
    """

    def __init__(
        self, mach: Mach, node: int, tables: PortTables, ports: int, notices: int, link: Link, loop: deque[tuple[int, bytes]]
    ) -> None:
        self.mach = mach
        self.node = node
        self.tables = tables
        self.ports = ports
        self.notices = notices
        self._link = link
        self._loop = loop

    def say(self, node: int, payload: Payload) -> None:
        """Says something to the network server of a node."""
        if node == self.node:
            self._loop.append((node, encode(payload)))
        else:
            self._link.send(self.mach, node, SERVER_STREAM, encode(payload))

    def verify(self, unverified: Unverified) -> None:
        self._link.verify(self.mach, unverified)

    def new_port(self) -> int:
        """A receive right more, in the set."""
        name = self.mach.allocate_port()
        self.mach.move_member(name, self.ports)
        return name

    def retire(self, name: int) -> None:
        """A proxy port to which nobody has a right any more, and which nobody waits for: another may need one."""
        if len(self.tables.spares) < self.tables.stock:
            self.tables.spares.append(name)
        else:
            self.mach.destroy_receive(name)

    def multicast(self, payload: Payload) -> None:
        self._link.multicast(self.mach, encode(payload))

    def say_group(self, node: int | None, data: bytes) -> None:
        """Says to another node's server, or to all, what a group has to say."""
        if node is None:
            self._link.multicast(self.mach, GROUPS + data)
        else:
            self._link.send(self.mach, node, GROUP_STREAM, GROUPS + data)
