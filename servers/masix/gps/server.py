"""The generic process server of a node, whose processes move to other nodes.

The task is suspended, and stays so while it moves. The table has the move; then the migration manager moves the task, and the
table says where the process goes on: the server that is told so resumes it. By then the process's right to its server is one to
the server of its new node, by the port that was made there in advance.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_ABORTED, KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_NAME, KERN_NO_ACCESS
from machemu.abi.message import COPY_SEND, MOVE_SEND
from machemu.abi.port import TYPE_SEND
from machemu.mig.interfaces.mach import TASK_RESUME, TASK_SUSPEND, TASK_TERMINATE
from machemu.mig.interfaces.mach_migrate import TASK_IDENTIFY
from machemu.mig.interfaces.mach_port import MACH_PORT_DESTROY, MACH_PORT_EXTRACT_RIGHT, MACH_PORT_INSERT_RIGHT, MACH_PORT_NAMES
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U32, PortName, Right, SendRight, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import Caller, Message, living, name_of
from masix.gps.entry import Kind, State
from masix.gps.names import UqPid
from masix.gps.operations import LOST, Abort, Commit, Move, Outcome, Result
from masix.gps.processes import NO_CALLER, Pending, Processes, family, words_of
from masix.groups import Standing
from masix.interfaces import acs, gps, gps_peer, migration
from masix.migration import manager, report
from masix.migration.node_server import name_at
from masix.migration.state import numbers_of

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
class Leaving:
    """A process that moves away. name: the task's name for the right to its port here. epoch: 0 until the table has the move.

    code: what the caller is told where it comes to nothing.
    """

    __slots__ = ("caller", "code", "epoch", "host", "name")
    caller: Caller
    code: U32
    host: bytes
    name: PortName
    epoch: U32

    def __init__(self, caller: Caller, host: bytes) -> None:
        self.caller = caller
        self.host = host
        self.code = self.name = self.epoch = 0


@state
class Arriving:
    """A process whose task has come, and is suspended. caller: the server that it comes from. name: as in Leaving."""

    __slots__ = ("caller", "name", "task")
    caller: Caller
    name: PortName
    task: Right

    def __init__(self, caller: Caller, name: int, task: int) -> None:
        self.caller = caller
        self.name = name
        self.task = task


@state
class Gps(Processes):
    """The server."""

    __slots__ = ("arriving", "leaver", "leaving")
    leaving: dict[UqPid, Leaving]
    arriving: dict[UqPid, Arriving]
    leaver: Caller  # who waits until the node has no part in the table any more

    def __init__(self, node: int, host: bytes, nodes: str = "", personalities: str = "bare") -> None:
        super().__init__(node, host, nodes, personalities)
        self.leaving = {}
        self.arriving = {}
        self.leaver = NO_CALLER

    # A process goes

    @serves(gps.PM_MIGRATE, at="callers")
    def _migrate(self, mach: Mach, request: Message, host: bytes) -> None:
        process, entry = self._caller(request)
        if process in self.leaving or not self.processes[process].task:
            raise KernError(KERN_INVALID_ARGUMENT)
        if entry.kind is Kind.SEDENTARY or host == self.host:
            raise KernError(KERN_NO_ACCESS)
        peer = self.peers.get(host)
        if peer is None or peer.member is None:
            raise KernError(KERN_INVALID_NAME)
        self.leaving[process] = Leaving(request.caller, host)
        self.ask(mach, self._offered, peer.right, (entry.personality,), process)

    @answered(gps_peer.GPS_TAKES)
    def _offered(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        if not answer.results or not answer.results[0]:
            self._told(mach, process, KERN_NO_ACCESS if answer.results else KERN_INVALID_NAME)
            return
        local = self.processes.get(process)
        if local is None or not local.task:
            self._told(mach, process, KERN_ABORTED)
        else:
            self.ask(mach, self._suspended, local.task, (), process)

    @answered(TASK_SUSPEND)
    def _suspended(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        """From here on no copy of it runs, until the table says which one does."""
        peer = self.peers[self.leaving[process].host]
        task = self.processes[process].task if process in self.processes else 0
        others = set(family(mach, task)) - {task} if task else set()
        if answer.code or peer.member is None or any(other in self.tasks for other in others):
            self._resume(mach, process)
            self._told(mach, process, KERN_NO_ACCESS if others else KERN_ABORTED)
        else:
            self._do(mach, Kind.NOMAD, Move(process, self.me, peer.member), Pending("_begun", process, NO_CALLER))

    def _resume(self, mach: Mach, process: UqPid) -> None:
        local = self.processes.get(process)
        if local is not None and local.task:
            mach.request(TASK_RESUME, local.task, ())

    def _begun(self, mach: Mach, pending: Pending, result: Result) -> None:
        process = pending.process
        leaving, local = self.leaving[process], self.processes.get(process)
        if result.outcome is not Outcome.DONE:
            self._resume(mach, process)
            self._told(mach, process, KERN_ABORTED)
            return
        leaving.epoch = result.value
        if local is None or not local.task:
            self._abort(mach, process, KERN_ABORTED)
            return
        leaving.name = name_in(mach, local.task, local.port)
        self.ask(mach, self._manager, mach.name_server(), (name_at(manager.NAME, self.host),), process)

    @answered(acs.ACS_LOOK_UP)
    def _manager(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        found, local = living(answer.results[0]) if answer.results else 0, self.processes.get(process)
        if not found or local is None or not local.task:
            mach.give_up([(found, MOVE_SEND)] if found else [])
            self._abort(mach, process, KERN_ABORTED)
            return
        try:
            number, _, _ = mach.call(TASK_IDENTIFY, local.task)
        except KernError:
            number = 0  # it has just ended; so the manager will find none
        self.ask(mach, self._moved, found, (b"%d" % number, self.leaving[process].host), process, found)

    @answered(migration.MIGRATION_MOVE)
    def _moved(self, mach: Mach, answer: Answer, process: UqPid, found: SendRight) -> None:
        mach.deallocate(found)
        outcome = answer.results[0] if answer.results else report.GIVEN_UP
        leaving, local = self.leaving[process], self.processes.get(process)
        peer = self.peers[leaving.host]
        if outcome != report.MOVED or local is None or not local.task or not peer.right:
            self._abort(mach, process, OUTCOMES.get(outcome, KERN_ABORTED))
            return
        task, local.task = local.task, 0
        del self.tasks[task]
        values = words_of(process), leaving.epoch, leaving.name, task
        self.ask(mach, self._received, peer.right, values, process)

    @answered(gps_peer.PM_RECEIVE)
    def _received(self, mach: Mach, answer: Answer, process: UqPid) -> None:
        if answer.code:
            self._abort(mach, process, KERN_ABORTED)
        else:
            self._told(mach, process, 0)

    def _abort(self, mach: Mach, process: UqPid, code: int) -> None:
        """The process goes on here, if the table says so and its task is still here."""
        leaving = self.leaving[process]
        leaving.code = code
        self._do(mach, Kind.NOMAD, Abort(process, leaving.epoch), Pending("_aborted", process, NO_CALLER))

    def _aborted(self, mach: Mach, pending: Pending, result: Result) -> None:
        """Where the other server had taken it already, and its answer got lost, it has moved."""
        process = pending.process
        local, entry = self.processes.get(process), self.find(process)
        if result.outcome is Outcome.DONE and local is not None and local.task:
            self._resume(mach, process)
        elif result.outcome is Outcome.DONE:
            self._exit(mach, process, LOST)
        has_moved = result.outcome is Outcome.DECIDED and entry is not None and entry.at != self.me
        self._told(mach, process, 0 if has_moved else self.leaving[process].code)

    def _told(self, mach: Mach, process: UqPid, code: int) -> None:
        """The move is over: its caller is told."""
        mach.answer(self.leaving.pop(process).caller, gps.PM_MIGRATE, code)

    # A process comes

    @serves(gps_peer.GPS_TAKES)
    def _takes(self, mach: Mach, request: Message, personality: bytes) -> tuple[Any, ...]:
        return (personality in self.personalities and not self.leaves,)

    @serves(gps_peer.PM_RECEIVE)
    def _receive(self, mach: Mach, request: Message, pid: Sequence[int], epoch: int, name: int, task: Any) -> None:
        process = UqPid(pid[0], pid[1] << 32 | pid[2], pid[3])
        entry = self.find(process)
        is_for_another = entry is not None and entry.state is State.MOVING and entry.to != self.me
        if not self._is_free(mach, task) or process in self.arriving or is_for_another or self.leaves:
            raise KernError(KERN_INVALID_ARGUMENT)
        self.arriving[process] = Arriving(request.caller, name, task)
        self._do(mach, Kind.NOMAD, Commit(process, epoch), Pending("_committed", process, NO_CALLER))

    def _committed(self, mach: Mach, pending: Pending, result: Result) -> None:
        process = pending.process
        arriving = self.arriving[process]
        if result.outcome is not Outcome.DONE:
            self._refuse(mach, process)
            return
        del self.arriving[process]
        task, local = arriving.task, self._local(mach, process)
        local.task = task
        self.tasks[task] = process
        mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        if arriving.name:
            bind(mach, task, arriving.name, local.port)
        mach.request(TASK_RESUME, task, ())
        mach.answer(arriving.caller, gps_peer.PM_RECEIVE, 0)

    def _refuse(self, mach: Mach, process: UqPid) -> None:
        """The table says that the process does not go on here: its copy ends."""
        arriving = self.arriving.pop(process)
        mach.request(TASK_TERMINATE, arriving.task, (), disposition=MOVE_SEND)
        mach.answer(arriving.caller, gps_peer.PM_RECEIVE, KERN_ABORTED)

    # The node's part in the table ends

    @serves(gps_peer.GPS_LEAVE)
    def _leave(self, mach: Mach, request: Message) -> None:
        has_nomads = any(process not in self.own.entries for process in self.tasks.values())
        has_nomads |= any(local.nomads for local in self.processes.values())
        if self.group is None or self.leaves or has_nomads or self.leaving or self.arriving:
            raise KernError(KERN_FAILURE)
        self.leaver = request.caller
        self.leaves = True

    def settled(self, mach: Mach) -> None:
        super().settled(mach)
        group = self.group
        if group is None or not self.leaves or self.later:
            return
        if not group.leaving:
            group.leave()
        if group.standing is Standing.LEFT and self.table.view is not None:
            self.drop_nomads(mach)
            mach.answer(self.leaver, gps_peer.GPS_LEAVE, 0)


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
