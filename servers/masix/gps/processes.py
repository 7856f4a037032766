"""What processes ask of the generic process server of their node: it makes tasks to processes, which call it by ports of their
own, and ends them.

Nomad processes are in the table that all nodes share, and each node that runs their personality makes a port for each in advance.
Sedentary ones are in a table of this node's alone. The rules are the same (masix.gps.operations).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_ABORTED,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_VALUE,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
)
from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_SEND
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.mig.interfaces.mach_migrate import TASK_GET_FAMILY
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U8, U32, U64, PortName, Receive, Right, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import NO_CALLER, Caller, Message, living, name_of
from masix.gps.entry import Entry, Kind, State
from masix.gps.meeting import NAME
from masix.gps.names import NOBODY, Namer, UqPid
from masix.gps.operations import LOST, Bury, Create, Disown, Exit, Operation, Outcome, Reap, Result, Wait, perform
from masix.gps.peers import Peers
from masix.gps.replicated import ReplicatedTable
from masix.interfaces import acs, gps, gps_peer

LOCAL_MAX: Final = 1024
"""Sedentary processes of a node."""
CALLS_MAX: Final = 16
"""Calls of pm_fork and pm_wait of one process that have no answer yet."""
CREATED_MAX: Final = 64
"""Processes without parents that are being created."""
CODES: Final = {
    Outcome.NO_ROOM: KERN_RESOURCE_SHORTAGE,
    Outcome.STAYS: KERN_NO_ACCESS,
    Outcome.NO_CHILD: KERN_INVALID_VALUE,
    Outcome.UNREACHABLE: KERN_ABORTED,
}
"""What callers are told; of anything else KERN_INVALID_ARGUMENT."""


@state
class Local:
    """What this node has of a process. port: by which it calls. task: where it runs here, or 0. waiters: for a child."""

    __slots__ = ("calls", "nomads", "port", "task", "waiters")
    calls: U8  # operations that it has under way
    nomads: list[UqPid]  # of a sedentary one, its nomad children
    port: Receive
    task: Right
    waiters: list[Caller]

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls = self.task = 0
        self.nomads = []
        self.waiters = []


@state
class Pending(NamedTuple):
    """An operation under way. then: the method that goes on. caller: who waits for the answer. task: of one that is created.
    by: the process that asked for it. number: of the decision that it is for.
    """

    then: str
    process: UqPid
    caller: Caller
    task: Right = 0
    by: UqPid = NOBODY
    number: U32 = 0


@state
class OwnTable:
    """The sedentary processes of a node: masix.gps.operations.Slots."""

    __slots__ = ("entries",)
    entries: dict[UqPid, Entry]

    def __init__(self) -> None:
        self.entries = {}

    def read(self, process: UqPid) -> Entry | None:
        return self.entries.get(process)

    def has_room(self, process: UqPid) -> bool:
        return len(self.entries) < LOCAL_MAX


@state
class Processes(Peers):
    """The processes of a node. personalities: those that run on this node, by the cluster file."""

    __slots__ = (
        "buried", "callers", "clients", "later", "leaves", "namer", "own", "pending", "personalities", "processes", "public",
        "tasks",
    )  # fmt: skip
    buried: U64  # the last view with which what ended with nodes was
    callers: dict[Receive, UqPid]  # by their ports
    clients: Receive  # where processes are created; its service is for its peers alone
    later: deque[tuple[Operation, Pending]]  # for the table, when it has room
    leaves: bool  # it has no part in the table any more, or is about to have none: no nomad process begins or comes here
    namer: Namer
    own: OwnTable
    pending: dict[U32, Pending]  # by their tickets
    personalities: tuple[bytes, ...]
    processes: dict[UqPid, Local]
    public: Right  # the registration of its name for clients
    tasks: dict[Right, UqPid]  # which process runs in each

    def __init__(self, node: int, host: bytes, nodes: str = "", personalities: str = "bare") -> None:
        super().__init__(node, host, nodes)
        self.personalities = tuple(personalities.encode().split())
        self.namer = Namer(node)
        self.own = OwnTable()
        self.pending, self.callers, self.processes, self.tasks = {}, {}, {}, {}
        self.later = deque()
        self.leaves = False
        self.buried = self.clients = self.public = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.clients = self.new_port(mach)
        self._publish(mach)

    def _publish(self, mach: Mach) -> None:
        self.ask(mach, self._published, mach.name_server(), (NAME, 0, PolyPort(self.clients, MAKE_SEND)))

    @answered(acs.ACS_REGISTER)
    def _published(self, mach: Mach, answer: Answer) -> None:
        self.public = answer.right
        if self.public:
            mach.notify(self.public, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    # The tables

    def find(self, process: UqPid) -> Entry | None:
        return self.own.entries.get(process) or self.table.find(process)

    def _do(self, mach: Mach, kind: Kind, operation: Operation, pending: Pending) -> None:
        """Has an operation done in the table of its kind; then the method goes on that `pending` names."""
        if pending.by in self.processes:
            self.processes[pending.by].calls += 1
        if kind is Kind.NOMAD:
            self.later.append((operation, pending))
            return
        result, changes = perform(operation, self.own)
        for process, entry in changes.items():
            if entry is None:
                del self.own.entries[process]
            else:
                self.own.entries[process] = entry
        self._go_on_with(mach, pending, result)
        for process in changes:
            self._changed(mach, process)

    def _go_on_with(self, mach: Mach, pending: Pending, result: Result) -> None:
        if pending.by in self.processes:
            self.processes[pending.by].calls -= 1
        getattr(self, pending.then)(mach, pending, result)

    def settled(self, mach: Mach) -> None:
        self._bury()
        self._submit()
        while self.table.results or self.table.changed:
            while self.table.results:
                ticket = next(iter(self.table.results))
                self._go_on_with(mach, self.pending.pop(ticket), self.table.results.pop(ticket))
            changed, self.table.changed = self.table.changed, {}
            for process in changed:
                self._changed(mach, process)
            self._submit()

    def _bury(self) -> None:
        """With each view its first member ends what ran at incarnations of nodes that are over: the next ones are in it."""
        view = self.table.view
        if view is None or view.number == self.buried:
            return
        self.buried = view.number
        newest = {member.node: member.incarnation for member in view.members}
        for process, entry in self.table.entries.items() if view.members[0] == self.me else ():
            if entry.state is not State.ZOMBIE and entry.at.incarnation < newest.get(entry.at.node, 0):
                self.later.append((Bury(process, entry.at), Pending("_exited", process, NO_CALLER)))
            if entry.parent_kind is Kind.SEDENTARY and entry.parent.time < newest.get(entry.parent.node, 0) - 1:
                self._disown(process, entry.parent)

    def _disown(self, child: UqPid, parent: UqPid) -> None:
        """A nomad process's sedentary parent is gone."""
        self.later.append((Disown(child, parent), Pending("_exited", child, NO_CALLER)))

    def _submit(self) -> None:
        """Gives the table what waits, as far as it takes it."""
        while self.later and (ticket := self.table.submit(self.later[0][0])) is not None:
            self.pending[ticket] = self.later.popleft()[1]

    def _changed(self, mach: Mach, process: UqPid) -> None:
        """An entry is another one, or gone: makes its port in advance, or ends what is here of it."""
        entry = self.find(process)
        if entry is None:
            self._forget(mach, process)
        elif entry.state is State.ZOMBIE:
            self._end_task(mach, process)
            self._wake(mach, entry.parent)
        elif entry.personality in self.personalities:
            self._local(mach, process)

    def _local(self, mach: Mach, process: UqPid) -> Local:
        """What this node has of a process, made where there was nothing."""
        if process not in self.processes:
            port = self.new_port(mach)
            self.processes[process] = Local(port)
            self.callers[port] = process
        return self.processes[process]

    def _forget(self, mach: Mach, process: UqPid) -> None:
        self._end_task(mach, process)
        local = self.processes.pop(process, None)
        if local is not None:
            for waiter in local.waiters:
                mach.answer(waiter, gps.PM_WAIT, KERN_INVALID_ARGUMENT)
            for child in local.nomads:
                self._disown(child, process)
            del self.callers[local.port]
            mach.destroy_receive(local.port)

    def drop_nomads(self, mach: Mach) -> None:
        """The table is none of this node's any more."""
        self.table = ReplicatedTable(self.me)
        for process in [each for each in self.processes if each not in self.own.entries]:
            self._forget(mach, process)

    def _end_task(self, mach: Mach, process: UqPid) -> None:
        """The process has ended; its task does, if it runs here and has not."""
        local = self.processes.get(process)
        if local is not None and local.task:
            task, local.task = local.task, 0
            del self.tasks[task]
            mach.request(TASK_TERMINATE, task, (), disposition=MOVE_SEND)

    # Calls

    def _caller(self, request: Message) -> tuple[UqPid, Entry]:
        """The process that calls. KERN_INVALID_ARGUMENT where it has ended."""
        process = self.callers[request.header.local]
        entry = self.find(process)
        if entry is None or entry.state is State.ZOMBIE:
            raise KernError(KERN_INVALID_ARGUMENT)
        return process, entry

    def _limit(self, process: UqPid) -> None:
        """KERN_RESOURCE_SHORTAGE where a process has as many calls under way as one may have."""
        local = self.processes[process]
        if local.calls + len(local.waiters) >= CALLS_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)

    def _is_free(self, mach: Mach, task: Any) -> bool:
        """Whether a right is one to a task of this node that is no process yet: no other port, where anybody could answer."""
        return bool(living(task)) and task not in self.tasks and bool(family(mach, task))

    @serves(gps.GPS_CREATE, at="clients")
    def _create(self, mach: Mach, request: Message, task: Any, kind: int, personality: bytes) -> None:
        self._create_for(mach, request, task, kind, personality, 0)

    @serves(gps_peer.GPS_CREATE_FOR)
    def _create_for(self, mach: Mach, request: Message, task: Any, kind: int, personality: bytes, owner: int) -> None:
        if not self._is_free(mach, task) or kind not in tuple(Kind) or personality not in self.personalities:
            raise KernError(KERN_INVALID_ARGUMENT)
        under_way = (*self.pending.values(), *(pending for _, pending in self.later))
        if sum(pending.then == "_created" and pending.by == NOBODY for pending in under_way) >= CREATED_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        self._begin(mach, request, task, Create(NOBODY, Kind(kind), personality, NOBODY, Kind(kind), self.me, 1, owner))

    @serves(gps.PM_FORK, at="callers")
    def _fork(self, mach: Mach, request: Message, task: Any) -> None:
        process, entry = self._caller(request)
        if not self._is_free(mach, task):
            raise KernError(KERN_INVALID_ARGUMENT)
        self._limit(process)
        self._begin(
            mach, request, task, Create(NOBODY, entry.kind, entry.personality, process, entry.kind, self.me, 1, entry.owner)
        )

    @serves(gps.PM_SPAWN, at="callers")
    def _spawn(self, mach: Mach, request: Message, task: Any, kind: int, personality: bytes) -> None:
        process, entry = self._caller(request)
        if not self._is_free(mach, task) or kind not in tuple(Kind) or personality not in self.personalities:
            raise KernError(KERN_INVALID_ARGUMENT)
        if entry.kind is Kind.NOMAD and kind != Kind.NOMAD:
            raise KernError(KERN_NO_ACCESS)
        self._limit(process)
        self._begin(mach, request, task, Create(NOBODY, Kind(kind), personality, process, entry.kind, self.me, 1, entry.owner))

    def _begin(self, mach: Mach, request: Message, task: int, wanted: Create) -> None:
        """A task becomes a process, once the table has it."""
        if wanted.kind is Kind.NOMAD and self.leaves:
            raise KernError(KERN_NO_ACCESS)
        wanted = wanted._replace(process=self.namer.name(mach.now()))
        self.tasks[task] = wanted.process
        mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        self._do(mach, wanted.kind, wanted, Pending("_created", wanted.process, request.caller, task, wanted.parent))

    def _created(self, mach: Mach, pending: Pending, result: Result) -> None:
        routine = CREATING[pending.caller.id]
        process, task = pending.process, pending.task
        if result.outcome is not Outcome.DONE:
            self.tasks.pop(task, None)
            mach.deallocate(task)
            mach.answer(pending.caller, routine, CODES.get(result.outcome, KERN_INVALID_ARGUMENT))
            return
        local, entry = self._local(mach, process), self.find(process)
        if entry is not None and entry.parent != NOBODY and not entry.linked:
            if pending.by in self.processes:
                self.processes[pending.by].nomads.append(process)
            else:
                self._disown(process, pending.by)
        if task in self.tasks:
            local.task = task
        else:
            mach.deallocate(task)
            self._exit(mach, process, LOST)
        mach.answer(pending.caller, routine, 0, (words_of(process), PolyPort(local.port, MAKE_SEND)))

    @serves(gps.PM_EXIT, at="callers")
    def _exits(self, mach: Mach, request: Message, status: int) -> tuple[Any, ...]:
        process, entry = self._caller(request)
        if entry.state is State.MOVING:
            raise KernError(KERN_ABORTED)
        self._limit(process)
        self._exit(mach, process, status, process)
        return ()

    def _exit(self, mach: Mach, process: UqPid, status: int, by: UqPid = NOBODY) -> None:
        entry = self.find(process)
        if entry is not None:
            self._do(mach, entry.kind, Exit(process, self.me, status), Pending("_exited", process, NO_CALLER, 0, by))

    def _exited(self, mach: Mach, pending: Pending, result: Result) -> None:
        """What ends with a process is seen from its entry (`_changed`)."""

    def died(self, mach: Mach, name: PortName) -> None:
        """A task has ended without a word, and its process with it; or a peer, or the name server."""
        process = self.tasks.pop(name, None)
        if name == self.public:
            mach.deallocate(name)
            self._publish(mach)
            return
        if process is None:
            super().died(mach, name)
            return
        local = self.processes.get(process)
        if local is not None and local.task == name:
            local.task = 0
            mach.deallocate(name)
            self._exit(mach, process, LOST)

    @serves(gps.PM_WAIT, at="callers")
    def _waits(self, mach: Mach, request: Message) -> None:
        process, entry = self._caller(request)
        self._limit(process)
        self._wait(mach, process, entry.kind, request.caller)

    def _wait(self, mach: Mach, process: UqPid, kind: Kind, caller: Caller) -> None:
        self._do(mach, kind, Wait(process), Pending("_waited", process, caller, 0, process))

    def _waited(self, mach: Mach, pending: Pending, result: Result) -> None:
        local = self.processes.get(pending.process)
        if result.outcome is Outcome.DONE:
            mach.answer(pending.caller, gps.PM_WAIT, 0, (words_of(result.process), result.value))
        elif local is not None and local.nomads:
            self._wait_for_nomads(mach, pending.process, local, pending.caller)
        elif result.outcome is Outcome.NOT_YET and local is not None:
            local.waiters.append(pending.caller)
        else:
            mach.answer(pending.caller, gps.PM_WAIT, CODES.get(result.outcome, KERN_INVALID_ARGUMENT))

    def _wait_for_nomads(self, mach: Mach, process: UqPid, local: Local, caller: Caller) -> None:
        """A sedentary process has no child in its own table that has ended."""
        for child in local.nomads:
            entry = self.table.find(child)
            if entry is not None and entry.state is State.ZOMBIE:
                self._do(mach, Kind.NOMAD, Reap(child, process), Pending("_reaped", process, caller, 0, process))
                return
        local.waiters.append(caller)

    def _reaped(self, mach: Mach, pending: Pending, result: Result) -> None:
        local = self.processes.get(pending.process)
        if result.outcome is Outcome.DONE:
            if local is not None:
                local.nomads.remove(result.process)
            mach.answer(pending.caller, gps.PM_WAIT, 0, (words_of(result.process), result.value))
        elif local is not None:
            self._wait(mach, pending.process, Kind.SEDENTARY, pending.caller)
        else:
            mach.answer(pending.caller, gps.PM_WAIT, KERN_INVALID_ARGUMENT)

    def _wake(self, mach: Mach, parent: UqPid) -> None:
        """A child of a process has ended: who waits for that asks again."""
        local, entry = self.processes.get(parent), self.find(parent)
        if local is not None and entry is not None:
            waiters, local.waiters = local.waiters, []
            for waiter in waiters:
                self._wait(mach, parent, entry.kind, waiter)

    @serves(gps.PM_GETPID, at="callers")
    def _getpid(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        process, _ = self._caller(request)
        return (words_of(process),)

    @serves(gps.PM_GETPPID, at="callers")
    def _getppid(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        _, entry = self._caller(request)
        return (words_of(entry.parent),)

    @serves(gps.PM_GETEPOCH, at="callers")
    def _getepoch(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        _, entry = self._caller(request)
        return (entry.epoch,)


CREATING: Final = {**gps.ROUTINES, gps_peer.GPS_CREATE_FOR.request.id: gps_peer.GPS_CREATE_FOR}
"""The routines that create processes, among others."""


def family(mach: Mach, task: PortName) -> tuple[PortName, ...]:
    """The tasks that can only move with one of this node, and that one: names, which are not the server's to keep; none for what
    is no such task."""
    try:
        (found,) = mach.call(TASK_GET_FAMILY, mach.given("host-port"), PolyPort(task, COPY_SEND))
    except KernError:
        return ()
    names = tuple(map(name_of, found))
    mach.give_up((name, MOVE_SEND) for name in names)
    return names


def words_of(process: UqPid) -> tuple[int, int, int, int]:
    return process.node, process.time >> 32, process.time & 0xFFFFFFFF, process.number


def pid_of(words: Sequence[int]) -> UqPid:
    return UqPid(words[0], words[1] << 32 | words[2], words[3])
