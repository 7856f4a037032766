"""Address resolution as a library: what is asked, believed and forgotten, and that whatever is heard does no harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from masix.net.ip import ip_of, mac_of
from masix.protocols.arp import ASKED_MAX, ASKED_OF_ONE, KEPT_NS, KIND, KNOWN_MAX, PACKET, REPLY, REQUEST, SECOND, Arp

ME, PEER = 1, 2


def made() -> Arp:
    return Arp(ip_of(ME), mac_of(ME))


def packet(operation: int, sender: int, target: int = ME) -> bytes:
    return bytes(14) + PACKET.pack(*KIND, operation, mac_of(sender), ip_of(sender), mac_of(target), ip_of(target))


def test_who_asks_is_known_from_then_on_for_a_time() -> None:
    arp = made()
    arp.frame_arrived(packet(REQUEST, PEER), 0)
    assert arp.look_up(ip_of(PEER), KEPT_NS - 1) == mac_of(PEER)
    assert len(arp.outbox) == 1
    assert arp.look_up(ip_of(PEER), KEPT_NS) is None
    assert len(arp.outbox) == 2
    arp.frame_arrived(packet(REPLY, PEER), KEPT_NS)
    assert list(arp.answers) == [(ip_of(PEER), mac_of(PEER))]
    assert arp.look_up(ip_of(PEER), 2 * KEPT_NS - 1) == mac_of(PEER)


def test_a_question_is_asked_once_a_second_and_three_times() -> None:
    arp = made()
    for now in range(0, 6 * SECOND, SECOND // 10):
        if now < 3 * SECOND:
            assert arp.look_up(ip_of(PEER), now) is None
        arp.tick(now)
        assert len(arp.outbox) == min(3, 1 + now // SECOND)
        assert len(arp.answers) == (now >= 3 * SECOND)
    assert list(arp.answers) == [(ip_of(PEER), None)]
    assert arp.next_timer() is None


def test_a_station_that_changes_is_believed_when_it_says_so() -> None:
    arp = made()
    arp.frame_arrived(packet(REQUEST, PEER), 0)
    arp.frame_arrived(bytes(14) + PACKET.pack(*KIND, REQUEST, mac_of(7), ip_of(PEER), bytes(6), ip_of(9)), 1)
    assert arp.look_up(ip_of(PEER), 2) == mac_of(7)


def test_what_is_kept_has_a_bound() -> None:
    arp = made()
    for node in range(2, KNOWN_MAX + 10):
        arp.frame_arrived(packet(REQUEST, node), node)
    assert len(arp.known) == KNOWN_MAX
    assert arp.look_up(ip_of(KNOWN_MAX + 9), KNOWN_MAX) is not None
    for node in range(1000, 1000 + ASKED_MAX + 5):
        arp.look_up(ip_of(node), 0, node // ASKED_OF_ONE)
    assert len(arp.asked) == ASKED_MAX
    assert [station for _, station in arp.answers] == [None] * 5


def test_one_client_has_a_part_of_what_is_asked_for() -> None:
    arp = made()
    for node in range(1000, 1000 + ASKED_OF_ONE + 3):
        arp.look_up(ip_of(node), 0, 1)
    assert [ip for ip, _ in arp.answers] == [ip_of(1000 + ASKED_OF_ONE + n) for n in range(3)]
    arp.look_up(ip_of(2000), 0, 2)
    assert ip_of(2000) in arp.asked


@given(st.lists(st.binary(max_size=60), max_size=20), st.lists(st.integers(0, 300), max_size=10))
def test_whatever_is_heard_nothing_is_believed_that_was_not_asked_for_or_said_to_us(heard: list[bytes], nodes: list[int]) -> None:
    arp = made()
    for now, frame in enumerate(heard):
        arp.frame_arrived(frame, now)
    for node in nodes:
        arp.look_up(b"\x0a\0" + node.to_bytes(2, "big"), len(heard))
    assert ip_of(ME) not in arp.known and mac_of(ME) not in [known.station for known in arp.known.values()]
    assert all(not known.station[0] & 1 for known in arp.known.values())
    assert len(arp.outbox) <= len(heard) + len(nodes)
