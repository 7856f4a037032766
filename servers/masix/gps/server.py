"""The generic process server of a node, whose processes move to other nodes.

The migration manager moves tasks, and asks this server of those that are processes. The table has the move as soon as the task is
frozen, and says where the process goes on once all has been copied that can be given up again: the other node's server commits it
or this one aborts it, whoever is first. Both copies are frozen until then. What has still to go then does, however long the nodes
are parted meanwhile: only when one of them has started anew it is known that nothing more comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError, UserError
from machemu.abi.kern_return import (
    KERN_ABORTED,
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_NAME,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
)
from machemu.abi.message import COPY_SEND, MOVE_SEND
from machemu.abi.port import TYPE_SEND
from machemu.mig.interfaces.mach_migrate import TASK_IDENTIFY
from machemu.mig.interfaces.mach_port import MACH_PORT_DESTROY, MACH_PORT_EXTRACT_RIGHT, MACH_PORT_INSERT_RIGHT, MACH_PORT_NAMES
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort, Routine
from machemu.sim.state import U32, PortName, SendRight, Time, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import NO_CALLER, Caller, Message, living, name_of
from masix.gps.entry import Kind, State
from masix.gps.meeting import Peer, member_of
from masix.gps.meeting import words_of as member_words
from masix.gps.moves import Arriving, Leaving
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import LOST, Abort, Commit, Move, Outcome, Result
from masix.gps.processes import Pending, Processes, pid_of, words_of
from masix.groups import Member, Standing
from masix.interfaces import acs, decider, gps, gps_peer, migration, process_manager
from masix.migration import manager, report
from masix.migration import process as processes
from masix.migration.node_server import name_at
from masix.migration.state import numbers_of

LEAVING_MAX: Final = 1 << 31
DOUBTS_MAX: Final = 64
DOUBT_NS: Final = 1_000_000_000
"""How long it waits to hear of a process that is to come."""
RIGHTS_MAX: Final = 4096
"""Rights of a task among which the one to its process's port is looked for."""
OUTCOMES: Final = {
    report.STAYS: KERN_NO_ACCESS,
    report.NO_SUCH_NODE: KERN_INVALID_NAME,
    report.BLOCKED: KERN_NO_ACCESS,
    report.OTHER_MACHINE: KERN_NO_ACCESS,
}
"""What the caller is told where a move came to nothing; of anything else KERN_ABORTED."""


@state
class Gps(Processes):
    """The server. The migration manager of its node asks it of each move (masix/defs/decider.defs)."""

    __slots__ = ("arriving", "asking", "doubts", "last", "leaver", "leaving", "owners")
    asking: dict[UqPid, Caller]  # processes that have asked to move
    leaving: dict[U32, Leaving]  # by the numbers of the decisions
    last: U32  # the last one's
    arriving: dict[UqPid, Arriving]
    # Who asks since when whether a process may come that this replica has not heard of, or that is gone:
    doubts: dict[UqPid, list[tuple[Caller, Time]]]
    owners: tuple[U32, ...]  # whose processes may come; none: anybody's
    leaver: Caller  # who waits until the node has no part in the table any more

    def __init__(self, node: int, host: bytes, nodes: str = "", personalities: str = "bare", owners: str = "") -> None:
        for name, value in (("nodes", nodes), ("personalities", personalities), ("owners", owners)):
            if not isinstance(value, str):
                raise UserError(f"{name} = {value!r}: write a text, with spaces between its words")
        super().__init__(node, host, nodes, personalities)
        if not all(
            owner.isascii() and owner.isdecimal() and len(owner) <= 10 and int(owner) < 1 << 32 for owner in owners.split()
        ):
            raise UserError(f"owners = {owners!r}: write numbers below 4294967296, with spaces between")
        self.owners = tuple(map(int, owners.split()))
        self.doubts = {}
        self.asking, self.leaving, self.arriving = {}, {}, {}
        self.last = 0
        self.leaver = NO_CALLER

    # A process asks to go

    @serves(gps.PM_MIGRATE, at="callers")
    def _migrate(self, mach: Mach, request: Message, host: bytes) -> None:
        process, entry = self._caller(request)
        if process in self.asking or not self.processes[process].task:
            raise KernError(KERN_INVALID_ARGUMENT)
        if entry.kind is Kind.SEDENTARY or host == self.host:
            raise KernError(KERN_NO_ACCESS)
        if host not in self.peers or self.peers[host].member is None:
            raise KernError(KERN_INVALID_NAME)
        self.asking[process] = request.caller
        self.ask(mach, self._manager, mach.name_server(), (name_at(manager.NAME, self.host),), process, host)

    @answered(acs.ACS_LOOK_UP)
    def _manager(self, mach: Mach, answer: Answer, process: UqPid, host: bytes) -> None:
        found, local = answer.right, self.processes.get(process)
        number = 0
        if found and local is not None and local.task:
            with suppress(KernError):  # it has just ended
                number, _, _ = mach.call(TASK_IDENTIFY, local.task)
        if number:
            self.ask(mach, self._moved, found, (b"%d" % number, host), process, found)
        else:
            mach.give_up([(found, MOVE_SEND)])
            self._told(mach, process, KERN_ABORTED)

    @answered(migration.MIGRATION_MOVE)
    def _moved(self, mach: Mach, answer: Answer, process: UqPid, found: SendRight) -> None:
        mach.deallocate(found)
        outcome = answer.results[0] if answer.results else report.GIVEN_UP
        self._told(mach, process, 0 if outcome == report.MOVED else OUTCOMES.get(outcome, KERN_ABORTED))

    @staticmethod
    def _answer(mach: Mach, to: Leaving | Arriving, routine: Routine, code: int, *results: Any) -> None:
        """Answers who waits, if anybody does."""
        asks, to.asks = to.asks, NO_CALLER
        mach.answer(asks, routine, code, results)

    def _told(self, mach: Mach, process: UqPid, code: int) -> None:
        """The move is over: who asked for it is told."""
        mach.answer(self.asking.pop(process), gps.PM_MIGRATE, code)

    # It goes

    @serves(decider.DECIDER_BEGIN)
    def _begin_move(
        self, mach: Mach, request: Message, tasks: Sequence[Any], controls: Sequence[Any], host: bytes
    ) -> tuple[Any, ...] | None:
        names = list(map(name_of, tasks))
        found = [(self.tasks[task], place) for place, task in enumerate(names) if task in self.tasks]
        reasons = report.STAY_PROCESSES if len(found) > 1 else self._reasons(found[0][0], host) if found else 0
        leaving = None
        if found and not reasons:
            process, place = found[0]
            to = self.peers[host].member
            assert to is not None
            leaving = Leaving(process, host, to, place, name_in(mach, name_of(controls[place]), self.processes[process].port))
        mach.give_up((name, MOVE_SEND) for name in (*names, *map(name_of, controls)))
        if leaving is None:
            return reasons, 0
        self.last = self.last % LEAVING_MAX + 1
        self.leaving[self.last] = leaving
        leaving.asks = request.caller
        self.ask(mach, self._offered, self.peers[host].right, (words_of(process),), self.last)
        return None

    def _reasons(self, process: UqPid, host: bytes) -> int:
        """Why a process may not go to a node, or 0."""
        entry, peer = self.find(process), self.peers.get(host)
        if entry is None or entry.state is not State.RUNNING or process not in self.processes:
            return report.STAY_MOVES
        if entry.kind is Kind.SEDENTARY:
            return report.STAY_SEDENTARY
        return report.STAY_ELSEWHERE if peer is None or peer.member is None else 0

    @answered(gps_peer.GPS_TAKES)
    def _offered(self, mach: Mach, answer: Answer, number: U32) -> None:
        leaving = self.leaving[number]
        if answer.results and answer.results[0]:
            self._decide(Move(leaving.process, self.me, leaving.to), "_begun", number)
        else:
            self._refused(mach, number, report.STAY_ELSEWHERE)

    def _decide(self, operation: Move | Abort, then: str, number: int) -> None:
        self.later.append((operation, Pending(then, operation.process, NO_CALLER, 0, NOBODY, number)))

    def _refused(self, mach: Mach, number: int, reasons: int) -> None:
        self._answer(mach, self.leaving.pop(number), decider.DECIDER_BEGIN, 0, reasons, 0)

    def _begun(self, mach: Mach, pending: Pending, result: Result) -> None:
        """No copy of it runs, until the table says which one does."""
        leaving = self.leaving[pending.number]
        if result.outcome is Outcome.DONE:
            leaving.epoch = result.value
            self._answer(mach, leaving, decider.DECIDER_BEGIN, 0, 0, pending.number)
        else:
            self._refused(mach, pending.number, report.STAY_MOVES)

    @serves(decider.DECIDER_DECIDE)
    def _is_ready(self, mach: Mach, request: Message, number: int, made: Sequence[Any]) -> None:
        """All of it that can be given up again is there; or, where nothing is, it is given up."""
        leaving = self._leaving(number)
        peer = self.peers[leaving.host]
        leaving.asks = request.caller
        if made and peer.member == leaving.to:
            values = words_of(leaving.process), leaving.epoch, member_words(self.me), leaving.name, leaving.place, made
            self.ask(mach, self._received, peer.right, values, number)
        else:
            mach.give_up((name_of(each), MOVE_SEND) for each in made)
            self._decide(Abort(leaving.process, leaving.epoch), "_aborted", number)

    def _leaving(self, number: int) -> Leaving:
        if number not in self.leaving:
            raise KernError(KERN_INVALID_ARGUMENT)
        return self.leaving[number]

    @answered(gps_peer.PM_RECEIVE)
    def _received(self, mach: Mach, answer: Answer, number: U32) -> None:
        """Where nothing is known of it, the table says which of the two was first."""
        if answer.code:
            self._decide(Abort(self.leaving[number].process, self.leaving[number].epoch), "_aborted", number)
        else:
            self._goes(mach, number)

    def _aborted(self, mach: Mach, pending: Pending, result: Result) -> None:
        leaving, entry = self.leaving[pending.number], self.find(pending.process)
        if result.outcome is Outcome.DECIDED and entry is not None and (entry.at, entry.epoch) == (leaving.to, leaving.epoch):
            self._goes(mach, pending.number)
            return
        del self.leaving[pending.number]
        if pending.process not in self.tasks.values():
            self._exit(mach, pending.process, LOST)
        self._answer(mach, leaving, decider.DECIDER_DECIDE, 0, False)

    def _goes(self, mach: Mach, number: int) -> None:
        """The table says that it goes on at the other node: it is none of this one any more."""
        leaving = self.leaving[number]
        local = self.processes.get(leaving.process)
        if local is not None and local.task:
            task, local.task = local.task, 0
            del self.tasks[task]
            mach.deallocate(task)
        self._answer(mach, leaving, decider.DECIDER_DECIDE, 0, True)

    @serves(decider.DECIDER_FINISH)
    def _finish(self, mach: Mach, request: Message, number: int, how: int) -> None:
        leaving = self._leaving(number)
        leaving.asks = request.caller
        self._ask_rest(mach, number, how)

    def _ask_rest(self, mach: Mach, number: int, how: int) -> None:
        leaving = self.leaving[number]
        peer = self.peers[leaving.host]
        leaving.is_parted = peer.member is None
        if leaving.is_parted:
            return
        if peer.member == leaving.to:
            self.ask(mach, self._rest, peer.right, (words_of(leaving.process), leaving.epoch, how), number)
        else:
            self._finished(mach, number, True, True)

    @answered(gps_peer.PM_REST)
    def _rest(self, mach: Mach, answer: Answer, number: U32) -> None:
        if answer.results:
            made = tuple(map(name_of, answer.results[0]))
            self._finished(mach, number, not made, False, made)
        elif answer.code == KERN_INVALID_ARGUMENT:
            self._finished(mach, number, True, True)
        else:  # the nodes have lost each other
            self._ask_rest(mach, number, manager.PARTED)

    def _finished(self, mach: Mach, number: int, has_ended: bool, is_lost: bool, made: Sequence[PortName] = ()) -> None:
        leaving = self.leaving[number]
        if has_ended:
            del self.leaving[number]
        self._answer(mach, leaving, decider.DECIDER_FINISH, 0, has_ended, is_lost, made)

    # It comes

    @serves(gps_peer.GPS_TAKES, at="inlets")
    def _takes(self, mach: Mach, request: Message, pid: Sequence[int]) -> tuple[Any, ...] | None:
        process = pid_of(pid)
        if self.table.find(process) is not None:
            return (self.takes(process),)
        if len(self.doubts) >= DOUBTS_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        self.doubts.setdefault(process, []).append((request.caller, mach.now()))
        return None

    def takes(self, process: UqPid) -> bool:
        """Whether a process of the table may come."""
        entry = self.table.find(process)
        if entry is None or self.leaves:
            return False
        return entry.personality in self.personalities and (not self.owners or entry.owner in self.owners)

    def _changed(self, mach: Mach, process: UqPid) -> None:
        self._end_doubts(mach, process)
        super()._changed(mach, process)

    def _end_doubts(self, mach: Mach, process: UqPid) -> None:
        for caller, _ in self.doubts.pop(process, []):
            mach.answer(caller, gps_peer.GPS_TAKES, 0, (self.takes(process),))

    @serves(gps_peer.PM_RECEIVE, at="inlets")
    def _receive(
        self, mach: Mach, request: Message, pid: Sequence[int], epoch: int, by: Sequence[int], name: int, place: int,
        made: Sequence[Any],
    ) -> None:  # fmt: skip
        process = pid_of(pid)
        tasks = list(map(living, made))
        is_its_own = by[0] == self.speaker(request)
        is_its_own &= self.table.find(process) is None or self.takes(process)
        if not all(tasks) or place >= len(tasks) or process in self.arriving or self.leaves or not is_its_own:
            raise KernError(KERN_INVALID_ARGUMENT)
        self.arriving[process] = Arriving(request.caller, member_of(by), epoch, name, place, tasks)
        self.ask(mach, self._keeps, mach.name_server(), (name_at(processes.NAME, self.host),), process)

    @answered(acs.ACS_LOOK_UP)
    def _keeps(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        arriving = self.arriving[process]
        arriving.manager = answer.right
        self.ask(mach, self._kept, arriving.manager, ([mach.copy_send(task) for task in arriving.made],), process)

    @answered(process_manager.PROCESS_KEEP)
    def _kept(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        """Where a task has ended, as its source is lost, there is nothing to commit."""
        if answer.code:
            self._refuse(mach, process)
        else:
            self._do(mach, Kind.NOMAD, Commit(process, self.arriving[process].epoch), Pending("_committed", process, NO_CALLER))

    def _committed(self, mach: Mach, pending: Pending, result: Result) -> None:
        """Its copy here is to go on, once the rest has come; or the table says that it goes on elsewhere, and the copy ends."""
        arriving = self.arriving[pending.process]
        arriving.is_here = result.outcome is Outcome.DONE
        if not arriving.is_here:
            self._refuse(mach, pending.process)
            return
        self._answer(mach, arriving, gps_peer.PM_RECEIVE, 0)
        if arriving.rests != NO_CALLER:
            self._go_ahead(mach, arriving)
        if self._has_ended(arriving.by):
            self._complete(mach, pending.process)

    def _refuse(self, mach: Mach, process: UqPid) -> None:
        self._answer(mach, self.arriving[process], gps_peer.PM_RECEIVE, KERN_ABORTED)
        self._end_next(mach, process)

    @serves(gps_peer.PM_REST, at="inlets")
    def _rest_comes(self, mach: Mach, request: Message, pid: Sequence[int], epoch: int, how: int) -> tuple[Any, ...] | None:
        process = pid_of(pid)
        arriving, local, entry = self.arriving.get(process), self.processes.get(process), self.find(process)
        if arriving is None and local is not None and local.task and entry is not None and entry.epoch == epoch:
            return ((),)
        is_known = arriving is not None and arriving.epoch == epoch and arriving.by.node == self.speaker(request)
        if arriving is None or not is_known or arriving.is_complete:
            raise KernError(KERN_INVALID_ARGUMENT)
        arriving.rests = request.caller
        if how == manager.BROKEN:
            self._end_next(mach, process)
        elif how == manager.WHOLE:
            self._complete(mach, process)
        elif arriving.is_here:
            self._go_ahead(mach, arriving)
        return None

    @staticmethod
    def _go_ahead(mach: Mach, arriving: Arriving) -> None:
        """Tells where the rest is to go, who asks after the nodes were parted."""
        rests, arriving.rests = arriving.rests, NO_CALLER
        mach.answer(rests, gps_peer.PM_REST, 0, ([mach.copy_send(task) for task in arriving.made],))

    def _complete(self, mach: Mach, process: UqPid) -> None:
        """Has the process manager let its tasks go on, if all of them has come."""
        arriving = self.arriving[process]
        arriving.is_complete = True
        if arriving.name:
            bind(mach, arriving.made[arriving.place], arriving.name, self._local(mach, process).port)
        self.ask(mach, self._goes_on, arriving.manager, ([mach.copy_send(task) for task in arriving.made],), process)

    @answered(process_manager.PROCESS_GO)
    def _goes_on(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        arriving = self.arriving[process]
        tasks = list(map(living, answer.results[0])) if answer.results else []
        if answer.code:
            self._end_next(mach, process)
            return
        task = tasks.pop(arriving.place)
        mach.give_up((name, MOVE_SEND) for name in (*tasks, *arriving.made, arriving.manager))
        del self.arriving[process]
        if task:
            self._local(mach, process).task = task
            self.tasks[task] = process
            mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        else:
            self._exit(mach, process, LOST)
        mach.answer(arriving.rests, gps_peer.PM_REST, 0, ((),))

    def _end_next(self, mach: Mach, process: UqPid) -> None:
        """The tasks end, one after the other, and the process with them if it is this node's."""
        arriving = self.arriving[process]
        arriving.is_complete = True
        if arriving.made:
            self.ask(mach, self._ended, arriving.manager, (arriving.made.pop(),), process)
            return
        del self.arriving[process]
        mach.give_up([(arriving.manager, MOVE_SEND)])
        entry = self.find(process)
        if entry is not None and (entry.at, entry.epoch) == (self.me, arriving.epoch):
            self._exit(mach, process, LOST)
        mach.answer(arriving.rests, gps_peer.PM_REST, KERN_INVALID_ARGUMENT)

    @answered(process_manager.PROCESS_DESTROY)
    def _ended(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        self._end_next(mach, process)

    # Nodes that were parted

    def met(self, mach: Mach, peer: Peer) -> None:
        """Another server has been found, for the first time or again: moves go on that something came between."""
        for number, leaving in list(self.leaving.items()):
            if leaving.is_parted and self.peers[leaving.host] is peer:
                self._ask_rest(mach, number, manager.PARTED)
        for process, arriving in list(self.arriving.items()):
            if arriving.is_here and not arriving.is_complete and self._has_ended(arriving.by):
                self._complete(mach, process)

    def _has_ended(self, other: Member) -> bool:
        """Whether a server's node has started anew since it was this one."""
        newest = [peer.member for peer in self.peers.values() if peer.member is not None and peer.member.node == other.node]
        return any(member.incarnation > other.incarnation for member in newest)

    # The node's part in the table ends

    @serves(gps_peer.GPS_LEAVE)
    def _leave(self, mach: Mach, request: Message) -> None:
        if self.leaves and self.leaver == NO_CALLER:
            mach.reply(request, gps_peer.GPS_LEAVE, 0)
            return
        has_nomads = any(process not in self.own.entries for process in self.tasks.values())
        has_nomads |= any(local.nomads for local in self.processes.values())
        if self.group is None or self.leaves or has_nomads or self.leaving or self.arriving:
            raise KernError(KERN_FAILURE)
        self.leaver = request.caller
        self.leaves = True

    def settled(self, mach: Mach) -> None:
        super().settled(mach)
        for process, [(_, since), *_] in list(self.doubts.items()):
            if mach.now() >= since + DOUBT_NS:
                self._end_doubts(mach, process)
        group = self.group
        if group is None or not self.leaves or self.later:
            return
        if not group.leaving:
            group.leave()
        if group.standing is Standing.LEFT and self.table.view is not None:
            self.drop_nomads(mach)
            leaver, self.leaver = self.leaver, NO_CALLER
            mach.answer(leaver, gps_peer.GPS_LEAVE, 0)


def name_in(mach: Mach, task: PortName, port: PortName) -> PortName:
    """The name by which a task has a send right to a port of the server's; 0 where it has none, or too many others.

    The task may end at any time, and its rights become others'.
    """
    with suppress(KernError):
        names, types = (numbers_of(mach.order, each) for each in mach.call(MACH_PORT_NAMES, task))
        sends = [name for name, kind in zip(names, types, strict=True) if kind & TYPE_SEND]
        for name in sends[:RIGHTS_MAX]:
            with suppress(KernError):
                (right,) = mach.call(MACH_PORT_EXTRACT_RIGHT, task, name, COPY_SEND)
                found = name_of(right.port)
                mach.deallocate(found)
                if found == port:
                    return name
    return 0


def bind(mach: Mach, task: PortName, name: PortName, port: PortName) -> None:
    """Gives a task a right to a port of the server's in the place of another one. Where the task has ended it has none."""
    right = mach.make_send(port)
    try:
        mach.call(MACH_PORT_DESTROY, task, name)
        mach.call(MACH_PORT_INSERT_RIGHT, task, name, PolyPort(right, MOVE_SEND))
    except KernError:
        mach.deallocate(right)
