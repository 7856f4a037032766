"""The failure detector alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from masix.groups import Change, Detector, Member
from masix.groups.detector import PEERS_MAX, PERIOD, TIMEOUT

A, B = Member(1, 1), Member(1, 2)


def test_a_silent_peer_is_suspected_for_good() -> None:
    detector = Detector()
    assert detector.heard(A, 0) == (Change(A, False),)
    assert detector.tick(TIMEOUT) == ()
    assert detector.tick(TIMEOUT + 1) == (Change(A, True),)
    assert detector.tick(100 * TIMEOUT) == () and detector.suspects(A) and not detector.dead(A)


def test_a_peer_that_was_never_heard_is_suspected_too() -> None:
    detector = Detector()
    detector.watch(A, 5)
    assert detector.tick(TIMEOUT + 6) == (Change(A, True),)


def test_each_false_suspicion_makes_the_time_out_longer() -> None:
    detector, now = Detector(), 0
    detector.heard(A, now)
    for false in range(5):
        timeout = TIMEOUT + false * PERIOD
        assert detector.tick(now + timeout) == ()
        assert detector.tick(now + timeout + 1) == (Change(A, True),)
        now += timeout + 2
        assert detector.heard(A, now) == (Change(A, False),)


@given(st.integers(1, 50), st.lists(st.integers(0, 49), max_size=400))
def test_once_delays_have_a_bound_false_suspicions_end(bound: int, delays: list[int]) -> None:
    """Whatever the bound, there are at most as many false suspicions as it has periods."""
    detector, now, false = Detector(), 0, 0
    for delay in delays:
        now += PERIOD * (1 + min(delay, bound))
        false += len(detector.tick(now))
        detector.heard(A, now)
    assert false <= bound


def test_a_new_incarnation_proves_that_the_old_one_is_dead() -> None:
    detector = Detector()
    detector.heard(A, 0)
    assert detector.heard(B, 1) == (Change(A, True), Change(B, False))
    assert detector.dead(A) and detector.suspects(A) and detector.knows(B) and not detector.suspects(B)
    assert detector.heard(A, 2) == () and detector.knows(B)


def test_a_lost_channel_is_a_reason_for_suspicion_until_the_next_sign_of_life() -> None:
    detector = Detector()
    assert detector.lost(1) == ()
    detector.heard(A, 0)
    assert detector.lost(1) == (Change(A, True),) and detector.lost(1) == ()
    assert detector.heard(A, 1) == (Change(A, False),)


def test_it_keeps_a_bounded_number_of_peers() -> None:
    detector = Detector()
    for node in range(PEERS_MAX + 10):
        detector.heard(Member(node, 1), 0)
    assert len(detector.peers) == PEERS_MAX and not detector.suspects(Member(PEERS_MAX + 5, 1))
