"""Bytes that are no packets, or packets that no honest member would send, are refused and change nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.sim.graph import Reader
from masix.groups import Member, Order
from masix.groups import wire as wire_module
from masix.groups.wire import HEAD, GroupPacketKind, PacketError, Promise, State, Status, Value, packet
from tests.support.groups import GROUP, MS, GroupWorld

MEMBERS = (Member(0, 1), Member(1, 1), Member(2, 1))
VALUE = Value(2, MEMBERS[:2], (1, 0, 0), ((0, 1, b"abc"),))
BODIES = {
    GroupPacketKind.DATA: wire_module.number(1) + b"hello",
    GroupPacketKind.STATUS: wire_module.write_status(Status(True, False, (1, 2, 3), 4)),
    GroupPacketKind.GONE: wire_module.number(1),
    GroupPacketKind.PREPARE: wire_module.number(2),
    GroupPacketKind.PROMISE: wire_module.write_promise(
        Promise(2, 1, wire_module.write_value(VALUE), 5, (1, 0, 0), VALUE.messages)
    ),
    GroupPacketKind.REFUSE: wire_module.number(7),
    GroupPacketKind.ACCEPT: wire_module.number(2) + wire_module.write_value(VALUE),
    GroupPacketKind.ACCEPTED: wire_module.number(2),
    GroupPacketKind.DECIDE: wire_module.write_value(VALUE),
    GroupPacketKind.STATE: wire_module.write_state(State(1, MEMBERS, {MEMBERS[0]: 9}, b"state")),
}


def fresh() -> GroupWorld:
    world = GroupWorld(1, 3, Order.TOTAL)
    world.run(300 * MS)
    world.broadcast(0)
    world.run(10 * MS)
    return world


def test_every_format_is_read_as_it_was_written() -> None:
    assert wire_module.head(packet(GroupPacketKind.DATA, 5, 6, 7)) == (GroupPacketKind.DATA, 5, 6, 7)
    assert wire_module.read_status(BODIES[GroupPacketKind.STATUS]) == Status(True, False, (1, 2, 3), 4)
    assert wire_module.read_value(BODIES[GroupPacketKind.DECIDE]) == VALUE
    assert wire_module.write_promise(wire_module.read_promise(BODIES[GroupPacketKind.PROMISE])) == BODIES[GroupPacketKind.PROMISE]
    assert wire_module.read_state(BODIES[GroupPacketKind.STATE]) == State(1, MEMBERS, {MEMBERS[0]: 9}, b"state")


def test_a_packet_s_bytes() -> None:
    """As the formats' description has them."""
    assert packet(GroupPacketKind.STATUS, 7, 2, 3, wire_module.write_status(Status(False, True, (4,), 1))) == bytes.fromhex(
        "01 03 00000007 0000000000000002 0000000000000003 02 0001 0000000000000004 00000000000000000000000000000001"
    )


def spoilt(data: st.DataObject, body: bytes) -> bytes:
    """A body with some bytes changed, and perhaps cut."""
    found = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        if found:
            found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    return bytes(found[: data.draw(st.integers(0, len(found)))] if data.draw(st.booleans()) else found)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("status", GroupPacketKind.STATUS),
        ("value", GroupPacketKind.DECIDE),
        ("promise", GroupPacketKind.PROMISE),
        ("state", GroupPacketKind.STATE),
    ],
)
@given(data=st.data())
def test_a_body_that_is_not_refused_is_written_as_it_was_read(form: str, kind: GroupPacketKind, data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=100)) if data.draw(st.booleans()) else spoilt(data, BODIES[kind])
    try:
        found = getattr(wire_module, f"read_{form}")(body)
    except PacketError:
        return
    assert getattr(wire_module, f"write_{form}")(found) == body


@given(st.data())
def test_whatever_comes_a_node_goes_on(data: st.DataObject) -> None:
    """Honest packets cut, lengthened, with bits changed, of any kind, at any time; and bytes that are nothing."""
    world = fresh()
    life = world.lives[1]
    for _ in range(data.draw(st.integers(1, 10))):
        kind = data.draw(st.sampled_from(list(GroupPacketKind)))
        body = spoilt(data, BODIES.get(data.draw(st.sampled_from(list(GroupPacketKind))), b""))
        view = data.draw(st.sampled_from([0, 1, 2, 1 << 63]))
        raw = packet(kind, GROUP, data.draw(st.sampled_from([0, 1])), view, body)
        life.endpoint.receive(data.draw(st.sampled_from([0, 2, 9])), raw)
        life.endpoint.receive(0, data.draw(st.binary(max_size=HEAD.size + 4)))
        world.plan(life)
        world.run(20 * MS)
    world.run(1_000 * MS)
    assert Reader(life.encoded()).decode() is not None


@pytest.mark.parametrize("kind", sorted(set(GroupPacketKind) - {GroupPacketKind.HEARTBEAT, GroupPacketKind.JOIN}))
def test_a_packet_that_is_cut_or_too_long_changes_nothing(kind: GroupPacketKind) -> None:
    world = fresh()
    life = world.lives[1]
    body = BODIES[kind]
    before = life.group_digest()
    whole = {GroupPacketKind.DATA: 8, GroupPacketKind.STATE: len(body) - 5}.get(kind, len(body))
    for cut in range(whole):
        life.endpoint.receive(0, packet(kind, GROUP, 1, 2 if kind is GroupPacketKind.GONE else 1, body[:cut]))
    assert life.endpoint.refused == whole
    if kind not in (GroupPacketKind.DATA, GroupPacketKind.STATE):
        life.endpoint.receive(0, packet(kind, GROUP, 1, 2 if kind is GroupPacketKind.GONE else 1, body + b"\0"))
        assert life.endpoint.refused == whole + 1
    assert life.group_digest() == before


def test_what_is_from_no_member_or_a_past_life_is_no_member_s() -> None:
    world = fresh()
    life = world.lives[1]
    world.crash(0)
    world.restart(0)
    world.run(2_000 * MS)
    before = life.group_digest()
    for node, incarnation in ((0, 1), (9, 1), (1, 1), (2, 77)):
        view = life.group.view.number
        for kind in (
            GroupPacketKind.DATA,
            GroupPacketKind.STATUS,
            GroupPacketKind.PREPARE,
            GroupPacketKind.ACCEPT,
            GroupPacketKind.DECIDE,
            GroupPacketKind.PROMISE,
            GroupPacketKind.ACCEPTED,
            GroupPacketKind.REFUSE,
        ):
            if incarnation != 77:
                life.endpoint.receive(node, packet(kind, GROUP, incarnation, view, BODIES[kind]))
    assert life.group_digest() == before


def test_only_what_is_told_of_its_own_view_puts_a_member_out() -> None:
    """An answer to what it said in a view before may come late."""
    world = fresh()
    life = world.lives[1]
    for about, view in ((0, 9), (2, 9), (1, 1), (1, 0)):
        life.endpoint.receive(0, packet(GroupPacketKind.GONE, GROUP, 1, view, wire_module.number(about)))
        assert not life.group.blocked
    life.endpoint.receive(0, packet(GroupPacketKind.GONE, GROUP, 1, 2, wire_module.number(1)))
    assert life.group.blocked


def test_a_state_of_a_view_that_is_past_lets_nobody_in() -> None:
    """It may come late, when the member was put out of that view already."""
    world = fresh()
    life = world.lives[1]
    life.endpoint.receive(0, packet(GroupPacketKind.GONE, GROUP, 1, 2, wire_module.number(1)))
    for view, inside in ((0, False), (1, False), (2, True)):
        state = State(1, (MEMBERS[0], MEMBERS[1]), {MEMBERS[0]: 0}, b"")
        life.endpoint.receive(0, packet(GroupPacketKind.STATE, GROUP, 1, view, wire_module.write_state(state)))
        assert life.group.blocked is not inside


def test_a_decision_that_leaves_out_what_a_member_lacks_is_refused() -> None:
    world = fresh()
    life = world.lives[1]
    value = Value(3, MEMBERS, (1 << 40, 1, 0), ((0, 1 << 40, b""),))
    life.endpoint.receive(0, packet(GroupPacketKind.DECIDE, GROUP, 1, 1, wire_module.write_value(value)))
    assert life.endpoint.refused == 1 and life.group.view.number == 1
    life.endpoint.receive(2, packet(GroupPacketKind.PREPARE, GROUP, 1, 1, wire_module.number(1)))
    assert life.endpoint.refused == 2 and not life.group.frozen
