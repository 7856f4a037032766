"""Each layer alone: reliable broadcast, the orders above it, and the agreement that ends a view."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from masix.groups import Order
from masix.groups.agreement import Agreement
from masix.groups.orders import Causal, Layer, Total, layer
from masix.groups.reliable import AHEAD, WINDOW, Reliable
from masix.groups.wire import Promise

SIZES = st.integers(1, 5)


def reliable(size: int) -> list[Reliable]:
    return [Reliable(size, me, (0,) * size) for me in range(size)]


def exchange(members: list[Reliable], alive: list[int]) -> dict[int, list[bytes]]:
    """Everything that anybody alive lacks and everything they have received is told, until nothing changes."""
    handed: dict[int, list[bytes]] = {me: [] for me in alive}
    for _ in range(3):
        for me in alive:
            for other in alive:
                for number, body in members[me].lacking(other) if other != me else []:
                    members[other].accept(me, number, body)
        for me in alive:
            for other in alive:
                members[other].told(me, tuple(members[me].received))
        for me in alive:
            handed[me] += [body for _, _, body in members[me].stable()]
    return handed


@given(SIZES, st.data())
def test_reliable_broadcast_alone(size: int, data: st.DataObject) -> None:
    """Packets are lost, repeated and out of order; what any member hands up, a quorum has, once, in its sender's order.

    In the end all hand up all.
    """
    members = reliable(size)
    handed: dict[int, list[bytes]] = {me: [] for me in range(size)}
    packets: list[tuple[int, int, bytes]] = []
    rows: list[tuple[int, tuple[int, ...]]] = []
    sent: list[bytes] = []
    for _ in range(data.draw(st.integers(0, 40))):
        me = data.draw(st.integers(0, size - 1))
        what = data.draw(st.sampled_from(["send", "data", "tell", "row"]))
        if what == "send" and members[me].room(4):
            body = bytes((me, sum(one[0] == me for one in sent) + 1))
            packets.append((me, members[me].send(body), body))
            sent.append(body)
        elif what == "data" and packets:
            sender, number, body = data.draw(st.sampled_from(packets))
            if sender != me:
                members[me].accept(sender, number, body)
        elif what == "tell":
            rows.append((me, tuple(members[me].received)))
        elif what == "row" and rows:
            teller, row = data.draw(st.sampled_from(rows))
            if teller != me:
                members[me].told(teller, row)
        for sender, number, body in members[me].stable():
            assert 2 * sum(member.received[sender] >= number for member in members) > size
            handed[me].append(body)
    rest = exchange(members, list(range(size)))
    for me in range(size):
        whole = handed[me] + rest[me]
        assert sorted(whole) == sorted(sent)
        for sender in range(size):
            mine = [body for body in whole if body[0] == sender]
            assert mine == sorted(mine)
    assert all(member.settled() and not member.waiting for member in members)


def test_a_message_that_a_crashed_member_handed_up_is_known_to_every_quorum() -> None:
    members = reliable(3)
    number = members[0].send(b"x")
    members[1].accept(0, number, b"x")
    assert members[0].stable() == []
    members[0].told(1, (1, 0, 0))
    assert members[0].stable() == [(0, 1, b"x")]
    for quorum in ((0, 1), (0, 2), (1, 2)):
        assert any((0, 1, b"x") in members[index].unstable() for index in quorum)


def test_half_of_a_view_is_enough_only_when_the_other_half_is_dead() -> None:
    member = Reliable(4, 0, (0, 0, 0, 0))
    member.send(b"x")
    member.told(1, (1, 0, 0, 0))
    assert member.stable() == []
    member.half = (0, 2)
    assert member.stable() == []
    member.half = (0, 1)
    assert member.stable() == [(0, 1, b"x")]


def test_a_window_bounds_what_is_kept_for_a_silent_member() -> None:
    sender, receiver = Reliable(3, 0, (0, 0, 0)), Reliable(3, 1, (0, 0, 0))
    while sender.room(100):
        number = sender.send(bytes(100))
        receiver.accept(0, number, bytes(100))
    assert sender.received[0] < WINDOW
    assert Reliable(3, 0, (0, 0, 0)).room(1 << 20)
    for number in range(1, 10 * AHEAD):
        receiver.accept(2, number, b"")
    receiver.accept(2, 1 << 60, b"")
    assert len(receiver.bodies[2]) == AHEAD


class Merge:
    """Several members of one layer, each fed its senders' stable messages in an interleaving of its own."""

    def __init__(self, order: Order, size: int) -> None:
        self.layers: list[Layer] = [layer(order, size, me) for me in range(size)]
        self.sent: list[list[bytes]] = [[] for _ in range(size)]
        self.taken = [[0] * size for _ in range(size)]
        self.delivered: list[list[tuple[int, bytes]]] = [[] for _ in range(size)]
        self.past: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
        self.count = 0

    def send(self, me: int) -> None:
        self.count += 1
        payload = self.count.to_bytes(2, "big")
        self.past[me, payload] = list(self.delivered[me]) + [(me, one) for sender, one in self.past if sender == me]
        self.put(me, self.layers[me].stamp(payload))

    def put(self, me: int, body: bytes) -> None:
        self.sent[me].append(body)
        self.layers[me].arrived(me, body)

    def take(self, me: int, sender: int) -> None:
        """`me` gets the next message of `sender`'s, if there is one."""
        if self.taken[me][sender] < len(self.sent[sender]):
            body = self.sent[sender][self.taken[me][sender]]
            self.taken[me][sender] += 1
            if sender != me:
                self.layers[me].arrived(sender, body)
            self.delivered[me] += self.layers[me].take(sender, body)
        own = self.layers[me].own()
        if own is not None:
            self.put(me, own)

    def finish(self) -> None:
        """All get all, and the view ends."""
        for me, mine in enumerate(self.layers):
            for sender in range(len(self.layers)):
                while self.taken[me][sender] < len(self.sent[sender]):
                    body = self.sent[sender][self.taken[me][sender]]
                    self.taken[me][sender] += 1
                    self.delivered[me] += mine.take(sender, body)
            self.delivered[me] += mine.finish()


def merged(order: Order, size: int, data: st.DataObject) -> Merge:
    merge = Merge(order, size)
    members = st.integers(0, size - 1)
    for me, sender in data.draw(st.lists(st.tuples(members, st.one_of(st.none(), members)), max_size=60)):
        if sender is None:
            merge.send(me)
        else:
            merge.take(me, sender)
    merge.finish()
    assert all(sorted(one) == sorted(merge.past) for one in merge.delivered)
    return merge


@given(SIZES, st.data())
def test_causal_order_alone(size: int, data: st.DataObject) -> None:
    for one in (merge := merged(Order.CAUSAL, size, data)).delivered:
        place = {message: index for index, message in enumerate(one)}
        assert all(place[before] < place[message] for message in one for before in merge.past[message])


@given(SIZES, st.data())
def test_total_order_alone(size: int, data: st.DataObject) -> None:
    """The view ends somewhere in the middle of what the sequencer has ordered, and all still deliver in one order."""
    merge = merged(Order.TOTAL, size, data)
    assert all(one == merge.delivered[0] for one in merge.delivered)


def test_a_layer_takes_what_no_layer_sent() -> None:
    for order in Order:
        one = layer(order, 3, 1)
        for body in (b"", b"\x00", b"\x01", b"\x01\xff\xff", b"\x01\x00", b"\x07abc"):
            one.arrived(2, body)
            one.take(0, body)
            one.take(2, body)
        one.finish()
    assert isinstance(layer(Order.CAUSAL, 1, 0), Causal) and isinstance(layer(Order.TOTAL, 1, 0), Total)


def test_a_promise_binds() -> None:
    """Nothing below it is promised or accepted, and what was accepted is what a later ballot must propose."""
    member = Agreement(3, 0)
    assert member.prepare(5) and member.accept(5, b"five")
    assert not member.prepare(4) and not member.accept(4, b"four")
    assert (member.promised, member.accepted_ballot, member.accepted) == (5, 5, b"five")
    assert member.prepare(5) and member.prepare(8)
    assert not member.accept(5, b"again") and member.accepted == b"five"
    assert member.start() == 10
    member.promises = {1: Promise(10, 0, b"", 0, (), ()), 2: Promise(10, 3, b"three", 0, (), ())}
    assert member.bound() == b"three"
    member.promises[0] = Promise(10, 5, b"five", 0, (), ())
    assert member.bound() == b"five"
    assert member.prepare(12) and member.ballot == 0


@settings(max_examples=200)
@given(st.integers(1, 5), st.data())
def test_an_agreement_decides_one_value_whoever_coordinates(size: int, data: st.DataObject) -> None:
    """Messages are lost, late and repeated, and all members coordinate when they like."""
    members = [Agreement(size, me) for me in range(size)]
    wire: deque[tuple[str, int, int, int, object]] = deque()
    decided: set[bytes] = set()
    for _ in range(data.draw(st.integers(0, 80))):
        action = data.draw(st.integers(0, 9))
        if action == 0 or not wire:
            me = data.draw(st.integers(0, size - 1))
            ballot = members[me].start()
            assert (ballot - 1) % size == me
            wire.extend(("prepare", me, to, ballot, None) for to in range(size))
            continue
        wire.rotate(data.draw(st.integers(0, len(wire) - 1)))
        what, sender, me, ballot, content = wire[0] if action == 1 else wire.popleft()
        member = members[me]
        if what == "prepare" and member.prepare(ballot):
            promise = Promise(ballot, member.accepted_ballot, member.accepted, 0, (), ())
            wire.append(("promise", me, sender, ballot, promise))
        elif what == "promise" and ballot == member.ballot and member.proposal is None:
            assert isinstance(content, Promise)
            member.promises[sender] = content
            if 2 * len(member.promises) > size and member.prepare(ballot):
                bound = member.bound()
                value = bound if bound is not None else bytes((me, ballot % 256))
                member.propose(value)
                wire.extend(("accept", me, to, ballot, value) for to in range(size) if to != me)
        elif what == "accept":
            assert isinstance(content, bytes)
            if member.accept(ballot, content):
                wire.append(("accepted", me, sender, ballot, content))
        elif what == "accepted" and ballot == member.ballot and member.proposal is not None:
            member.accepts[sender] = None
        if member.proposal is not None and 2 * len(member.accepts) > size:
            decided.add(member.proposal)
            assert len(decided) == 1
