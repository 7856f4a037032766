"""The table in pages with probable owners: the thesis's rules, one by one, and what it leaves open."""

from __future__ import annotations

import pytest

from masix.gps.entry import Kind
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import Create, Exit, Look, Operation, Outcome, Result, Wait
from masix.gps.paged import PATIENCE_NS, PAUSE_NS, ROOM, ROUNDS, WAITING_MAX, Answer, Ask, First, PagedTable, unpacked
from masix.groups import Member

NODES = (1, 2, 3)
A, B, C = (Member(node, 1) for node in NODES)


def tables(first: First = First.SPREAD) -> list[PagedTable]:
    return [PagedTable(member, NODES, first) for member in (A, B, C)]


def create(process: UqPid, at: Member, parent: UqPid = NOBODY) -> Create:
    return Create(process, Kind.NOMAD, b"bare", parent, Kind.NOMAD, at, 0)


def at_page(table: PagedTable, page: int) -> UqPid:
    """A process whose entry is in a page."""
    return next(name for name in (UqPid(1 + page % 3, time, 0) for time in range(1000)) if table.page_of(name) == page)


def asked(table: PagedTable) -> Ask:
    (ask,) = table.out
    table.out.clear()
    assert isinstance(ask, Ask)
    return ask


def answer(table: PagedTable, ask: Ask, by: Member) -> Answer:
    table.asked(by, ask.page, ask.seen, ask.serial)
    (found,) = table.out
    table.out.clear()
    assert isinstance(found, Answer)
    return found


def hand(table: PagedTable, ask: Ask, found: Answer, now: int = 0) -> None:
    table.answered(ask.serial, ask.page, found.owner, found.version, found.data, now)


def test_pages_are_spread_over_the_nodes_or_all_at_the_first() -> None:
    a, b, c = tables()
    assert [page % 3 for page in b.owned] == [1] * len(b.owned)
    assert sorted([*a.owned, *b.owned, *c.owned]) == list(range(64))
    a, b, c = tables(First.ALL)
    assert (len(a.owned), len(b.owned), len(c.owned)) == (64, 0, 0)


def test_a_process_is_in_a_page_of_its_first_node_s() -> None:
    (a, b, c) = tables()
    for time in range(50):
        assert a.page_of(UqPid(2, time, 0)) in b.owned
        assert c.page_of(UqPid(3, time, 0)) in c.owned


def test_a_page_has_no_memory_until_it_is_worked_on() -> None:
    a, b, _ = tables()
    page = a.page_of(UqPid(1, 5, 0))
    assert a.owned[page].entries is None
    a.submit(create(UqPid(1, 5, 0), A), 0)
    assert a.owned[page].entries is not None
    b.submit(Look(at_page(b, 3)), 0)
    ask = asked(b)
    assert answer(a, ask, B) == Answer(ask.serial, None, 1, b"")


def test_who_gives_a_page_away_takes_the_receiver_for_its_owner() -> None:
    a, b, _ = tables()
    b.submit(Look(at_page(b, 3)), 0)
    ask = asked(b)
    assert ask == Ask(1, 3, 0, 1)
    hand(b, ask, answer(a, ask, B))
    assert 3 in b.owned and 3 not in a.owned and a.owners[3] == 2
    assert b.results == {1: Result(Outcome.NO_SUCH_PROCESS)}


def test_who_is_refused_asks_the_one_named_and_both_hints_change() -> None:
    a, b, c = tables()
    for table, member, source in ((b, B, a), (c, C, a)):
        table.submit(Look(at_page(table, 3)), 0)
        ask = asked(table)
        found = answer(source, ask, member)
        hand(table, ask, found)
    assert found == Answer(1, 2)
    assert a.owners[3] == 3, "whoever asks is the owner soon"
    ask = asked(c)
    assert ask.node == 2, "the requester asks again, where it was told"
    hand(c, ask, answer(b, ask, C))
    assert 3 in c.owned and b.owners[3] == 3


def test_who_waits_for_a_page_has_others_wait_behind_it_and_gives_it_on() -> None:
    a, b, c = tables()
    process = UqPid(1, 5, 0)
    a.submit(create(process, A), 0)
    b.submit(Look(process), 0)
    first = asked(b)
    given = answer(a, first, B)
    c.submit(Look(process), 0)
    ask = asked(c)
    assert answer(a, ask, C) == Answer(ask.serial, 2)
    hand(c, ask, Answer(ask.serial, 2))
    ask = asked(c)
    b.asked(C, ask.page, ask.seen, 9)
    assert b.out == []
    hand(b, first, given)
    (on,) = b.out
    assert isinstance(on, Answer) and on[:3] == (9, None, 2)
    hand(c, ask, on)
    assert c.results[1].outcome is b.results[1].outcome is Outcome.DONE


def test_pages_are_taken_in_their_order_and_given_free_where_a_lower_one_is_missing() -> None:
    """A parent's page is found first, its child's is lower: while that is on its way others may have the parent's."""
    table = PagedTable(A, NODES)
    high, low = UqPid(1, 0, 0), at_page(table, 1)
    table.submit(create(high, A), 0)
    page = table.page_of(high)
    table.submit(create(low, A, high), 0)
    ask = asked(table)
    assert ask.page == 1 < page
    table.answered(ask.serial, 1, None, 1, b"", 0)
    assert table.results[2].outcome is Outcome.DONE
    table._give(1, B, 0)
    table.out.clear()
    table.submit(Wait(high), 0)
    ask = asked(table)
    assert table.wanted == [1, page] and not table.taken
    assert isinstance(answer(table, Ask(1, page, 0, 5), C), Answer) and page not in table.owned


def lose(table: PagedTable, operation: Operation) -> Result:
    """Does an operation while nobody answers; its result."""
    ticket, now = table.submit(operation, 0), 0
    asks = 0
    while ticket not in table.results:
        asks += len(table.out)
        table.out.clear()
        now = table.deadline() or now
        table.tick(now)
    assert asks == 2 * ROUNDS and now <= 2 * ROUNDS * PATIENCE_NS + ROUNDS * PAUSE_NS
    return table.results.pop(ticket)


def test_what_cannot_be_reached_is_unreachable_changes_nothing_and_the_next_operation_goes_on() -> None:
    a, *_ = tables()
    assert lose(a, Look(UqPid(2, 7, 0))) == Result(Outcome.UNREACHABLE)
    assert a.submit(create(UqPid(1, 5, 0), A), 0) == 2 and a.results[2].outcome is Outcome.DONE


def test_a_hint_that_leads_nowhere_has_all_others_asked() -> None:
    a, _, c = tables()
    a.owners[2] = 2
    process = at_page(a, 2)
    a.submit(Look(process), 0)
    ask = asked(a)
    assert ask.node == 2
    a.failed(ask.serial, 0)
    ask = asked(a)
    assert ask.node == 3
    hand(a, ask, answer(c, ask, A))
    assert 2 in a.owned


@pytest.mark.parametrize("owner", [0, 1, 2, 77])
def test_who_is_sent_to_itself_or_back_or_to_no_node_asks_the_others(owner: int) -> None:
    a, *_ = tables()
    a.submit(Look(at_page(a, 1)), 0)
    ask = asked(a)
    hand(a, ask, Answer(0, owner))
    assert asked(a).node == 3


def test_a_page_whose_message_got_lost_is_sent_again_and_taken_once() -> None:
    a, b, c = tables()
    process = UqPid(1, 5, 0)
    a.submit(create(process, A), 0)
    b.submit(Look(process), 0)
    ask = asked(b)
    lost = answer(a, ask, B)
    b.failed(ask.serial, 0)
    hand(b, ask := asked(b), Answer(0, 1))
    b.tick(b.deadline() or 0)
    again = Ask(1, ask.page, 0, 8)
    found = answer(a, again, B)
    assert found[1:] == lost[1:]
    hand(b, again, found)
    c.submit(Look(process), 0)
    ask = asked(c)
    b.asked(C, ask.page, 0, 3)
    (given,) = [each for each in b.out if isinstance(each, Answer)]
    hand(b, again, lost)
    assert ask.page not in b.owned, "it went on, and does not come back from an earlier message"
    hand(c, ask, given)
    assert ask.page in c.owned


def test_an_earlier_incarnation_s_page_is_not_given_to_the_next_one() -> None:
    a, b, _ = tables()
    b.submit(Look(at_page(b, 3)), 0)
    answer(a, asked(b), B)
    again = PagedTable(Member(2, 2), NODES, begins=False)
    assert not again.owned
    again.submit(Look(at_page(again, 3)), 0)
    assert answer(a, asked(again), Member(2, 2)).owner is not None


def test_who_is_lost_waits_for_no_page() -> None:
    a, b, c = tables()
    b.submit(Look(at_page(b, 3)), 0)
    ask = asked(b)
    b.asked(C, 3, 0, 5)
    b.lost(3, 0)
    assert b.out == [Answer(5, 0)]
    b.out.clear()
    hand(b, ask, answer(a, ask, B))
    assert 3 in b.owned
    c.submit(Look(at_page(c, 1)), 0)
    assert asked(c).node == 2
    c.lost(2, 0)
    assert asked(c).node == 1


def test_a_page_takes_so_many_and_a_node_so_many_operations_at_a_time() -> None:
    table = PagedTable(A, (1,), pages=1)
    for time in range(ROOM):
        table.submit(create(UqPid(1, time, 0), A), 0)
    ticket = table.submit(create(UqPid(1, ROOM, 0), A), 0)
    assert ticket is not None and table.results[ticket].outcome is Outcome.NO_ROOM
    table = PagedTable(A, NODES)
    assert all(table.submit(Look(UqPid(2, 0, 0)), 0) for _ in range(WAITING_MAX))
    assert table.submit(Look(UqPid(2, 0, 0)), 0) is None


def test_what_no_node_would_send_is_refused_and_changes_nothing() -> None:
    a, b, _ = tables()
    for by, page in ((A, 3), (Member(9, 1), 3), (B, 64), (B, -1)):
        with pytest.raises(ValueError):
            a.asked(by, page, 0, 1)
    b.submit(Look(at_page(b, 3)), 0)
    ask = asked(b)
    for page, data in ((3, b"\1cut"), (64, b"")):
        with pytest.raises(ValueError):
            b.answered(ask.serial, page, None, 1, data, 0)
    assert b.asking is not None and 3 in a.owned
    assert unpacked(b"") is None and unpacked(b"\1") == {}


def test_exit_of_an_orphan_and_of_a_child_across_pages() -> None:
    table = PagedTable(A, (1,), pages=7)
    names = [UqPid(1, time, 0) for time in range(6)]
    table.submit(create(names[0], A), 0)
    for child in names[1:]:
        table.submit(create(child, A, names[0]), 0)
    for child in names[1:4]:
        table.submit(Exit(child, A, 3), 0)
    table.submit(Exit(names[0], A, 0), 0)
    assert {name for name in names if table.find(name)} == {*names[4:]}
