"""The replicated directory: which node has a service of which name, the same at all network servers that replicate it.

They are one group (masix.groups), and this is a replica of its dictionary: the name server tells it of this node's services, it
tells the group, and knows the others' without asking anybody. Who is in no group joins the one that it hears of, or founds one
after a while, the sooner the lower its node's number is. Of two groups that meet the one with the lower number goes on, and the
other's members join it. A member that is cut off from its group for too long gives it up. Whoever leaves a group so begins
another incarnation, as a node does that starts: it says its names anew, and those of its last incarnation are nobody's.
"""

from __future__ import annotations

import struct
from typing import Final

from machemu.sim.state import U16, U31, state
from machemu.user.kit import Part
from masix.gns import rights
from masix.gns.context import NAME, Context
from masix.gns.ports import EVERYBODY
from masix.gns.translate import Translator
from masix.gns.wire import GROUPS, Alive, Gathering, Unused
from masix.groups import Change, Dictionary, Endpoint, Group, Member, Order, Standing, View
from masix.net.ip import NODE_MAX, NODE_MIN
from masix.transport.events import Settings

QUIET_NS: Final = 30_000_000
"""How long a node that starts says nothing, times its number: each begins a handshake with all others."""
FOUND_NS: Final = 1_200_000_000
"""How long the lowest node that is alive waits for news of a group before it founds one; each further one so much longer."""
GIVE_UP_NS: Final = 5_000_000_000
"""How long a member can be cut off from its group."""
GATHER_NS: Final = 500_000_000
"""How often the first member multicasts that there is the group."""
PUBLISHED_MAX: Final = 1024
"""Names of one node that are replicated; others are found by a multicast."""
NAME_MAX: Final = 79
SIZE_MAX: Final = Settings().message_max - len(GROUPS)
KEY: Final = struct.Struct(">HQ")
VALUE: Final = struct.Struct(">I")


def _is_other(context: Context, node: int) -> bool:
    """Whether there can be another node of this number: a broken packet may name any."""
    return NODE_MIN <= node <= NODE_MAX and node != context.node


class Carrier:
    """masix.groups.Network over the server's link, while one of its handlers runs."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def now(self) -> int:
        return self._context.mach.now()

    def send(self, node: int, data: bytes) -> None:
        """What a broken packet made a member send to no node, or too much, is lost."""
        if _is_other(self._context, node) and len(data) <= SIZE_MAX:
            self._context.say_group(node, data)

    def multicast(self, data: bytes) -> None:
        self._context.say_group(None, data)


@state
class Replica(Dictionary):
    """A key is a member's node u16 and incarnation u64, and a name; the value the number of the member's export, u32. Big-endian.

    With each view the entries of those that are not in it go. joined: the state came from others.
    """

    __slots__ = ("joined",)
    joined: bool

    def __init__(self) -> None:
        super().__init__()
        self.joined = False

    def accepts(self, key: bytes, value: bytes) -> bool:
        return KEY.size < len(key) <= KEY.size + NAME_MAX and len(value) == VALUE.size

    def installed(self, view: View) -> None:
        super().installed(view)
        living = {KEY.pack(*member) for member in view.members}
        self.drop([key for key in self.entries if key[: KEY.size] not in living])

    def restore(self, snapshot: bytes) -> None:
        super().restore(snapshot)
        self.joined = True


@state
class Returns:
    """masix.groups.Watcher. away: nodes that are suspected. back: those that were, so that either may have taken the other for
    dead, and are there again.
    """

    __slots__ = ("away", "back")
    away: dict[U16, None]
    back: dict[U16, None]

    def __init__(self) -> None:
        self.away = {}
        self.back = {}

    def changed(self, change: Change) -> None:
        node = change.member.node
        if change.suspected:
            self.away[node] = None
        elif node in self.away:
            del self.away[node]
            self.back[node] = None


@state
class Directory(Part):
    """The replicated directory of services: a group of the network servers."""

    __slots__ = ("dirty", "endpoint", "gather_at", "group", "own", "quiet", "replica", "returns", "said", "since")

    # This incarnation's:
    endpoint: Endpoint
    replica: Replica
    group: Group | None  # None while it is in none
    since: int  # when it was last at one with its group, or began to wait for one
    returns: Returns  # of other nodes

    # When:
    quiet: int  # until when it says nothing
    gather_at: int  # when the others are told of the group next

    # This node's services:
    own: dict[bytes, U31]  # their numbers by name
    said: dict[bytes, U31]  # those that the group was told, in this incarnation
    dirty: dict[bytes, None]  # the names of which it is still to be told

    def __init__(self, node: int) -> None:
        self.returns = Returns()
        self.endpoint = Endpoint(Member(node, 0), self.returns)
        self.replica = Replica()
        self.group = None
        self.since = 0
        self.quiet = 0
        self.gather_at = 0
        self.own = {}
        self.said = {}
        self.dirty = {}

    def start(self, context: Context) -> None:
        mach = context.mach
        self._begin(context)
        self.since = self.quiet = mach.now() + QUIET_NS * context.node

    def place(self, name: bytes) -> tuple[int, int] | None:
        """Node and number of a service of another node: of several the lowest node's.

        None without one; and while this node is cut off from the group, since nobody would tell that the service is gone.
        """
        if self.group is None or self.group.blocked:
            return None
        for member in sorted(self.group.view.members):
            number = self.replica.get(KEY.pack(*member) + name)
            if number is not None and member != self.endpoint.me and not self.endpoint.detector.suspects(member):
                return member.node, int(VALUE.unpack(number)[0])
        return None

    # This node's services

    def entered(self, context: Context, name: bytes, right: int) -> None:
        """A name is there, for which the name server has given a right."""
        self._forget(context, name)
        if name != NAME and len(self.own) < PUBLISHED_MAX:
            self.own[name] = Translator(context).export(right, EVERYBODY)
            self._compare(name)
        else:
            context.mach.deallocate(right)
        self._go_on(context)

    def left(self, context: Context, name: bytes) -> None:
        self._forget(context, name)
        self._go_on(context)

    def _forget(self, context: Context, name: bytes) -> None:
        if name in self.own:
            rights.unused(context, EVERYBODY, Unused(self.own.pop(name), 1))
        self._compare(name)

    def _compare(self, name: bytes) -> None:
        """Whether the group is to be told of a name."""
        self.dirty.pop(name, None)
        if self.own.get(name) != self.said.get(name):
            self.dirty[name] = None

    def _publish(self) -> None:
        """Tells the group what it has not been told, as far as it takes it."""
        if self.group is None or self.group.standing is not Standing.MEMBER:
            return
        if self.replica.joined:
            self.replica.joined = False
            # What it said before may be in the others' state or not, or still be on its way to them.
            self.said = {name: number for name, number in self.said.items() if name not in self.own}
            self.dirty = dict.fromkeys([*self.said, *self.own])
        while self.dirty:
            name = next(iter(self.dirty))
            key, number = KEY.pack(*self.endpoint.me) + name, self.own.get(name)
            if (self.replica.delete(key) if number is None else self.replica.put(key, VALUE.pack(number))) is None:
                return
            del self.dirty[name]
            self.said.pop(name, None)
            if number is not None:
                self.said[name] = number

    # The group

    def receive(self, context: Context, node: int, data: bytes) -> None:
        """What a group's member says."""
        self._attach(context)
        self.endpoint.receive(node, data)
        self._go_on(context)

    def lost(self, context: Context, node: int) -> None:
        """The channel to a node broke."""
        self._attach(context)
        self.endpoint.lost(node)
        self._go_on(context)

    def gathered(self, context: Context, number: int) -> None:
        """There is a group of this number: it is joined by who is in none, or in one with a higher number."""
        if context.mach.now() >= self.quiet and (self.group is None or number < self.group.number):
            if self.group is not None:
                self._begin(context)
            self._open(context, number)
        self._go_on(context)

    def expired(self, context: Context) -> None:
        if context.mach.now() >= self.quiet:
            self._attach(context)
            self.endpoint.tick()
        self._go_on(context)

    def next_timer(self) -> int:
        """When `expired` is wanted."""
        return max(self.quiet, self.endpoint.deadline())

    def _attach(self, context: Context) -> None:
        self.endpoint.attach(Carrier(context))

    def _begin(self, context: Context) -> None:
        """Begins another incarnation, in no group; that the last one is over, the others see by its first heartbeat."""
        detector, me = self.endpoint.detector, self.endpoint.me
        self.since = context.mach.now()
        self.endpoint = Endpoint(Member(me.node, max(self.since, me.incarnation + 1)), self.returns)
        self.endpoint.detector = detector
        self.replica = Replica()
        self.group = None
        self.said = {}
        self.dirty = dict.fromkeys(self.own)

    def _open(self, context: Context, number: int, *founders: Member) -> None:
        context.mach.note(f"gns: {'founds' if founders else 'joins'} the group {number:#x} for names")
        self._attach(context)
        self.group = self.endpoint.open(number, Order.TOTAL, self.replica, founders)
        self.replica.join(self.group)
        self.since = context.mach.now()

    def _go_on(self, context: Context) -> None:
        """Founds a group, tells of it, or gives it up, when it is time to; and says what is to be said."""
        self._attach(context)
        now, me, group = context.mach.now(), self.endpoint.me, self.group
        if group is None:
            lower = sum(node < me.node and not peer.suspected for node, peer in self.endpoint.detector.peers.items())
            if now >= self.since + FOUND_NS * (1 + lower):
                self._open(context, me.node << 16 | (me.incarnation >> 28 & 0xFFFF), me)
        elif not group.blocked:
            self.since = now
            if group.view.members[0] == me and now >= self.gather_at:
                self.gather_at = now + GATHER_NS
                context.multicast(Gathering(group.number))
        elif now >= self.since + GIVE_UP_NS:
            context.mach.note(f"gns: gives up the group {group.number:#x} for names")
            self._begin(context)
        self._shake_hands_back(context)
        self._publish()

    def _shake_hands_back(self, context: Context) -> None:
        """Says something to nodes that are there again: whether a session with them still holds is to be seen now, and not when
        somebody has the first right to a service there."""
        for node in self.returns.back:
            if _is_other(context, node):
                context.say(node, Alive())
        self.returns.back.clear()
