"""The process manager of a node: finds tasks, holds them, and moves their threads and kernel ports.

A task that is held is reached by its control port alone, of which the managers know it. Nothing of it goes to the other node
before `process_move`; until then `process_release` lets it go on here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_NAME, KERN_INVALID_TASK, KERN_NAME_EXISTS
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.abi.migrate import STAY_HOST_SIDE
from machemu.mig.interfaces.mach import (
    TASK_CREATE,
    TASK_SET_EMULATION_VECTOR,
    TASK_TERMINATE,
    THREAD_CREATE,
)
from machemu.mig.interfaces.mach_migrate import (
    TASK_ADOPT,
    TASK_FREEZE,
    TASK_GET_ACCOUNT,
    TASK_GET_FAMILY,
    TASK_IDENTIFY,
    TASK_SET_ACCOUNT,
    TASK_SET_IDENTITY,
    TASK_SURRENDER,
    TASK_THAW,
    THREAD_GET_ACCOUNT,
    THREAD_GET_CONTEXT,
    THREAD_GET_WAIT,
    THREAD_SET_ACCOUNT,
    THREAD_SET_CONTEXT,
)
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U32, PortName, Receive, Right, SendRight, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import NULL_NAME, Caller, Message, living, name_of
from masix.interfaces import process_manager as process
from masix.migration import held as held_tasks
from masix.migration import lasting, node_tasks, pieces, report
from masix.migration.held import MOVES, REPLIES, Held, Wait
from masix.migration.node_server import NodeServer
from masix.migration.state import NO_REPLY, TaskState, ThreadState, numbers_of, pack, pack_tasks, unpack, words_of

NAME: Final = b"process"
NAMES_MAX: Final = 6000
"""Of the tasks of a family: network servers refuse to keep more of what one sender sends."""


@state
class Starting(NamedTuple):
    """Tasks that go on. caller: who waits until they do. tasks: rights to them, null for one that has ended. left: how many have
    still to."""

    caller: Caller
    tasks: tuple[Right, ...]
    left: U32


@state
class ProcessManager(NodeServer):
    """The process manager of a node."""

    __slots__ = ("come", "going", "held", "made", "sources", "starts", "staying")
    name = NAME
    held: dict[Right, Held]  # tasks that may move away, by their control ports
    made: dict[Right, tuple[Receive, ...]]  # tasks that have been made for others that are to come: where exceptions are answered
    come: dict[Right, Held]  # what has come for those, all but what is set already
    sources: dict[Right, SendRight]  # of those and these: the process manager that moves each, which they do not outlive, if any
    staying: dict[SendRight, None]  # tasks that have to stay
    going: dict[U32, Starting]  # by a number of its own
    starts: U32  # the last one

    def __init__(self, node: int, host: bytes) -> None:
        super().__init__(node, host)
        self.held = {}
        self.made = {}
        self.come = {}
        self.sources = {}
        self.staying = {}
        self.going = {}
        self.starts = 0

    # Tasks that go

    @serves(process.PROCESS_FIND)
    def _find(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...]:
        (family,) = mach.call(TASK_GET_FAMILY, mach.given("host-port"), self._named(mach, name))
        if not all(map(living, family)):
            mach.give_up((name_of(task), MOVE_SEND) for task in family)
            raise KernError(KERN_INVALID_TASK)
        return (family,)

    def _named(self, mach: Mach, name: bytes) -> PortName:
        """A right to the task of a number or a name, which is the caller's. Raises what PROCESS_FIND answers."""
        own = list(node_tasks.of_node(mach))
        told = {task: node_tasks.identity(mach, task) for task in (*self.held, *own)}
        found = [task for task, its in told.items() if name == b"%d" % its.number]
        found = found or [task for task, its in told.items() if name == its.name]
        mach.give_up((task, MOVE_SEND) for task in own if found != [task])
        if len(found) != 1:
            raise KernError(KERN_NAME_EXISTS if found else KERN_INVALID_NAME)
        if found[0] in self.held:
            raise KernError(KERN_INVALID_TASK)
        return found[0]

    @serves(process.PROCESS_STAY)
    def _may_stay(self, mach: Mach, request: Message, name: bytes, stays: int) -> tuple[Any, ...]:
        task = self._named(mach, name)
        if stays and task not in self.staying:
            self.staying[task] = None
            mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
            return ()
        if not stays and task in self.staying:
            del self.staying[task]
            mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
            mach.deallocate(task)
        mach.deallocate(task)
        return ()

    @serves(process.PROCESS_LIST)
    def _list(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        own = list(node_tasks.of_node(mach))
        told = [node_tasks.identity(mach, task) for task in (*self.held, *self.made, *self.come, *own)]
        mach.give_up((task, MOVE_SEND) for task in own)
        data = pack_tasks(mach.order, [(each.number, each.name) for each in told if not each.is_host_side])
        return (OutOfLine(data, len(data)),)

    @serves(process.PROCESS_HOLD)
    def _hold(self, mach: Mach, request: Message, tasks: Sequence[Any]) -> tuple[Any, ...]:
        frozen: list[PortName] = []
        reasons: list[int] = []
        family = node_tasks.without_ended(mach, list(map(name_of, tasks)))
        if any(node_tasks.is_gone(mach, task) for task in family):
            return self._refused(mach, family, report.STAY_MOVES)
        if mach.task_self() in family:
            return self._refused(mach, family, STAY_HOST_SIDE)
        try:
            while len(frozen) < len(family):
                reasons += mach.call(TASK_FREEZE, mach.given("host-port"), PolyPort(family[len(frozen)], COPY_SEND))
                frozen.append(family[len(frozen)])
                if len(frozen) == len(family):
                    family += node_tasks.joined(mach, family)
        except KernError:
            self._thaw(mach, frozen)
            return self._refused(mach, family, report.STAY_MOVES)
        if sum(node_tasks.names(mach, task) for task in frozen) > NAMES_MAX:
            reasons[0] |= report.STAY_RIGHTS
        if any(task in self.staying for task in frozen):
            reasons[0] |= report.STAY_OPERATOR
        if any(reasons):
            self._thaw(mach, frozen)
            return self._refused(mach, frozen, *reasons)
        controls = [mach.copy_send(self._take(mach, task)) for task in frozen]
        return ([], controls, [mach.make_send(self.held[control].own) for control in controls])

    @staticmethod
    def _refused(mach: Mach, tasks: Sequence[PortName], *reasons: int) -> tuple[Any, ...]:
        mach.give_up((task, MOVE_SEND) for task in tasks)
        return (reasons, (), ())

    def _thaw(self, mach: Mach, tasks: Iterable[PortName]) -> None:
        """Of tasks of which nothing has been taken: it waits for nothing."""
        for task in tasks:
            mach.call(TASK_THAW, task)

    def _take(self, mach: Mach, task: PortName) -> PortName:
        """Takes what a frozen task has of the kernel's; its control port. Consumes the right to the task."""
        _, _, name = mach.call(TASK_IDENTIFY, task)
        control, own, threads, replies = mach.call(TASK_SURRENDER, task)
        mach.deallocate(task)
        waits = []
        for thread in node_tasks.threads(mach, control):
            words, data, reply = mach.call(THREAD_GET_WAIT, thread)
            waits.append(Wait(tuple(words), bytes(data.copy or b""), living(reply.port), reply.disposition))
            mach.deallocate(thread)
        answering = {place: name_of(reply) for place, reply in enumerate(replies) if reply is not None}
        its = tuple(map(name_of, threads))
        self.held[name_of(control)] = Held(name, name_of(own), its, answering, tuple(waits))
        mach.notify(name_of(control), MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        return name_of(control)

    @serves(process.PROCESS_RELEASE)
    def _release(self, mach: Mach, request: Message, control: Any) -> None:
        held = self._held(control)
        for thread, wait in zip(node_tasks.threads(mach, control), held.waits, strict=True):
            held_tasks.set_wait(mach, thread, wait)
        own = self._adopt(mach, control, held)
        del self.held[control]
        self.ask(mach, self._released, own, (), request.caller, own)

    def _held(self, control: Any, *others: Any) -> Held:
        """KERN_INVALID_ARGUMENT where it is not held, or one of the other rights is null."""
        if living(control) not in self.held or None in others:
            raise KernError(KERN_INVALID_ARGUMENT)
        return self.held[control]

    @serves(process.PROCESS_PREPARE)
    def _prepare(self, mach: Mach, request: Message, control: Any, there: Any) -> None:
        held = self._held(control, there)
        values = held.name, len(held.threads), PolyPort(self.service, COPY_SEND)
        self.ask(mach, self._prepared, name_of(there), values, request.caller, control, name_of(there))

    @answered(process.PROCESS_CREATE)
    def _prepared(self, mach: Mach, answer: Answer, caller: Caller, control: Right, there: Right) -> None:
        mach.give_up(((control, MOVE_SEND), (there, MOVE_SEND)))
        mach.answer(caller, process.PROCESS_PREPARE, answer.code, answer.results)

    @serves(process.PROCESS_LEAD)
    def _lead(self, mach: Mach, request: Message, control: Any, there: Any, made: Any, lasts: int) -> None:
        """Rights to these ports, which the task itself and whoever handles its exceptions have, can follow them then."""
        held = self._held(control, there, made)
        if held.have_gone:
            mach.give_up((name, MOVE_SEND) for name in (control, there, made))
            mach.reply(request, process.PROCESS_LEAD, 0)
            return
        if lasts:
            ports = lasting.lend(mach, held.ports(), self.notices)
        else:
            ports = held.ports()
            self.held[control] = held._replace(have_gone=True)
        self.ask(mach, self._led, name_of(there), (made, ports), request.caller, control, name_of(there))

    @answered(process.PROCESS_TAKE_PORTS)
    def _led(self, mach: Mach, answer: Answer, caller: Caller, control: Right, there: Right) -> None:
        held = self.held.get(control)
        if held is not None and not held.have_gone and not answer.code:
            lasting.end(mach, held.ports())
            self.held[control] = held._replace(have_gone=True)
        mach.give_up(((control, MOVE_SEND), (there, MOVE_SEND)))
        mach.answer(caller, process.PROCESS_LEAD, answer.code)

    @serves(process.PROCESS_MOVE)
    def _move(self, mach: Mach, request: Message, control: Any, there: Any, made: Any, lasts: int) -> None:
        held = self._held(control, there, made)
        data = pack(mach.order, self._state(mach, control, held))
        sends, onces = ([wait.reply for wait in held.waits if wait.reply and wait.disposition == kind] for kind in REPLIES)
        if lasts:
            sends = [lasting.another(mach, name) for name in sends]
            waits = [wait._replace(reply=0) if wait.reply in onces else wait for wait in held.waits]
            self.held[control] = held._replace(waits=tuple(waits))
        else:
            del self.held[control]
        values = (made, OutOfLine(data, len(data)), sends, onces)
        self.ask(mach, self._moved, name_of(there), values, request.caller, control, name_of(there))

    @staticmethod
    def _state(mach: Mach, control: PortName, held: Held) -> TaskState:
        threads = []
        for place, (thread, wait) in enumerate(zip(node_tasks.threads(mach, control), held.waits, strict=True)):
            (account,) = mach.call(THREAD_GET_ACCOUNT, thread)
            (context,) = mach.call(THREAD_GET_CONTEXT, thread)
            mach.deallocate(thread)
            reply = 1 + REPLIES.index(wait.disposition) if wait.reply else NO_REPLY
            threads.append(
                ThreadState(
                    numbers_of(mach.order, account), bytes(context.copy), wait.words, wait.data, reply, place in held.replies
                )
            )
        (account,) = mach.call(TASK_GET_ACCOUNT, control)
        return TaskState(numbers_of(mach.order, account), node_tasks.vector(mach, control), tuple(threads))

    @answered(process.PROCESS_BECOME)
    def _moved(self, mach: Mach, answer: Answer, caller: Caller, control: Right, there: Right) -> None:
        """What is left here is an empty task. Where the other node did not take it, and it does not last, it is gone: its rights
        were under way."""
        if answer.code and control in self.held:
            mach.give_up(((control, MOVE_SEND), (there, MOVE_SEND)))
        else:
            self._lose(mach, control)
            with suppress(KernError):  # it may have ended
                mach.call(TASK_TERMINATE, control)
            mach.give_up(((control, MOVE_SEND), (control, MOVE_SEND), (there, MOVE_SEND)))
        mach.answer(caller, process.PROCESS_MOVE, answer.code)

    # Tasks that come

    @serves(process.PROCESS_CREATE)
    def _create(self, mach: Mach, request: Message, name: bytes, threads: int, source: Any) -> tuple[Any, ...]:
        """Who was told of the new task by its kernel has a port that dies."""
        if not living(source) or threads > NAMES_MAX:
            raise KernError(KERN_INVALID_ARGUMENT)
        (task,) = mach.call(TASK_CREATE, mach.task_self(), False)
        try:
            for _ in range(threads):
                (thread,) = mach.call(THREAD_CREATE, task)
                mach.deallocate(thread)
            mach.call(TASK_FREEZE, mach.given("host-port"), PolyPort(task, COPY_SEND))
        except KernError:
            mach.call(TASK_TERMINATE, task)
            mach.deallocate(task)
            raise
        control, own, its, _ = mach.call(TASK_SURRENDER, task)
        mach.call(TASK_SET_IDENTITY, mach.given("host-port"), PolyPort(control, COPY_SEND), name)
        mach.deallocate(task)
        mach.give_up((name_of(port), MOVE_RECEIVE) for port in (own, *its))
        self.made[control] = ()
        self.sources[control] = name_of(source)
        for right in (control, source):
            mach.notify(right, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        return (mach.copy_send(control),)

    @serves(process.PROCESS_DESTROY)
    def _destroy(self, mach: Mach, request: Message, task: Any) -> tuple[Any, ...]:
        if not self._lose(mach, living(task)):
            raise KernError(KERN_INVALID_ARGUMENT)
        mach.call(TASK_TERMINATE, task)
        mach.give_up(((task, MOVE_SEND), (task, MOVE_SEND)))
        return ()

    def _lose(self, mach: Mach, task: PortName) -> bool:
        """Gives up what it keeps of a task that is held or comes, which is to end; whether it keeps anything."""
        if task in self.held:
            held = self.held.pop(task)
            self._drop(mach, held)
            mach.give_up((wait.reply, MOVES[wait.disposition]) for wait in held.waits if wait.reply)
        elif task in self.come:
            self._drop(mach, self.come.pop(task))
            self._leave(mach, task)
        elif task in self.made:
            mach.give_up((reply, MOVE_RECEIVE) for reply in self.made.pop(task))
            self._leave(mach, task)
        else:
            return False
        return True

    @serves(process.PROCESS_KEEP)
    def _keep(self, mach: Mach, request: Message, made: Sequence[Any]) -> tuple[Any, ...]:
        tasks = list(map(living, made))
        if any(task not in self.made for task in tasks):
            raise KernError(KERN_INVALID_ARGUMENT)
        for task in tasks:
            self._leave(mach, task)
            mach.deallocate(task)
        return ()

    def _leave(self, mach: Mach, task: PortName) -> None:
        """A task has come, comes no more, or is another server's to end: it needs nobody's source."""
        source = self.sources.pop(task, NULL_NAME)
        if source == NULL_NAME:
            return
        if source not in self.sources.values():
            with suppress(KernError):  # it may have died meanwhile
                mach.notify(source, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
        mach.deallocate(source)

    def died(self, mach: Mach, name: PortName) -> None:
        """A task has ended, or who moves tasks to here: those that it has not brought whole end, too."""
        if name in self.staying:
            del self.staying[name]
            mach.deallocate(name)
        elif self._lose(mach, name):
            mach.deallocate(name)
        for task in [task for task, source in self.sources.items() if source == name]:
            self._lose(mach, task)
            with suppress(KernError):  # it may have ended, too
                mach.call(TASK_TERMINATE, task)
            mach.deallocate(task)

    @staticmethod
    def _drop(mach: Mach, held: Held) -> None:
        """The ports of a task that ends, if they are here."""
        if not held.have_gone:
            lasting.end(mach, held.ports())

    @serves(process.PROCESS_TAKE_PORTS)
    def _take_ports(self, mach: Mach, request: Message, made: Any, ports: Sequence[Any]) -> tuple[Any, ...]:
        """They may be dead by now; what was here already, and has not died on its way, stays. One that is null is lost."""
        its = self.made.get(living(made), ())
        if living(made) not in self.made or not ports or (its and len(its) != len(ports)):
            raise KernError(KERN_INVALID_ARGUMENT)
        if any(port is None for port in ports) and not its:
            raise KernError(KERN_INVALID_ARGUMENT)
        lasting.arrived(mach, ports)
        names = tuple(map(name_of, ports))
        self.made[made], spare = pieces.merged(its, names) if its else (names, ())
        mach.give_up((port, MOVE_RECEIVE) for port in spare)
        mach.deallocate(made)
        return ()

    @serves(process.PROCESS_BECOME)
    def _become(
        self, mach: Mach, request: Message, made: Any, data: OutOfLine, sends: Sequence[Any], onces: Sequence[Any]
    ) -> None:
        """Whatever becomes of it, the rights are used up. It may have become so already."""
        if living(made) in self.come:
            kinds = (sends, MOVE_SEND), (onces, MOVE_SEND_ONCE)
            mach.give_up((name_of(right), kind) for rights, kind in kinds for right in rights)
            mach.deallocate(made)
            mach.reply(request, process.PROCESS_BECOME, 0)
            return
        if living(made) not in self.made:
            raise KernError(KERN_INVALID_ARGUMENT)
        receives = self.made.pop(made)
        try:
            told = unpack(mach.order, bytes(data.copy or b""))  # type: ignore[call-overload]
            held = held_tasks.told_of(told, receives, sends, onces)
            self._set(mach, made, told, held)
            self.come[made] = held
            mach.deallocate(made)
            mach.reply(request, process.PROCESS_BECOME, 0)
        except (KernError, ValueError) as error:
            self._leave(mach, made)
            mach.give_up((name_of(port), MOVE_RECEIVE) for port in receives)
            mach.call(TASK_TERMINATE, made)
            mach.give_up(((made, MOVE_SEND), (made, MOVE_SEND)))
            mach.reply(request, None, error.code if isinstance(error, KernError) else KERN_INVALID_ARGUMENT)

    @serves(process.PROCESS_GO)
    def _go(self, mach: Mach, request: Message, made: Sequence[Any]) -> None:
        """No task runs before the others' ports are the kernel's again: it may name them to that."""
        tasks = list(map(living, made))
        if not tasks or len({*tasks}) != len(tasks) or any(task not in self.come for task in tasks):
            raise KernError(KERN_INVALID_ARGUMENT)
        owns: list[PortName] = []
        for task in tasks:
            try:
                owns.append(self._adopt(mach, task, self.come[task]))
            except KernError:  # a port of its own has died: so does it
                owns.append(NULL_NAME)
                self._drop(mach, self.come[task])
                mach.give_up([(self.come[task].own, MOVE_SEND)])
                mach.call(TASK_TERMINATE, task)
                mach.give_up(((task, MOVE_SEND), (task, MOVE_SEND)))
            del self.come[task]
            self._leave(mach, task)
        if not any(owns):
            mach.reply(request, process.PROCESS_GO, KERN_FAILURE)
            return
        self.starts = self.starts % GOING_MAX + 1
        self.going[self.starts] = Starting(request.caller, tuple(owns), sum(map(bool, owns)))
        for own in filter(None, owns):
            self.ask(mach, self._goes, own, (), self.starts)

    @answered(TASK_THAW)
    def _goes(self, mach: Mach, answer: Answer, number: U32) -> None:
        """One that has ended meanwhile has nothing to go on with."""
        starting = self.going.pop(number)
        left = starting.left - 1
        if left:
            self.going[number] = starting._replace(left=left)
        else:
            mach.answer(starting.caller, process.PROCESS_GO, 0, (starting.tasks,))

    @staticmethod
    def _set(mach: Mach, made: PortName, told: TaskState, held: Held) -> None:
        """Gives an empty task all but its ports."""
        host = mach.given("host-port")
        for thread, its, wait in zip(node_tasks.threads(mach, made), told.threads, held.waits, strict=True):
            mach.call(THREAD_SET_ACCOUNT, host, PolyPort(thread, COPY_SEND), words_of(mach.order, its.account))
            mach.call(THREAD_SET_CONTEXT, host, PolyPort(thread, COPY_SEND), OutOfLine(its.context, len(its.context)))
            held_tasks.set_wait(mach, thread, wait)
        mach.call(TASK_SET_ACCOUNT, host, PolyPort(made, COPY_SEND), words_of(mach.order, told.account))
        if told.vector:
            first, *handlers = told.vector
            mach.call(TASK_SET_EMULATION_VECTOR, made, first, words_of(mach.order, handlers))

    def _adopt(self, mach: Mach, control: PortName, held: Held) -> PortName:
        """The task takes its own ports in the place of `control`: a right to it. Consumes two rights to `control`."""
        own = mach.make_send(held.own)
        replies = [held.replies.get(place, NULL_NAME) for place in range(len(held.threads))]
        mach.call(TASK_ADOPT, mach.given("host-port"), PolyPort(control, COPY_SEND), held.own, held.threads, replies)
        mach.give_up(((control, MOVE_SEND), (control, MOVE_SEND)))
        return own

    @answered(TASK_THAW)
    def _released(self, mach: Mach, answer: Answer, caller: Caller, task: Right) -> None:
        mach.deallocate(task)
        mach.answer(caller, process.PROCESS_RELEASE, answer.code)


GOING_MAX: Final = 1 << 31
