"""Sockets of the datagram server: where a task sends datagrams from and receives them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from machemu.sim.state import U16, PortName, Receive, Right, Size, state
from machemu.user.message import Caller
from masix.net.filters import IP_PIECE, IP_SOURCE, IP_TARGET, UDP_SOURCE, UDP_TARGET, WORD
from masix.net.frames import PIECE
from masix.net.ip import IpAddress


@state
class Opening(NamedTuple):
    """A socket that is asked for. The server has the rights."""

    library: bool
    port: U16  # 0 for any
    remote: IpAddress | Annotated[bytes, Size(0, 0)]
    remote_port: U16
    receiver: Right
    privileged: bool
    client: Right  # 0 for none
    caller: Caller


@state
class Socket:
    """Where a task sends datagrams from and receives them."""

    __slots__ = ("client", "connection", "frames", "port", "privileged", "receiver", "remote", "remote_port")
    client: Right  # whose it is: his port of the name server; 0 for all who have none
    privileged: bool  # it counts for no client
    connection: Right  # the network server's port for it, 0 until it is open
    frames: Receive  # the port of the server's own that its frames come to, 0 with the library
    receiver: Right  # where the opener's datagrams go, 0 with the library
    port: U16
    remote: IpAddress | Annotated[bytes, Size(0, 0)]  # empty where it takes datagrams from all
    remote_port: U16

    def __init__(self, port: int, remote: bytes, remote_port: int, client: PortName = 0, privileged: bool = False) -> None:
        self.client = client
        self.privileged = privileged
        self.connection = 0
        self.frames = 0
        self.receiver = 0
        self.port = port
        self.remote = remote
        self.remote_port = remote_port

    def filters(self, own: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The frames that it receives, and those that it sends. own: this node's address."""
        here, peer = _words(own), _words(self.remote)
        receives = [*_are(IP_TARGET, here), *_are(UDP_TARGET, (self.port,))]
        sends = [*_are(IP_SOURCE, here), *_are(UDP_SOURCE, (self.port,)), IP_PIECE, PIECE, 0]
        if self.remote:
            receives += [*_are(IP_SOURCE, peer), *_are(UDP_SOURCE, (self.remote_port,))]
            sends += [*_are(IP_TARGET, peer), *_are(UDP_TARGET, (self.remote_port,))]
        return _shorts(receives), _shorts(sends)


def _words(address: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(address) // 2}H", address)


def _are(first: int, words: tuple[int, ...]) -> list[int]:
    """Matches for words of a frame that follow each other."""
    return [number for place, word in enumerate(words, first) for number in (place, WORD, word)]


def _shorts(words: Sequence[int]) -> tuple[int, ...]:
    """As the interface has them, with a sign."""
    return tuple(word - 0x10000 if word & 0x8000 else word for word in words)
