"""What the rooms of a network server share while one of its handlers runs, and the link that carries what they say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from machemu.sim.state import PortName
from machemu.user.kit import HostServer, Part
from machemu.user.mach import Mach
from masix.gns.codec import encode
from masix.gns.large import Arrivals, Streams
from masix.gns.ports import PortTables
from masix.gns.wire import GROUPS, Claim, Payload
from masix.transport.events import Unverified

NAME: Final = b"gns"
"""The network server's own, at its node's name server."""
SERVER_STREAM: Final = 0
GROUP_STREAM: Final = 1
"""What goes between two nodes in order: what the servers say, and what groups do. Neither waits for the other."""


class Link(Part, ABC):
    """What carries the server's messages: reliably and in order between two nodes; saved with the server, whose part it is."""

    __slots__ = ()

    @abstractmethod
    def attach(self) -> None:
        """Makes again what is not saved."""

    @abstractmethod
    def start(self, context: Context) -> None:
        """Opens the network."""

    @abstractmethod
    def send(self, mach: Mach, node: int, stream: int, data: bytes) -> None: ...

    @abstractmethod
    def backlog(self, node: int) -> int:
        """Bytes of the server's messages that a node has not acknowledged."""

    @abstractmethod
    def is_full(self, node: int) -> bool:
        """Whether so many of the server's messages are on their way to a node that others should wait."""

    @abstractmethod
    def next_with_room(self) -> int | None:
        """A node that was full and is so no more, once."""

    @abstractmethod
    def multicast(self, mach: Mach, data: bytes) -> None: ...

    @abstractmethod
    def tick(self, mach: Mach) -> None: ...

    @abstractmethod
    def next_timer(self) -> int | None: ...

    @abstractmethod
    def next_event(self) -> tuple[int, bytes | None] | None:
        """What came next from another node, in order: a message; or None, where the node is gone or begun anew: what it knew it
        knows no more."""

    @abstractmethod
    def next_unverified(self) -> Unverified | None:
        """A multicast whose sender's incarnation is not verified."""

    @abstractmethod
    def verify(self, mach: Mach, unverified: Unverified) -> None:
        """Begins a handshake with its sender; after it the multicast is an event."""


class Context:
    """What the server's handlers are given. node: this node's number. notices: where the kernel tells of ports. streams,
    arrivals: large messages that go and come.

    loop: what the server says to itself, as if it were another node's: of ports that moved here.
    """

    def __init__(
        self,
        mach: Mach,
        server: HostServer,
        node: int,
        tables: PortTables,
        link: Link,
        loop: deque[tuple[int, bytes]],
        streams: Streams,
        arrivals: Arrivals,
    ) -> None:
        self.mach = mach
        self.streams = streams
        self.arrivals = arrivals
        self.node = node
        self.tables = tables
        self.ports = server.ports
        self.notices = server.notices
        self._server = server
        self._link = link
        self._loop = loop

    def ask(self, then: Callable[..., None], port: PortName, values: Iterable[Any], *about: Any) -> None:
        """As HostServer.ask."""
        self._server.ask(self.mach, then, port, values, *about)

    def say(self, node: int, payload: Payload) -> None:
        """Says something to the network server of a node."""
        if node == self.node:
            self._loop.append((node, encode(payload)))
        else:
            self._link.send(self.mach, node, SERVER_STREAM, encode(payload))

    def claim(self, home: int, number: int, via: int, pledge: int) -> None:
        """Tells a port's home of a right to it that node `via` has passed on."""
        if pledge:
            self.tables.claims[via, home] = pledge
        self.say(home, Claim(number, via, pledge))

    def backlog(self, node: int) -> int:
        """Bytes on their way to the network server of a node."""
        return self._link.backlog(node)

    def is_full(self, node: int) -> bool:
        """Whether messages to a node should wait in their ports' queues."""
        return self._link.is_full(node)

    def verify(self, unverified: Unverified) -> None:
        self._link.verify(self.mach, unverified)

    def new_port(self) -> PortName:
        """A receive right more, in the set."""
        return self._server.new_port(self.mach)

    def stock(self, count: int) -> None:
        """Makes so many ports ready that can be proxies."""
        missing = max(0, count - len(self.tables.spares))
        ports = self.mach.allocate_ports(missing)
        self.mach.move_members(ports, self.ports)
        self.tables.spares += ports

    def retire(self, name: PortName) -> None:
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
