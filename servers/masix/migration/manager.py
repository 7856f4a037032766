"""The migration manager of a node: moves nothing itself, but asks the process, space and IPC managers, as a strategy says.

Up to Step.DECIDE a move can be given up, and the tasks go on where they were. Of those that are processes another server decides
(masix/defs/decider.defs); what has to go afterwards goes, however long the nodes are parted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_NAME, KERN_INVALID_TASK, KERN_NAME_EXISTS, MIG_SERVER_DIED
from machemu.abi.message import COPY_SEND, MOVE_SEND
from machemu.mig.interfaces.mach import VM_STATISTICS
from machemu.mig.interfaces.mach_host import HOST_INFO
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U32, Right, SendRight, Time, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import Caller, Message, living, name_of
from masix.interfaces import acs, decider, ipc_manager, migration, process_manager, space_manager
from masix.migration import ipc, node_tasks, process, report, space
from masix.migration.node_server import NodeServer, name_at
from masix.migration.report import Dependency, Report
from masix.migration.state import numbers_of, words_of
from masix.migration.strategies import DIRECT_COPY, RIGHTS, UNDECIDED, Step

NAME: Final = b"migration"
MANAGERS: Final = (process.NAME, space.NAME, ipc.NAME)
DECIDER: Final = b"gps"
"""The server that decides of tasks that are processes, on nodes that have one."""
HOST_BASIC_INFO: Final = 1
CPU_TYPE: Final = 3
"""A flavor of host_info, and its word that tells the architecture."""


@state
class Move:
    """A move under way. Rights are this server's own."""

    __slots__ = (
        "began", "caller", "controls", "decider", "decision", "done", "frozen", "host", "made", "managers", "pause", "report",
        "steps", "tasks", "there",
    )  # fmt: skip
    caller: Caller  # who wants it
    decider: Right  # who decides of it
    decision: U32  # the decider's number of it; 0 where it decides nothing
    tasks: list[SendRight]  # those that move, until they are held, and until it is known who decides
    host: bytes  # where to
    managers: list[SendRight]  # this node's process, space and IPC manager
    there: list[SendRight]  # and the other node's
    controls: list[SendRight]  # how the tasks are reached once they are held
    made: list[SendRight]  # the tasks that they become, as far as they have been made
    pause: Right  # while it lasts nobody sends to the tasks' ports, where the network server sees to that; or 0
    steps: tuple[Step, ...]  # the one under way and those to come
    done: U32  # of how many tasks it is done
    began: Time
    frozen: Time  # when the tasks were held
    report: Report

    def __init__(self, caller: Caller, host: bytes, steps: tuple[Step, ...], began: int) -> None:
        self.caller = caller
        self.host = host
        self.steps = steps
        self.began = self.frozen = began
        self.managers, self.there, self.tasks, self.controls, self.made = [], [], [], [], []
        self.decider = self.decision = self.done = self.pause = 0
        self.report = Report()

    def rights(self) -> list[int]:
        return [self.decider, self.pause, *self.managers, *self.there, *self.tasks, *self.controls, *self.made]


@state
class MigrationManager(NodeServer):
    """The migration manager of a node."""

    __slots__ = ("blocks", "last", "moves")
    name = NAME
    blocks: bool  # it takes no tasks
    moves: dict[U32, Move]  # those under way, by number
    last: U32  # the last one's

    def __init__(self, node: int, host: bytes) -> None:
        super().__init__(node, host)
        self.blocks = False
        self.moves = {}
        self.last = 0

    # What the operator says

    @serves(migration.MIGRATION_BLOCK)
    def _block(self, mach: Mach, request: Message, blocks: int) -> tuple[Any, ...]:
        self.blocks = bool(blocks)
        return ()

    @serves(migration.MIGRATION_STAY)
    def _may_stay(self, mach: Mach, request: Message, task: bytes, stays: int) -> None:
        self._look_up(mach, self._will_stay, process.NAME, self.host, request.caller, task, bool(stays))

    @answered(acs.ACS_LOOK_UP)
    def _will_stay(self, mach: Mach, answer: Answer, caller: Caller, task: bytes, stays: bool) -> None:
        manager = answer.right
        if not manager:
            mach.answer(caller, migration.MIGRATION_STAY, MIG_SERVER_DIED)
            return
        self.ask(mach, self._stays, manager, (task, stays), caller, manager)

    @answered(process_manager.PROCESS_STAY)
    def _stays(self, mach: Mach, answer: Answer, caller: Caller, manager: SendRight) -> None:
        mach.deallocate(manager)
        mach.answer(caller, migration.MIGRATION_STAY, answer.code)

    # A move begins: who is asked, and whether the other node agrees

    @serves(migration.MIGRATION_MOVE)
    def _move(self, mach: Mach, request: Message, task: bytes, host: bytes) -> None:
        self.last = self.last % MOVE_MAX + 1
        self.moves[self.last] = Move(request.caller, host, DIRECT_COPY, mach.now())
        self._look_up(mach, self._manager, MANAGERS[0], self.host, self.last, task)

    def _look_up(self, mach: Mach, then: Callable[..., None], service: bytes, host: bytes, *about: Any) -> None:
        self.ask(mach, then, mach.name_server(), (name_at(service, host),), *about)

    @answered(acs.ACS_LOOK_UP)
    def _manager(self, mach: Mach, answer: Answer, number: U32, task: bytes) -> None:
        move = self.moves[number]
        if not (manager := answer.right):
            self._end(mach, number, report.GIVEN_UP, MIG_SERVER_DIED)
            return
        move.managers.append(manager)
        if len(move.managers) < len(MANAGERS):
            self._look_up(mach, self._manager, MANAGERS[len(move.managers)], self.host, number, task)
        else:
            self.ask(mach, self._found, move.managers[PROCESS], (task,), number)

    @answered(process_manager.PROCESS_FIND)
    def _found(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        if answer.code:
            outcome = NOT_FOUND.get(answer.code, report.GIVEN_UP)
            if outcome == report.STAYS:
                move.report = move.report._replace(reasons=report.STAY_MOVES)
            self._end(mach, number, outcome, answer.code if outcome == report.GIVEN_UP else 0)
            return
        move.tasks = list(map(name_of, answer.results[0]))
        move.report = move.report._replace(tasks=len(move.tasks))
        self._look_up(mach, self._peer, NAME, move.host, number)

    @answered(acs.ACS_LOOK_UP)
    def _peer(self, mach: Mach, answer: Answer, number: U32) -> None:
        if not (peer := answer.right):
            self._end(mach, number, report.NO_SUCH_NODE)
            return
        self.ask(mach, self._offered, peer, _machine(mach), number, peer)

    @serves(migration.MIGRATION_OFFER)
    def _offer(self, mach: Mach, request: Message, cpu_type: int, page_size: int) -> tuple[Any, ...] | None:
        outcome = report.MOVED if (cpu_type, page_size) == _machine(mach) else report.OTHER_MACHINE
        if self.blocks or outcome:
            return report.BLOCKED if self.blocks else outcome, NO_RIGHTS
        self._look_up(mach, self._offering, MANAGERS[0], self.host, request.caller, ())
        return None

    @answered(acs.ACS_LOOK_UP)
    def _offering(self, mach: Mach, answer: Answer, caller: Caller, managers: tuple[Right, ...]) -> None:
        manager = answer.right
        if not manager:
            mach.give_up((each, MOVE_SEND) for each in managers)
            mach.answer(caller, migration.MIGRATION_OFFER, MIG_SERVER_DIED)
            return
        managers = (*managers, manager)
        if len(managers) < len(MANAGERS):
            self._look_up(mach, self._offering, MANAGERS[len(managers)], self.host, caller, managers)
        else:
            mach.answer(caller, migration.MIGRATION_OFFER, 0, (report.MOVED, managers))

    @answered(migration.MIGRATION_OFFER)
    def _offered(self, mach: Mach, answer: Answer, number: U32, peer: SendRight) -> None:
        mach.deallocate(peer)
        outcome, managers = answer.results if answer.results else (report.NO_SUCH_NODE, ())
        if outcome:
            self._end(mach, number, outcome, answer.code)
            return
        self.moves[number].there = list(map(name_of, managers))
        self.ask(mach, self._decides, mach.name_server(), (name_at(DECIDER, self.host),), number)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _decides(self, mach: Mach, answer: Answer, number: U32) -> None:
        self.moves[number].decider = answer.right
        self._begin_step(mach, number)

    # The steps

    def _begin_step(self, mach: Mach, number: int) -> None:
        """Fails where a task of it has ended meanwhile."""
        try:
            self._step(mach, number)
        except KernError as error:
            self._fail(mach, number, error.code)

    def _step(self, mach: Mach, number: int) -> None:
        """Asks for the step under way, of its next task where it is done one by one."""
        move = self.moves[number]
        here, there = move.managers, move.there
        at, lasts = move.done, bool(move.decision)
        match move.steps[0]:
            case Step.PAUSE:
                move.tasks = node_tasks.without_ended(mach, move.tasks)
                self.ask(mach, self._paused, here[IPC], ([mach.copy_send(task) for task in move.tasks],), number)
            case Step.HOLD:
                move.frozen = mach.now()
                tasks, move.tasks = node_tasks.without_ended(mach, move.tasks), []
                self.ask(mach, self._held, here[PROCESS], (tasks,), number)
            case Step.BEGIN if move.decider:
                tasks, move.tasks = move.tasks, []
                controls = [mach.copy_send(task) for task in move.controls]
                self.ask(mach, self._begun, move.decider, (tasks, controls, move.host), number)
            case Step.DECIDE if move.decision:
                made = [mach.copy_send(task) for task in move.made]
                self.ask(mach, self._decided, move.decider, (move.decision, made), number, 0)
            case Step.COPIES if move.decision:
                ahead = _copy(move.controls[at]), _copy(there[IPC]), _copy(move.made[at])
                self.ask(mach, self._ahead, here[IPC], ahead, number)
            case Step.BEGIN | Step.DECIDE | Step.COPIES:
                self._done(mach, number, 0, False)
            case Step.GIVE:
                made = [mach.copy_send(task) for task in move.made]
                self.ask(mach, self._given, here[SPACE], (_copy(move.controls[0]), _copy(there[SPACE]), made), number)
            case Step.PREPARE:
                self.ask(mach, self._prepared, here[PROCESS], (_copy(move.controls[at]), _copy(there[PROCESS])), number)
            case Step.PORTS:
                controls = [mach.copy_send(task) for task in move.controls]
                self.ask(mach, self._gone, here[IPC], (controls, _copy(there[IPC]), _copy(move.made[0]), lasts), number)
            case Step.BIND:
                its = _copy(move.controls[at]), _copy(there[IPC]), _copy(move.made[at]), _copy(move.made[0]), lasts
                self.ask(mach, self._bound, here[IPC], its, number)
            case Step.GO if move.decision:
                self.ask(mach, self._finished, move.decider, (move.decision, WHOLE), number, 0)
            case Step.GO:
                self.ask(mach, self._go_on, there[PROCESS], ([mach.copy_send(task) for task in move.made],), number)
            case Step.COPY:
                controls, made = ([mach.copy_send(task) for task in each] for each in (move.controls, move.made))
                self.ask(mach, self._copied, here[SPACE], (controls, _copy(there[SPACE]), made), number)
            case step:
                then = self._led if step is Step.LEAD else self._moved
                values = _copy(move.controls[at]), _copy(there[PROCESS]), _copy(move.made[at]), lasts
                self.ask(mach, then, here[PROCESS], values, number)

    def _done(self, mach: Mach, number: int, code: int, one_by_one: bool = True) -> None:
        """A step is done, or of one task; or it has failed."""
        move = self.moves[number]
        if code:
            self._fail(mach, number, code)
            return
        move.done += 1
        if not one_by_one or move.done == len(move.controls):
            move.steps, move.done = move.steps[1:], 0
        if move.steps:
            self._begin_step(mach, number)
            return
        now = mach.now()
        move.report = move.report._replace(total_us=(now - move.began) // 1000, freeze_us=(now - move.frozen) // 1000)
        self._end(mach, number, report.MOVED)

    @answered(ipc_manager.IPC_PAUSE)
    def _paused(self, mach: Mach, answer: Answer, number: U32) -> None:
        self.moves[number].pause = answer.right
        self._done(mach, number, answer.code, False)

    @answered(process_manager.PROCESS_HOLD)
    def _held(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        reasons, controls, tasks = answer.results if answer.results else ((), (), ())
        if any(reasons):
            move.report = move.report._replace(reasons=reduce(or_, reasons))
            self._end(mach, number, report.STAYS)
            return
        move.controls, move.tasks = (list(map(name_of, each)) for each in (controls, tasks))
        move.report = move.report._replace(tasks=len(move.controls))
        self._done(mach, number, answer.code, False)

    @answered(decider.DECIDER_BEGIN)
    def _begun(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        reasons, move.decision = answer.results if answer.results else (0, 0)
        move.report = move.report._replace(reasons=reasons)
        if reasons:
            self._undo(mach, number, report.STAYS, 0)
        else:
            self._done(mach, number, answer.code, False)

    @answered(space_manager.SPACE_GIVE)
    def _given(self, mach: Mach, answer: Answer, number: U32) -> None:
        self._done(mach, number, answer.code, False)

    @answered(process_manager.PROCESS_PREPARE)
    def _prepared(self, mach: Mach, answer: Answer, number: U32) -> None:
        self.moves[number].made += map(living, answer.results)
        self._done(mach, number, answer.code)

    @answered(space_manager.SPACE_COPY)
    def _copied(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        if answer.results:
            move.report = move.report._replace(pages=answer.results[0], page_size=_machine(mach)[1])
        self._done(mach, number, answer.code, False)

    @answered(process_manager.PROCESS_LEAD)
    def _led(self, mach: Mach, answer: Answer, number: U32) -> None:
        self._done(mach, number, answer.code)

    @answered(ipc_manager.IPC_COPY)
    def _ahead(self, mach: Mach, answer: Answer, number: U32) -> None:
        self._done(mach, number, answer.code)

    @answered(ipc_manager.IPC_LEAD)
    def _gone(self, mach: Mach, answer: Answer, number: U32) -> None:
        self._done(mach, number, answer.code, False)

    @answered(ipc_manager.IPC_MOVE)
    def _bound(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        if answer.results:
            found = report.dependencies_of(numbers_of(mach.order, answer.results[0]))
            counts = Counter({each[:2]: each.rights for each in move.report.dependencies})
            counts.update({each[:2]: each.rights for each in found})
            told = tuple(Dependency(*which, count) for which, count in sorted(counts.items()))
            move.report = move.report._replace(dependencies=told)
        self._done(mach, number, answer.code)

    @answered(process_manager.PROCESS_MOVE)
    def _moved(self, mach: Mach, answer: Answer, number: U32) -> None:
        self._done(mach, number, answer.code)

    @answered(process_manager.PROCESS_GO)
    def _go_on(self, mach: Mach, answer: Answer, number: U32) -> None:
        mach.give_up((name_of(task), MOVE_SEND) for task in (answer.results[0] if answer.results else ()))
        self._done(mach, number, answer.code, False)

    # Its end

    def _fail(self, mach: Mach, number: int, code: int) -> None:
        """Gives a move up, as far as it can be given up: where somebody else decides that, he may have decided otherwise."""
        move = self.moves[number]
        is_decided = move.steps[0] not in UNDECIDED
        if not move.decision:
            self._undo(mach, number, report.LOST if is_decided else report.GIVEN_UP, code)
        elif is_decided:
            state = PARTED if node_tasks.is_dead(mach, move.there[PROCESS]) else BROKEN
            self.ask(mach, self._finished, move.decider, (move.decision, state), number, code)
        else:
            self.ask(mach, self._decided, move.decider, (move.decision, NO_RIGHTS), number, code)

    @answered(decider.DECIDER_DECIDE)
    def _decided(self, mach: Mach, answer: Answer, number: U32, code: int) -> None:
        """code: why they are not to go, or 0. Where the decider has ended nobody knows where they may go on: they end."""
        move = self.moves[number]
        if not answer.results:
            self._undo(mach, number, report.LOST, answer.code)
        elif not answer.results[0]:
            self._undo(mach, number, report.GIVEN_UP, code)
        else:
            move.steps, move.done = DIRECT_COPY[DIRECT_COPY.index(Step.GIVE) :], 0
            self._begin_step(mach, number)

    @answered(decider.DECIDER_FINISH)
    def _finished(self, mach: Mach, answer: Answer, number: U32, code: int) -> None:
        """The tasks go on there, or what has still to go there can go again, to other names for them."""
        move = self.moves[number]
        has_ended, is_lost, made = answer.results if answer.results else (True, True, NO_RIGHTS)
        if has_ended and not is_lost and not code:
            self._done(mach, number, 0, False)
            return
        mach.give_up((right, MOVE_SEND) for right in move.made)
        move.made = list(map(name_of, made))
        if has_ended:
            self._undo(mach, number, report.LOST if is_lost else report.MOVED, code)
        else:
            mach.give_up((right, MOVE_SEND) for right in move.there)
            move.there = []
            self._look_up(mach, self._manager_there, MANAGERS[0], move.host, number)

    @answered(acs.ACS_LOOK_UP)
    def _manager_there(self, mach: Mach, answer: Answer, number: U32) -> None:
        move = self.moves[number]
        move.there.append(answer.right)
        if len(move.there) < len(MANAGERS):
            self._look_up(mach, self._manager_there, MANAGERS[len(move.there)], move.host, number)
            return
        if move.steps[0] in RIGHTS:
            move.steps, move.done = DIRECT_COPY[DIRECT_COPY.index(Step.COPIES) :], 0
        self._begin_step(mach, number)

    def _undo(self, mach: Mach, number: int, outcome: int, code: int) -> None:
        """What was made elsewhere ends; then the tasks are released, or end where the move is not given up."""
        move = self.moves[number]
        move.steps = ()
        if move.controls:
            self.ask(mach, self._kept, move.managers[SPACE], (_copy(move.controls[0]),), number, outcome, code)
        else:
            self._end(mach, number, outcome, code)

    @answered(space_manager.SPACE_KEEP)
    def _kept(self, mach: Mach, answer: Answer, number: U32, outcome: U32, code: int) -> None:
        self._undo_next(mach, number, outcome, code)

    def _undo_next(self, mach: Mach, number: int, outcome: int, code: int) -> None:
        move = self.moves[number]
        if move.made:
            self.ask(mach, self._destroyed, move.there[PROCESS], (move.made.pop(),), number, outcome, code)
        elif move.controls and outcome in (report.LOST, report.MOVED):
            self.ask(mach, self._destroyed, move.managers[PROCESS], (move.controls.pop(),), number, outcome, code)
        elif move.controls:
            self.ask(mach, self._released, move.managers[PROCESS], (move.controls.pop(),), number, outcome, code)
        else:
            self._end(mach, number, outcome, code)

    @answered(process_manager.PROCESS_DESTROY)
    def _destroyed(self, mach: Mach, answer: Answer, number: U32, outcome: U32, code: int) -> None:
        self._undo_next(mach, number, outcome, code)

    @answered(process_manager.PROCESS_RELEASE)
    def _released(self, mach: Mach, answer: Answer, number: U32, outcome: U32, code: int) -> None:
        self._undo_next(mach, number, outcome, code)

    def _end(self, mach: Mach, number: int, outcome: int, code: int = 0) -> None:
        move = self.moves.pop(number)
        mach.give_up((right, MOVE_SEND) for right in move.rights())
        words = words_of(mach.order, move.report._replace(code=code).words())
        mach.answer(move.caller, migration.MIGRATION_MOVE, 0, (outcome, words))


PROCESS, SPACE, IPC = range(3)
"""Places among MANAGERS."""
NO_RIGHTS: Final = ()
NOT_FOUND: Final = {
    KERN_INVALID_NAME: report.NO_SUCH_TASK, KERN_NAME_EXISTS: report.SEVERAL_TASKS, KERN_INVALID_TASK: report.STAYS,
}  # fmt: skip
"""What PROCESS_FIND's codes mean for a move."""
WHOLE, PARTED, BROKEN = range(3)
"""What the decider is told of the rest of tasks that go, as decider.defs has it."""
MOVE_MAX: Final = 1 << 31
HOST_INFO_MAX: Final = 1024
"""Words that an answer of host_info may have."""


def _copy(right: int) -> PolyPort:
    return PolyPort(right, COPY_SEND)


def _machine(mach: Mach) -> tuple[int, int]:
    """The architecture of this node's machine, as host_info has it, and the bytes of a page."""
    (info,) = mach.call(HOST_INFO, mach.host_self(), HOST_BASIC_INFO, HOST_INFO_MAX)
    (statistics,) = mach.call(VM_STATISTICS, mach.task_self())
    return info[CPU_TYPE], statistics[0]
