"""What a transport tells its owner, and how it may be set."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, NamedTuple

from machemu.sim.state import U32, U64, Range, state
from masix.net.ip import NodeNumber

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000


@state
class Settings(NamedTuple):
    """Times in nanoseconds, sizes in bytes."""

    # After this something unanswered is sent again. It follows the round trip, and where that is short doubles up to most, so
    # that a node is asked about thirty times before it is taken for dead:
    timeout_initial: int = 50 * MILLISECOND
    timeout_least: int = 25 * MILLISECOND
    timeout_most: int = 50 * MILLISECOND

    ask_after: int = 200 * MILLISECOND  # after this, doubled each time, who is only to say who it is is asked again
    acknowledge_after: int = 2 * MILLISECOND  # how long an acknowledgement may wait for company
    dead_after: int = 1400 * MILLISECOND  # without an answer for so long, a peer is lost; one that paused for a second is not
    probe_after: int = SECOND  # how often a peer with a full stream is probed
    # So long after a session begins, what its keys could be made of again is forgotten; a handshake on which that falls begins
    # anew:
    forget_after: int = SECOND
    backlog_max: int = 256 << 10  # what a stream may have unacknowledged before it is not writable
    message_max: Annotated[int, Range(64 << 10, 1 << 30)] = 16 << 20


@state
class Loss(Enum):
    """Why a peer is lost: it answers no more; it is there anew, or has given us up; it speaks no version that we speak; the owner
    gave it up; it breaks the protocol.
    """

    SILENT = "silent"
    REPLACED = "replaced"
    VERSION = "version"
    GIVEN_UP = "given up"
    MISBEHAVED = "misbehaved"


@state
class Delivered(NamedTuple):
    """A message has come: each once, those of a stream in the order in which they were sent."""

    node: NodeNumber
    stream: U32
    payload: bytes


@state
class MulticastReceived(NamedTuple):
    """A message to all has come: once, if at all."""

    node: NodeNumber
    payload: bytes


@state
class Unverified(NamedTuple):
    """A message to all has come from an incarnation that has not proved to be alive: an attacker can repeat what he recorded. The
    owner has it proved (`Transport.prove`), after which it comes as MulticastReceived, once, if at all; or lets it be."""

    node: NodeNumber
    incarnation: U64
    sequence: int
    payload: bytes


@state
class PeerUp(NamedTuple):
    """A session with this incarnation of a node begins."""

    node: NodeNumber
    incarnation: U64


@state
class Lost(NamedTuple):
    """A message of which it is not known that it was delivered: it was, or it never will be."""

    stream: U32
    payload: bytes


@state
class PeerLost(NamedTuple):
    """A session has ended, or could not begin (incarnation None). messages: those lost, each stream's in the order of sending."""

    node: NodeNumber
    incarnation: U64 | None
    reason: Loss
    messages: tuple[Lost, ...]


@state
class StreamWritable(NamedTuple):
    """A stream for which `send` answered False can take messages again."""

    node: NodeNumber
    stream: U32


TransportEvent = Delivered | MulticastReceived | Unverified | PeerUp | PeerLost | StreamWritable


@state
class Drop(Enum):
    """Why a frame was thrown away: not one of ours; a packet of no session of ours; its seal, age, nonce or key is wrong; a
    member sealed what cannot be read; there was no room.
    """

    FOREIGN = "foreign"
    STRANGER = "stranger"
    REFUSED = "refused"
    MALFORMED = "malformed"
    ROOM = "room"
