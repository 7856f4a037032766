"""What network servers say to each other, above their transport; codec.py has how it lies in bytes.

A right is (kind, node, number): `number` is what the network server of node `node` calls the port. In a task's message the words
where rights and memory stand mean nothing; what they stand for follows behind, with the offsets of those words.

Who gives a right to a port of a third node keeps one of its own until that node knows of it (`pledge`, `Claim`, `Passed`). When
a receive right has moved, its old home tells those that know the port (`Moved`); their next messages go straight to the new
home, after those before: a word sent behind these (`Flush`) comes back from there (`Flushed`).

A receive right moves in three steps. Its new home makes a port for it, says so (`Homed`), and keeps the message that brings it.
The old home then gives up the port's notification requests (`GivenUp`), and where messages wait in its queue these and a `Flush`
behind them. When that has come the port is the new home's, and the message goes to its task. Until `Homed` it is the old home's.
Many receive rights are said of in one message.

The memory of a large message goes before it, in parts (`Lay`); the receiver says how much of it is in place (`Stored`), or that
it cannot hold it (`Refused`), after which the sender forgets it (`Dropped`). The message itself comes when all of it is in place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from machemu.abi.types import ByteOrder
from machemu.sim.state import U8, U16, U31, U32, state
from machemu.user.message import Elsewhere, Message
from masix.net.ip import NodeNumber

GROUPS: Final = b"\xff"
"""Begins what is none of these messages, but a packet of masix.groups."""
state(ByteOrder)
ORDERS: Final = (ByteOrder.BIG, ByteOrder.LITTLE)


@state
class RightKind(IntEnum):
    """What a right is. RECEIVE: its port is to be made by whoever gets it, which then tells the number (`Homed`)."""

    NULL = 0
    DEAD = 1
    SEND = 2
    SEND_ONCE = 3
    RECEIVE = 4


@state
class NetRight(NamedTuple):
    """A right under way between nodes. pledge: what the giver of a third node's port is to be told when that node knows; or 0.

    Of a receive right: limit is how many messages its queue takes, hops how often servers have sent it on since a task did;
    number is what the giver calls the port, if others know it.
    """

    kind: RightKind
    node: U16  # 0 where it is none or dead
    number: U31
    pledge: U31 = 0
    limit: U31 = 0
    hops: U16 = 0


NULL: Final = NetRight(RightKind.NULL, 0, 0)
DEAD: Final = NetRight(RightKind.DEAD, 0, 0)


@state
class Laid(NamedTuple):
    """What CarriedMemory has as `copy` where the memory went before: the parts' token and place."""

    token: U32
    place: U32


Elsewhere.register(Laid)


@state
class Deliver(NamedTuple):
    """A task's message for the port `to`, whose kind is the right by which it was sent: a send-once right may be to a port whose
    receive right has moved, and which has the number of its send rights. `answer` is its reply right, of a dead one `number` the
    type name of what it was; the rights that `message` carries are NetRights."""

    to: NetRight
    answer: NetRight
    order: ByteOrder
    message: Message


@state
class Resolve(NamedTuple):
    """Who has a service of this name? tag: what the answer is to say. host: the name of the only node that is asked, or empty."""

    tag: U32
    name: bytes
    host: bytes = b""


@state
class Found(NamedTuple):
    tag: U32
    right: NetRight


@state
class Known(NamedTuple):
    """For all: the sender's port `number` is the service of this name; whoever wants it may claim it."""

    number: U31
    name: bytes


@state
class Introduced(NamedTuple):
    """For all, and again and again: the sender has these services; proxy ports can be made for them."""

    services: tuple[Known, ...]


@state
class Left(NamedTuple):
    """The sender has the service no more that it said it had under this name."""

    name: bytes


@state
class Begun(NamedTuple):
    """For all: the sender began, not for the first time, so many milliseconds ago; it has nothing more that was said before."""

    age: U32


@state
class Clash(NamedTuple):
    """Node `other` has a service of this name, too."""

    name: bytes
    other: NodeNumber


@state
class Claim(NamedTuple):
    """The sender has a right more to the receiver's port: from node `via`, whose `pledge` is redeemed; or as it was made
    known.
    """

    number: U31
    via: U16 = 0
    pledge: U31 = 0


@state
class Passed(NamedTuple):
    """The sender's port is known to be used by whom the receiver gave a right to."""

    pledge: U31


@state
class Unclaimed(NamedTuple):
    """The sender has lost node `home`: it has no right there any more that the receiver pledged, up to this pledge."""

    home: NodeNumber
    pledge: U31


@state
class Moved(NamedTuple):
    """The sender's port `number` has moved: `right` is one to it where it is now."""

    number: U31
    right: NetRight


@state
class Pause(NamedTuple):
    """The sender's ports of these numbers are about to move: what is for them waits where it is, until their places are told
    (`Moved`), or they stay (not `waits`). token: the sender's, for the answer; 0 for none."""

    token: U31
    waits: bool
    numbers: tuple[U31, ...]


@state
class Paused(NamedTuple):
    """The answer: all that was sent to these ports before has gone."""

    token: U31


@state
class Flush(NamedTuple):
    """Node `origin` asks when all that it sent to port `port` of node `home` so far is where the port is now, which the receiver
    calls `number`, or knows better."""

    number: U31
    origin: NodeNumber
    home: NodeNumber
    port: U32


@state
class Flushed(NamedTuple):
    """The answer."""

    home: NodeNumber
    port: U32


@state
class Unused(NamedTuple):
    """Nobody on the sender's node uses the port any more, after it was given there so many times."""

    number: U31
    times: U31


@state
class Died(NamedTuple):
    """The sender's port is dead."""

    number: U31


@state
class OnceUnused(NamedTuple):
    """A send-once right of the receiver's was destroyed unused; or, of a port that moved there, the message that used one."""

    number: U31


@state
class Home(NamedTuple):
    """The receive right that the receiver gave away under `token` is that of the sender's port `number`."""

    token: U32
    number: U31


@state
class Homed(NamedTuple):
    homes: tuple[Home, ...]


@state
class Request(NamedTuple):
    """The send-once right by which a port is asked to notify: its number, 0 for none; of which node, 0 for the sender; and what
    is pledged, as in NetRight."""

    number: U31
    node: U16 = 0
    pledge: U31 = 0


@state
class Onces(NamedTuple):
    """So many send-once rights to a port are at a node, 0 for the sender, and are used by messages to the port."""

    node: U16
    rights: U31


@state
class Given(NamedTuple):
    """A receive right that the sender gave away, and that is now the receiver's port `number`.

    is_whole: nothing waits in its queue. is_unused: the sender has no right to the port any more.
    """

    number: U31
    is_whole: bool
    is_unused: bool
    no_senders: Request
    port_destroyed: Request
    onces: tuple[Onces, ...] = ()


@state
class GivenUp(NamedTuple):
    rights: tuple[Given, ...]


@state
class Taken(NamedTuple):
    """So many messages more of the receiver's have gone into the queue of the sender's port."""

    number: U31
    times: U31


@state
class Lay(NamedTuple):
    """A part of a message's memory, behind those before it. token: the sender's number for the message. total: bytes of all its
    memory. place, address, size: which memory of the message this is of, where the sender has it, and its bytes. unit: the bytes
    that change places where the byte order, ORDERS[order], is not the receiver's."""

    token: U31
    total: U32
    place: U32
    address: U32
    size: U32
    unit: U8
    order: U8
    data: bytes


@state
class Stored(NamedTuple):
    """So many bytes more of a message's memory are in place at the sender."""

    token: U31
    size: U32


@state
class Refused(NamedTuple):
    """The sender cannot hold the memory of a message."""

    token: U31


@state
class Dropped(NamedTuple):
    """The message of this token does not come."""

    token: U31


@state
class Alive(NamedTuple):
    """Nothing: that it is acknowledged tells that the receiver is up."""


@state
class Gathering(NamedTuple):
    """For all: the sender is of the group of this number, in which names are replicated; whoever is in none may join."""

    group: U32


Payload = (
    Deliver
    | Resolve
    | Found
    | Known
    | Introduced
    | Left
    | Begun
    | Clash
    | Claim
    | Passed
    | Unclaimed
    | Moved
    | Flush
    | Flushed
    | Unused
    | Died
    | OnceUnused
    | Homed
    | Taken
    | Lay
    | Stored
    | Refused
    | Dropped
    | Alive
    | Gathering
    | GivenUp
    | Pause
    | Paused
)
