"""The table of generic processes at all nodes: the application of a group with total order.

Each operation is a broadcast, and all replicas do the same ones in the same order; so a decision is the same everywhere, and
where there is no quorum none is made. Where a node broadcast an operation and then comes back into its group by another one's
state, that state says what became of it: the replicas keep each member's last results.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from machemu.sim.state import U32, state
from masix.gps import entry as entries
from masix.gps import wire
from masix.gps.authority import may
from masix.gps.entry import Entry
from masix.gps.names import UqPid
from masix.gps.operations import Changes, Operation, Outcome, Result, perform
from masix.groups import Group, Member, View
from masix.groups.wire import PacketError

ENTRIES_MAX: Final = 2048
WAITING_MAX: Final = 16
"""Operations of one member that have no result yet, and results of it that are kept."""
_TICKET: Final = struct.Struct(">I")
_COUNTS: Final = struct.Struct(">II")
_RESULTS: Final = struct.Struct(">IQH")


@state
class ReplicatedTable:
    """A replica. The owner calls `join`, and takes `results` and `changed` away after each input.

    An operation goes as its ticket u32 and its bytes. A snapshot is a count of entries u32 and one of members u32; the entries in
    the order of their names; and for each member node u32, incarnation u64, how many results u16, and of each its ticket
    u32 and its bytes. Big-endian.
    """

    __slots__ = ("changed", "entries", "group", "last", "me", "pasts", "results", "view", "waiting")
    me: Member
    group: Group | None
    entries: dict[UqPid, Entry]
    pasts: dict[Member, dict[U32, Result]]  # of each member the last results, by ticket
    waiting: dict[U32, Operation]  # by ticket: those of this member that have no result yet
    last: U32  # the last ticket
    results: dict[U32, Result]  # by ticket, of this member
    changed: dict[UqPid, None]  # the processes whose entries changed here
    view: View | None  # the last one installed

    def __init__(self, me: Member) -> None:
        self.me = me
        self.group = None
        self.entries = {}
        self.pasts = {}
        self.waiting = {}
        self.last = 0
        self.results = {}
        self.changed = {}
        self.view = None

    def join(self, group: Group) -> None:
        """The group (of total order) that this replica was opened with."""
        self.group = group

    def submit(self, operation: Operation) -> int | None:
        """Has an operation done. Its ticket, under which `results` will have its result; None: too much waits, so try later."""
        if self.group is None or len(self.waiting) >= WAITING_MAX:
            return None
        ticket = self.last + 1
        self.waiting[ticket] = operation
        self.last = ticket
        if self.group.broadcast(_TICKET.pack(ticket) + wire.pack_operation(operation)) is None:
            del self.waiting[ticket]
            return None
        return ticket

    def find(self, process: UqPid) -> Entry | None:
        """What this replica has."""
        return self.entries.get(process)

    # masix.gps.operations.Slots

    def read(self, process: UqPid) -> Entry | None:
        return self.entries.get(process)

    def has_room(self, process: UqPid) -> bool:
        return len(self.entries) < ENTRIES_MAX

    # The group's application

    def deliver(self, origin: Member, payload: bytes) -> None:
        """Does an operation. What is none is left out at all replicas alike."""
        try:
            (ticket,) = _TICKET.unpack_from(payload)
            operation = wire.unpack_operation(payload[_TICKET.size :])
        except (struct.error, ValueError):
            return
        result, changes = self._done(origin, operation)
        for process, entry in changes.items():
            if entry is None:
                self.entries.pop(process, None)
            else:
                self.entries[process] = entry
            self.changed[process] = None
        past = self.pasts.setdefault(origin, {})
        past[ticket] = result
        if len(past) > WAITING_MAX:
            del past[next(iter(past))]
        if origin == self.me:
            self._settle(ticket, result)

    def _done(self, origin: Member, operation: Operation) -> tuple[Result, Changes]:
        newest = {member.node: member.incarnation for member in self.view.members} if self.view is not None else {}
        if may(operation, origin, self, newest):
            return perform(operation, self)
        return Result(Outcome.FORBIDDEN), {}

    def _settle(self, ticket: int, result: Result) -> None:
        if self.waiting.pop(ticket, None) is not None:
            self.results[ticket] = result

    def installed(self, view: View) -> None:
        """Of members of which there is a later incarnation nobody wants results any more."""
        self.view = view
        newest = {member.node: member.incarnation for member in view.members}
        self.pasts = {member: past for member, past in self.pasts.items() if member.incarnation >= newest.get(member.node, 0)}

    def snapshot(self) -> bytes:
        parts = [_COUNTS.pack(len(self.entries), len(self.pasts))]
        parts += [self.entries[process].packed() for process in sorted(self.entries)]
        for member, past in sorted(self.pasts.items()):
            parts.append(_RESULTS.pack(*member, len(past)))
            parts += [_TICKET.pack(ticket) + wire.pack_result(result) for ticket, result in past.items()]
        return b"".join(parts)

    def restore(self, snapshot: bytes) -> None:
        """Takes another replica's state over. PacketError: it is none, and nothing has changed."""
        found: dict[UqPid, Entry] = {}
        pasts: dict[Member, dict[U32, Result]] = {}
        try:
            count, members = _COUNTS.unpack_from(snapshot)
            place = _COUNTS.size
            for _ in range(count):
                entry, place = entries.unpack(snapshot, place)
                found[entry.process] = entry
            for _ in range(members):
                node, incarnation, size = _RESULTS.unpack_from(snapshot, place)
                place += _RESULTS.size
                past = pasts[Member(node, incarnation)] = {}
                for _ in range(size):
                    (ticket,) = _TICKET.unpack_from(snapshot, place)
                    place += _TICKET.size + wire.RESULT.size
                    (past[ticket],) = wire.unpack_results(snapshot[place - wire.RESULT.size : place])
        except (struct.error, ValueError) as error:
            raise PacketError(f"it is no table of processes: {error}") from None
        if place != len(snapshot) or len(found) != count or len(pasts) != members or count > ENTRIES_MAX:
            raise PacketError("it is no table of processes")
        for process in {**self.entries, **found}:
            if self.entries.get(process) != found.get(process):
                self.changed[process] = None
        self.entries, self.pasts = found, pasts
        for ticket, result in pasts.get(self.me, {}).items():
            self._settle(ticket, result)

    def digest(self) -> str:
        """SHA-256 of the snapshot, in hexadecimal: replicas that have done the same have the same."""
        return hashlib.sha256(self.snapshot()).hexdigest()
