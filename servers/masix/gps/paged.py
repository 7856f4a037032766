"""The table of generic processes in pages with probable owners: the thesis's, sections 4.3.8 and 5.3.

A page is at one node, its owner, and who has it may work on it: so no other lock is needed. Whoever wants a page asks its
probable owner; one that is not the owner names whom it takes for that, and the requester asks there. Owner or not, a node that
was asked takes the requester for the owner from then on. Pages are taken in their order, so that none waits in a circle, and a
page has no memory until it is worked on for the first time.

The thesis does not say what happens to who asks a node that waits for the page itself. Here it waits behind that node, as in
Naimi and Trehel's algorithm, whose rules for the hints are the same: so a request goes to each node once at most, and each is
served. Nor does the thesis say what happens when a node ends. A page that it owned is nowhere then, and is never made again:
a node that is only cut off still has it. What needs it is UNREACHABLE and changes nothing. Hints may lead nowhere or in a circle;
so who is sent to a node for the second time, or gets no answer, asks all others in turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from enum import Enum, auto
from typing import Final, NamedTuple
from zlib import crc32

from machemu.sim.state import U16, U32, Time, state
from masix.gps import entry as entries
from masix.gps.entry import Entry
from masix.gps.names import UqPid
from masix.gps.operations import Changes, Operation, Outcome, Result, perform
from masix.groups import Member

PAGES: Final = 64
ROOM: Final = 64
"""Entries of a page."""
WAITING_MAX: Final = 16
"""Operations of a node that have no result yet."""
PATIENCE_NS: Final = 3_000_000_000
"""How long an answer may take: its page may be in use, and others may be before it."""
PAUSE_NS: Final = 100_000_000
"""How long a node waits when all others have been asked in vain: the page may have been on its way."""
ROUNDS: Final = 3
"""How often it asks all others."""


@state
class First(Enum):
    """Who owns the pages at first: each node those whose number modulo the nodes' is its place; or the first node all."""

    SPREAD = auto()
    ALL = auto()


@state
class Ask(NamedTuple):
    """To be sent: this node wants a page, of which it has had `seen`. The answer comes to `answered`, or `failed` is called."""

    node: U16
    page: U16
    seen: U32
    serial: U32


@state
class Answer(NamedTuple):
    """To be sent to a caller: where it is to ask (0: that is not known), or with owner None the page, whose version it is."""

    caller: U32
    owner: U16 | None
    version: U32 = 0
    data: bytes = b""


@state
class Page(NamedTuple):
    """version: how often it was given to another node. entries: None while it has no memory."""

    version: U32
    entries: dict[UqPid, Entry] | None


@state
class Given(NamedTuple):
    """A page that was given away. It is the receiver's from then on; but the message may get lost though the receiver is up."""

    to: Member
    version: U32
    data: bytes


@state
class Queued(NamedTuple):
    """Who gets a page next."""

    to: Member
    caller: U32


@state
class Asking(NamedTuple):
    """The page that this node asks for. visited: whom it has asked in this round, at last the one that is to answer; none while
    it pauses. until: when it goes on without an answer.
    """

    page: U16
    visited: tuple[U16, ...]
    rounds: U16
    until: Time


class _Missing(Exception):
    """A page is needed that this node has not taken for the operation."""

    def __init__(self, page: int) -> None:
        self.page = page


@state
class PagedTable:
    """A node's part. The owner calls `submit`, what comes by messages and `tick`, and afterwards takes away and does `out`, and
    takes `results` and `changed`. It does one operation after the other.
    """

    __slots__ = (
        "asking", "changed", "given", "last", "me", "nodes", "out", "owned", "owners", "queued", "results", "seen", "serial",
        "taken", "waiting", "wanted",
    )  # fmt: skip
    me: Member
    nodes: tuple[U16, ...]  # all of the table, the same everywhere
    waiting: deque[tuple[U32, Operation]]  # with their tickets; the first one is under way
    last: U32  # the last ticket
    results: dict[U32, Result]  # by ticket
    changed: dict[UqPid, None]  # the processes whose entries were changed here
    out: list[Ask | Answer]  # in order

    # Of pages, by number:
    owned: dict[U16, Page]
    owners: list[U16]  # the probable owners
    seen: list[U32]  # the last version that was here
    queued: dict[U16, Queued]
    given: dict[U16, Given]

    # Of the operation under way:
    wanted: list[U16]  # its pages, in order
    taken: U16  # how many of them it has
    asking: Asking | None
    serial: U32  # of the last Ask

    def __init__(
        self, me: Member, nodes: tuple[int, ...], first: First = First.SPREAD, begins: bool = True, pages: int = PAGES
    ) -> None:
        """begins: the table is new; a node that comes back later owns nothing. pages: how many there are, one for each node at
        least.
        """
        self.me = me
        self.nodes = nodes
        self.waiting = deque()
        self.last = self.serial = self.taken = 0
        self.results = {}
        self.changed = {}
        self.out = []
        self.owners = [nodes[page % len(nodes) if first is First.SPREAD else 0] for page in range(pages)]
        self.owned = {page: Page(0, None) for page, owner in enumerate(self.owners) if begins and owner == me.node}
        self.seen = [0] * pages
        self.queued = {}
        self.given = {}
        self.wanted = []
        self.asking = None

    def page_of(self, process: UqPid) -> int:
        """A page that the process's first node owns at first, where the pages are spread."""
        place = self.nodes.index(process.node) if process.node in self.nodes else 0
        of_node = len(range(place, len(self.owners), len(self.nodes)))
        return place + len(self.nodes) * (crc32(process.packed()) % of_node)

    def submit(self, operation: Operation, now: int) -> int | None:
        """Has an operation done. Its ticket, under which `results` will have its result; None: too much waits, so try later."""
        if len(self.waiting) >= WAITING_MAX:
            return None
        self.last += 1
        self.waiting.append((self.last, operation))
        self._go_on(now)
        return self.last

    def find(self, process: UqPid) -> Entry | None:
        """What this node has in pages that it owns."""
        page = self.owned.get(self.page_of(process))
        return None if page is None or page.entries is None else page.entries.get(process)

    # Pages that others ask for: the thesis's put_pm_page

    def asked(self, by: Member, page: int, seen: int, caller: int) -> None:
        """Another node wants a page, of which it has had the version `seen`. caller: for the Answer. ValueError: no such page."""
        if not 0 <= page < len(self.owners) or by.node not in self.nodes or by.node == self.me.node:
            raise ValueError(f"{by} asks for page {page}")
        before, self.owners[page] = self.owners[page], by.node
        given = self.given.get(page)
        queued = self.queued.get(page)
        waits = self._is_taken(page) or (self.asking is not None and self.asking.page == page)
        if given is not None and given.to == by and seen < given.version:
            self.out.append(Answer(caller, None, given.version, given.data))
        elif waits and (queued is None or queued.to.node == by.node):
            self._refer(queued, 0)
            self.queued[page] = Queued(by, caller)
        elif waits or page not in self.owned:
            self.out.append(Answer(caller, before))
        else:
            self._give(page, by, caller)

    def _refer(self, queued: Queued | None, owner: int) -> None:
        """Who waits for a page is to ask elsewhere."""
        if queued is not None:
            self.out.append(Answer(queued.caller, owner))

    def _is_taken(self, page: int) -> bool:
        return page in self.wanted[: self.taken]

    def _give(self, number: int, to: Member, caller: int) -> None:
        page = self.owned.pop(number)
        given = self.given[number] = Given(to, page.version + 1, packed(page.entries))
        self.out.append(Answer(caller, None, given.version, given.data))

    def _release(self, pages: list[int]) -> None:
        """The operation under way has no use for pages any more, or not yet."""
        for page in pages:
            queued = self.queued.pop(page, None)
            if queued is not None:
                self._give(page, *queued)

    # Pages that this node asks for: the thesis's get_pm_page

    def answered(self, serial: int, page: int, owner: int | None, version: int, data: bytes, now: int) -> None:
        """The answer to an Ask. ValueError: it cannot be one, and nothing has changed."""
        if owner is None:
            self._receive(page, version, data)
        elif self._is_current(serial):
            assert self.asking is not None
            if owner in self.nodes and owner not in (self.me.node, *self.asking.visited):
                self._ask(owner, now)
            else:
                self._search(now)
        self._go_on(now)

    def failed(self, serial: int, now: int) -> None:
        """An Ask will not be answered."""
        if self._is_current(serial):
            self._search(now)
        self._go_on(now)

    def lost(self, node: int, now: int) -> None:
        """A node has ended, or is cut off: it waits for nothing here, and answers nothing."""
        for page in [page for page, queued in self.queued.items() if queued.to.node == node]:
            self._refer(self.queued.pop(page), 0)
        if self.asking is not None and self.asking.visited[-1:] == (node,):
            self._search(now)
        self._go_on(now)

    def deadline(self) -> int | None:
        """When `tick` is due, in nanoseconds; None: not at all."""
        return None if self.asking is None else self.asking.until

    def tick(self, now: int) -> None:
        if self.asking is not None and now >= self.asking.until:
            self._search(now)
        self._go_on(now)

    def _is_current(self, serial: int) -> bool:
        return self.asking is not None and bool(self.asking.visited) and serial == self.serial

    def _receive(self, page: int, version: int, data: bytes) -> None:
        """A page, which may have come before."""
        found = unpacked(data)
        if not 0 <= page < len(self.owners):
            raise ValueError(f"there is no page {page}")
        if version <= self.seen[page]:
            return
        self.seen[page] = version
        self.given.pop(page, None)
        self.owned[page] = Page(version, found)
        if self.asking is not None and self.asking.page == page:
            self.asking = None
            self.taken += 1

    def _ask(self, node: int, now: int) -> None:
        assert self.asking is not None
        page = self.asking.page
        self.asking = self.asking._replace(visited=(*self.asking.visited, node), until=now + PATIENCE_NS)
        self.serial += 1
        self.out.append(Ask(node, page, self.seen[page], self.serial))

    def _search(self, now: int) -> None:
        """Hints do not lead to the page: the next of the others is asked; when all were, again after a while, then no more."""
        asking = self.asking
        assert asking is not None
        others = [node for node in self.nodes if node != self.me.node and node not in asking.visited]
        if others:
            self._ask(others[0], now)
        elif asking.rounds < ROUNDS:
            self.asking = Asking(asking.page, (), asking.rounds + 1, now + PAUSE_NS)
        else:
            self.asking = None
            self._refer(self.queued.pop(asking.page, None), 0)
            self._end(Result(Outcome.UNREACHABLE), {})

    # Operations

    def _go_on(self, now: int) -> None:
        """Does what can be done by now."""
        while self.waiting and self.asking is None:
            if self.taken < len(self.wanted):
                page = self.wanted[self.taken]
                if page in self.owned:
                    self.taken += 1
                    continue
                self.asking = Asking(page, (), 1, now)
                if self.owners[page] == self.me.node:
                    self._search(now)
                else:
                    self._ask(self.owners[page], now)
                continue
            try:
                result, changes = perform(self.waiting[0][1], self)
            except _Missing as missing:
                self._want(missing.page)
            else:
                self._end(result, changes)

    def _want(self, page: int) -> None:
        """One page more: those behind it in order are given free, and taken again."""
        place = bisect_left(self.wanted, page)
        behind = self.wanted[place : self.taken]
        self.wanted.insert(place, page)
        self.taken = place
        self._release(behind)

    def _end(self, result: Result, changes: Changes) -> None:
        for process, entry in changes.items():
            page = self._memory(self.page_of(process))
            if entry is None:
                page.pop(process, None)
            else:
                page[process] = entry
            self.changed[process] = None
        ticket, _ = self.waiting.popleft()
        self.results[ticket] = result
        pages, self.wanted, self.taken = self.wanted[: self.taken], [], 0
        self._release(pages)

    def _memory(self, number: int) -> dict[UqPid, Entry]:
        """The entries of a page that is taken."""
        page = self.owned[number]
        if page.entries is None:
            page = self.owned[number] = page._replace(entries={})
        assert page.entries is not None
        return page.entries

    # masix.gps.operations.Slots

    def read(self, process: UqPid) -> Entry | None:
        page = self.page_of(process)
        if not self._is_taken(page):
            raise _Missing(page)
        return self._memory(page).get(process)

    def has_room(self, process: UqPid) -> bool:
        return len(self._memory(self.page_of(process))) < ROOM


def packed(page: dict[UqPid, Entry] | None) -> bytes:
    """A page's bytes: none for one without memory, else a byte and its entries."""
    return b"" if page is None else b"".join((b"\1", *(entry.packed() for entry in page.values())))


def unpacked(data: bytes) -> dict[UqPid, Entry] | None:
    """ValueError where it is no page."""
    if not data:
        return None
    found: dict[UqPid, Entry] = {}
    place = 1
    while place < len(data):
        entry, place = entries.unpack(data, place)
        found[entry.process] = entry
    if place != len(data) or len(found) > ROOM:
        raise ValueError("it is no page")
    return found
