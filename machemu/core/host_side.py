"""Tasks whose threads run Python on the host: created, and run between their traps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, MustWait, UserError
from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.abi.port import RIGHT_RECEIVE, TYPE_DEAD_NAME, TYPE_PORT_SET, TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.abi.types import ByteOrder
from machemu.abi.vm import VM_PROT_WRITE
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.ipc.thread import MsgContinuation
from machemu.kern import task_control, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.task import Task
from machemu.kern.thread import Continuation, Program, Thread
from machemu.sim import slots
from machemu.sim.graph import StateError
from machemu.sim.state import PortName
from machemu.sim.units import time_text
from machemu.user import faults
from machemu.user.mach import rights
from machemu.user.own import AREA_SIZE
from machemu.user.server import Server
from machemu.user.task import ServerTask
from machemu.user.thread import STARTING, ServerThread
from machemu.vm import routines as vm

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

UNNAMED: Final = (0, 0xFFFFFFFF)
"""MACH_PORT_NULL and MACH_PORT_DEAD."""
DISPOSITIONS: Final = {
    MOVE_RECEIVE: TYPE_RECEIVE,
    MOVE_SEND: TYPE_SEND | TYPE_DEAD_NAME,
    COPY_SEND: TYPE_SEND | TYPE_DEAD_NAME,
    MOVE_SEND_ONCE: TYPE_SEND_ONCE | TYPE_DEAD_NAME,
    MAKE_SEND: TYPE_RECEIVE,
    MAKE_SEND_ONCE: TYPE_RECEIVE,
}
"""What a name must stand for that a message is sent with, by its disposition."""
OWN_PORTS: Final = ("service", "privileged", "reply", "control", "legacy")
"""What a program knows its receive rights as; all else that it knows it can send to."""
MOVES: Final = (MOVE_SEND, MOVE_SEND_ONCE)


def launch(
    kernel: Kernel, server: Server, name: str, rights: Mapping[str, Port] | None = None, *, inherits: bool = False
) -> Task:
    """A task whose threads, as many as the server wants, run it from now on. rights: the ports to which it is given send rights,
    by what it knows them as (`mach.given`). inherits: it begins with what comes to its port `legacy`."""
    task = task_control.create(kernel.kern, None, False, name)
    assert task.map is not None
    shared = ServerTask(server)
    for what, target in (rights or {}).items():
        shared.names[what] = _give(kernel, task, target)
    if inherits:
        shared.names["legacy"] = mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE)
    for _ in range(server.threads):
        thread = thread_control.create(kernel.kern, task)
        assert thread.ith_self is not None
        own = _give(kernel, task, thread.ith_self) if server.threads > 1 else 0
        thread.program = ServerThread(shared, vm.vm_allocate(task.map, 0, AREA_SIZE, True), own)
    thread_control.resume(kernel.kern, next(iter(task.threads.values())))
    return task


def _give(kernel: Kernel, task: Task, target: Port) -> PortName:
    """A send right for a task."""
    return mach_port.copyout_send(kernel.ipc, task.space, ports.make_send(kernel.ipc, target))


def run(kernel: Kernel, thread: Thread, program: Program, deadline: int) -> None:
    """The user mode of a host-side thread: trap after trap, until it has to leave the CPU."""
    kernel.set_limit(deadline)
    kernel.charged = kernel.kern.clock.reading()
    kernel.left = kernel.charged[0] >= kernel.limit
    view = HostSide(kernel, thread, program)
    while not kernel.left:
        if program.owed:
            _pass(kernel, thread, program)
            break
        if program.number:
            number, program.number = program.number, 0
            _trap(kernel, thread, program, number)
            continue
        result, thread.retval = thread.retval, None
        kernel.in_handler = True
        try:
            number = program.next(view, thread.memory, result)
        except MustWait as wait:
            thread.retval = result
            kernel.kern.wait(thread, Continuation.FAULT, wait)
            break
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit in a server ends no machine either
            if view.fault is not None:
                raise view.fault from None
            raise _fault(kernel, thread, program, error) from error
        finally:
            kernel.in_handler = False
        if program.owed:
            program.number = number
        else:
            _trap(kernel, thread, program, number)
    kernel.charge_time()
    kernel.charged = None


def _trap(kernel: Kernel, thread: Thread, program: Program, number: int) -> None:
    try:
        result = kernel.entry.system_call(number)
    except Exception as error:
        if _are_words(program.arguments):
            raise
        raise _fault(kernel, thread, program, error) from error
    if result is not None:
        thread.retval = result


def _pass(kernel: Kernel, thread: Thread, program: Program) -> None:
    """Lets time pass that a program's work takes, a tick at most: then others may have the CPU."""
    ns = program.owed if program.owed < TICK_NS else TICK_NS
    program.owed -= ns
    assert kernel.charged is not None
    began, executed = kernel.charged
    kernel.charged = began + ns, executed  # the thread's own time, not the kernel's
    thread.user_time += ns
    kernel.kern.clock.base += ns


def _are_words(arguments: tuple[int, ...]) -> bool:
    """Whether a trap's arguments are such as a guest's could be."""
    return all(isinstance(argument, int) and 0 <= argument < 1 << 32 for argument in arguments)


def _fault(kernel: Kernel, thread: Thread, program: Program, error: BaseException) -> UserError:
    """A server has raised what no handler may raise: told to its author."""
    where = faults.handler(error)
    what = faults.raised(error, getattr(program, "server", None))
    return UserError(f"{_whose(kernel, thread)}: {f'{where}: ' if where else ''}{what}")


def _whose(kernel: Kernel, thread: Thread) -> str:
    return f"at {time_text(kernel.kern.clock.now())}: server {thread.task.name} (task {thread.task.number})"


def unsaved(kernel: Kernel, error: StateError) -> UserError | None:
    """What cannot be saved, told to the author of the server that has it; None where no server of this kernel has it."""
    for thread, program in pairwise(error.chain):
        if isinstance(thread, Thread) and isinstance(program, ServerThread) and thread.task.number in kernel.kern.tasks:
            if kernel.kern.tasks[thread.task.number] is not thread.task:
                continue
            place = faults.class_line(error.owner, error.slot)
            return UserError(f"{_whose(kernel, thread)} cannot be saved: {error} {place}".rstrip())
    return None


def check(kernel: Kernel) -> None:
    """InvariantError where what a host-side program holds cannot be in this machine: its memory, and the names of its rights."""
    for task in (task for task in kernel.kern.tasks.values() if task.active):
        threads = [(thread, program) for thread in task.threads.values() if isinstance(program := thread.program, ServerThread)]
        for thread, program in threads:
            _check_area(task, program)
            if not program.may_get(_result(thread)):
                raise InvariantError(f"a host-side program of task {task.number} cannot have got {_result(thread):#x}")
            if thread.ith_wait is not None and thread.ith_args != program.arguments:
                raise InvariantError(f"a host-side program of task {task.number} waits in another trap than it made")
            if program.task is not threads[0][1].task:
                raise InvariantError(f"host-side programs of task {task.number} share nothing")
        if threads:
            is_starting = any(program.phase in STARTING for _, program in threads)
            _check_own_names(kernel, task, threads[0][1].task, is_starting)
            _check_rights(task, threads, is_starting)


def _result(thread: Thread) -> int:
    """What the last trap of a thread says, as far as that is known."""
    woken = thread.ith_wait is MsgContinuation.RECEIVE and thread.ith_queue is None
    return thread.ith_state if woken else thread.retval or 0


def _check_own_names(kernel: Kernel, task: Task, shared: ServerTask, is_starting: bool) -> None:
    """What it receives from is there and in no set, and the names that a task begins with stand for what they say."""
    sources = [shared.names["reply"]] if "reply" in shared.names else []
    if not is_starting:
        sources.append(shared.port)
    for name in sources:
        entry = task.space.lookup(name)
        if entry is None or not entry.type & (TYPE_RECEIVE | TYPE_PORT_SET):
            raise InvariantError(f"a host-side program of task {task.number} receives from nothing")
        if isinstance(entry.object, Port) and entry.object.pset is not None:
            raise InvariantError(f"a host-side program of task {task.number} receives from a port that is in a set")
    for _, entry in task.space.entries():
        if entry.type & TYPE_RECEIVE and isinstance(entry.object, Port) and entry.object.payload is not None:
            raise InvariantError(f"a host-side program of task {task.number} gets a payload, and not its name, for a port")
    host = kernel.kern.host
    known = {"task": task.itk_self, "host": host.host_self, "host-port": host.host_priv_self}
    known["device-port"] = kernel.devices.master_port
    for what, name in shared.names.items():
        entry = task.space.lookup(name)
        if what in known and (entry is None or entry.object is not known[what]):
            raise InvariantError(f"a host-side program of task {task.number} knows another port as {what}")
        wanted = TYPE_RECEIVE if what in OWN_PORTS else TYPE_SEND | TYPE_DEAD_NAME
        if entry is None or not entry.type & wanted:
            raise InvariantError(f"a host-side program of task {task.number} has no such right as {what}")


def _check_rights(task: Task, threads: list[tuple[Thread, ServerThread]], is_starting: bool) -> None:
    """What its slots and the messages that it sends name is there. What it gives away it has as often as it gives it away.

    What one of several threads is still to send another's handler may have given up: that send will fail.
    """
    thread, program = threads[0]
    given = Counter(set(program.task.names.values()))
    outbox = list(program.outbox) if len(program.task.threads) == 1 else []
    for part in (program.task, *(each for _, each in threads), *slots.parts([program.server, outbox])):
        for place, name, value in slots.names_in(part):
            entry = task.space.lookup(value)
            unset = value in UNNAMED and (is_starting or (name.optional and name.types != TYPE_PORT_SET))
            if not unset and (entry is None or not entry.type & name.types):
                raise InvariantError(f"{place} is {value}, which names no such right of task {task.number}")
            given[value] += name.owns
    for outgoing in outbox[program.has_sent(_result(thread)) :]:
        for value, disposition in rights(outgoing.message):
            entry = task.space.lookup(value)
            if entry is None or not entry.type & DISPOSITIONS.get(disposition, 0):
                raise InvariantError(f"a host-side program of task {task.number} sends with a right that it has not")
            given[value] += disposition in MOVES
    for value, times in given.items():
        entry = task.space.lookup(value)
        if entry is not None and times > max(entry.urefs, 1):
            raise InvariantError(f"a host-side program of task {task.number} gives the right {value} away {times} times")


def _check_area(task: Task, program: ServerThread) -> None:
    """Its memory is there, as it was allocated."""
    address, end = program.area, program.area + program.size
    while address < end:
        entry = None if task.map is None else task.map.lookup(address)
        if entry is None or not entry.protection & VM_PROT_WRITE:
            raise InvariantError(f"a host-side program of task {task.number} does not have the memory that it says")
        address = entry.end


class HostSide:
    """user.own.Kernel for the thread that runs. fault: what a trap of it raised that is no fault of the server's."""

    def __init__(self, kernel: Kernel, thread: Thread, program: Program) -> None:
        self._kernel = kernel
        self._thread = thread
        self._program = program
        self.order: ByteOrder = kernel.cpu.order
        self.fault: Exception | None = None

    def trap(self, number: int, arguments: tuple[int, ...]) -> int:
        thread = self._thread
        self._program.arguments = arguments
        try:
            result = self._kernel.entry.system_call(number)
        except Exception as error:
            if _are_words(arguments):
                self.fault = error
            raise
        if result is None:
            result, thread.retval = thread.retval, None
            if thread.continuation is not None or result is None:
                raise InvariantError(f"a host-side thread waits in trap {number} inside a handler")
        return result

    def now(self) -> int:
        return self._kernel.kern.clock.now()

    def work(self, handlers: int, messages: int, size: int) -> None:
        kernel = self._kernel
        self._program.owed += handlers * kernel.handler_ns + messages * kernel.message_ns + size * kernel.byte_ns
        _pass(kernel, self._thread, self._program)

    def note(self, what: str) -> None:
        if self._kernel.observer is not None:
            self._kernel.observer.noted(self._thread, what)
