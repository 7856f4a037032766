"""Watching a kernel: traps, messages and exceptions as trace events. A kernel that nobody watches does no work for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machemu.abi.errors import InvariantError
from machemu.abi.exception import Raised
from machemu.abi.message import PORT_DEAD, Carried, CarriedMemory, CarriedPort
from machemu.abi.types import VirtAddr
from machemu.core import inspect
from machemu.core.kernel import Kernel
from machemu.core.routines.table import MESSAGES
from machemu.core.traps import PORT_ARGUMENTS, TRAP_COUNT, TRAPS
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.space import Space
from machemu.ipc.thread import IpcThread
from machemu.kern.thread import Continuation, Thread
from machemu.machine.seams import Supervisor, UserFault
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.trace.events import (
    Ended,
    Faulted,
    MemoryRef,
    MessageMoved,
    Noted,
    PageFault,
    Redirected,
    RightRef,
    RightsRef,
    Satisfied,
    TraceEvent,
    Tracer,
    TrapEntered,
    TrapLeft,
    Value,
)
from machemu.trace.ports import PortRef


def watch(kernel: Kernel, tracer: Tracer, faults: Callable[[PageFault], None] | None = None) -> None:
    """From now on a tracer hears of what happens, beside those that do already. May be called at any time, also by a tracer.

    faults: is told of page faults, which no tracer hears of otherwise.
    """
    observer = kernel.observer
    if not isinstance(observer, Observer):
        if observer is not None:
            raise InvariantError("this kernel is watched by something else")
        observer = Observer(kernel)
        observer.install()
    observer.tracers += (tracer,)
    if faults is not None:
        observer.faults += ((tracer, faults),)


def unwatch(kernel: Kernel, tracer: Tracer) -> None:
    """A tracer that was watching hears of nothing more; the others go on. May be called at any time, also by a tracer."""
    observer = kernel.observer
    if not isinstance(observer, Observer) or not any(each is tracer for each in observer.tracers):
        raise InvariantError("this tracer does not watch")
    observer.tracers = tuple(each for each in observer.tracers if each is not tracer)
    observer.faults = tuple(each for each in observer.faults if each[0] is not tracer)
    if not observer.tracers:
        observer.remove()


class Observer:
    """Stands between the CPU and the kernel, and tells tracers what passes. A kernel has one at most. messages: sent so far."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.messages = 0
        self.tracers: tuple[Tracer, ...] = ()
        self.faults: tuple[tuple[Tracer, Callable[[PageFault], None]], ...] = ()
        """Who of them is told of page faults, and how."""
        self._raised = False

    def install(self) -> None:
        self.kernel.observer = self
        self.kernel.ipc.observer = self
        self._enter_by(self)
        self._forget_traps()

    def remove(self) -> None:
        self.kernel.observer = None
        self.kernel.ipc.observer = None
        self._enter_by(self.kernel)

    def _forget_traps(self) -> None:
        """Of the traps that threads are in nothing is known: they were made when nobody watched."""
        for task in self.kernel.kern.tasks.values():
            for thread in task.threads.values():
                thread.trap = None

    def _enter_by(self, entry: Supervisor) -> None:
        self.kernel.entry = entry
        self.kernel.cpu.attach(entry, self.kernel.fast_traps if entry is self.kernel else None)

    def _emit(self, event: TraceEvent) -> None:
        for tracer in self.tracers:
            tracer.emit(event)

    # machine.seams.Supervisor

    def system_call(self, number: int) -> int | None:
        kernel = self.kernel
        thread = kernel.kern.current
        thread.trap = number
        self._entered(thread, number)
        result = kernel.system_call(number)
        outcome = thread.retval if result is None and thread.continuation is None else result
        if outcome is not None:
            self.resumed(thread, outcome)
        return result

    def emulated_call(self, number: int) -> int | None:
        kernel = self.kernel
        thread = kernel.kern.current
        vector = thread.task.eml_dispatch
        handler = vector.handler(-number) if vector is not None else 0
        if not handler:
            return self.system_call(number)
        self._emit(Redirected(*self._at(thread), inspect.trap_name(number), handler))
        return kernel.emulated_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        return self.kernel.fault(address, access) if not self.faults else self._fault(address, access)

    def _fault(self, address: VirtAddr, access: int) -> bool:
        kernel, vm = self.kernel, self.kernel.vm
        thread = kernel.kern.current
        zeros, copies, self._raised = vm.zero_fill_count, vm.cow_faults, False
        goes_on = kernel.fault(address, access)
        if self._raised:
            return goes_on
        how = Satisfied.MAPPED
        if thread.continuation is Continuation.FAULT:
            how = Satisfied.WAITS
        elif vm.cow_faults != copies:
            how = Satisfied.COPY
        elif vm.zero_fill_count != zeros:
            how = Satisfied.ZEROS
        event = PageFault(*self._at(thread), address, access, how)
        for _, tell in self.faults:
            tell(event)
        if goes_on and kernel.stopping is not None:
            kernel.leave()
            return False
        return goes_on

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        return self.kernel.exception(exception, code, subcode)

    def cycles(self) -> int:
        return self.kernel.cycles()

    def print(self, data: bytes) -> None:
        self.kernel.print(data)

    # core.parts.KernelObserver

    def resumed(self, thread: Thread, result: int) -> None:
        number, thread.trap = thread.trap, None
        if number is None:
            return
        kind = TRAPS[number].result if 0 <= number < TRAP_COUNT else "code"
        port = inspect.refer_name(thread.space, result) if kind == "name" and thread.space.active else None
        name = inspect.trap_name(number)
        self._emit(TrapLeft(*self._at(thread), name, result, kind, port))

    def raised(self, thread: Thread, what: Raised) -> None:
        self._raised = True
        self._emit(Faulted(*self._at(thread), *what))

    def noted(self, thread: Thread, what: str) -> None:
        self._emit(Noted(*self._at(thread), what))

    def ended(self, thread: Thread) -> None:
        self._emit(Ended(*self._at(thread)))

    # ipc.subsystem.MessageObserver

    def sent(self, thread: IpcThread | None, kmsg: Kmsg) -> None:
        self.messages += 1
        kmsg.watched = self, self.messages
        self._message(thread, kmsg, True, self.messages)

    def received(self, thread: IpcThread, kmsg: Kmsg) -> None:
        watcher, number = getattr(kmsg, "watched", (None, 0))
        self._message(thread, kmsg, False, number if watcher is self else 0)

    def _at(self, thread: Thread) -> tuple[int, int, str, int]:
        """An event's first values: now, and whose it is."""
        return self.kernel.kern.clock.now(), thread.task.number, thread.task.name, thread.number

    def _entered(self, thread: Thread, number: int) -> None:
        names = TRAPS[number].arguments if 0 <= number < TRAP_COUNT else ()
        try:
            words = self.kernel.trap_arguments(thread, len(names)) if names else ()
        except UserFault:
            words = ()
        arguments: tuple[tuple[str, int | PortRef], ...] = tuple(
            (label, inspect.refer_name(thread.space, word) if label in PORT_ARGUMENTS else word)
            for label, word in zip(names, words, strict=False)
        )
        self._emit(TrapEntered(*self._at(thread), inspect.trap_name(number), arguments))

    def _message(self, thread: IpcThread | None, kmsg: Kmsg, sent: bool, number: int) -> None:
        at = self._at(thread) if isinstance(thread, Thread) else (self.kernel.kern.clock.now(), 0, "", 0)
        space = thread.space if thread is not None else None
        routine, arguments = self._contents(kmsg, space)
        remote, local = inspect.refer_right(kmsg.remote, space), inspect.refer_right(kmsg.local, space)
        size, body_size = kmsg.size, len(kmsg.body)
        self._emit(MessageMoved(*at, sent, kmsg.id, routine, size, body_size, remote, local, arguments, number))

    def _contents(self, kmsg: Kmsg, space: Space | None) -> tuple[str, tuple[tuple[str, Value], ...]]:
        """The routine, "" where the message is of none that is known; and what it holds."""
        known = MESSAGES.get(kmsg.id)
        if known is not None:
            name, message = known
            values = message.matches(self.kernel.ipc.order, kmsg.body, kmsg.carried, kmsg.complex)
            if values is not None:
                return name, tuple((label, value_of(value, space)) for label, value in zip(message.names, values, strict=True))
        return "", tuple(("", carried_of(item, space)) for item in kmsg.carried)


def value_of(value: Any, space: Space | None) -> Value:
    """An argument as a routine has it."""
    if isinstance(value, int) and value is not PORT_DEAD:
        return value
    if isinstance(value, bytes):
        return value
    if isinstance(value, OutOfLine):
        return MemoryRef(value.size)
    if isinstance(value, PolyPort):
        return RightRef(value.disposition, inspect.refer_right(value.port, space))
    if isinstance(value, tuple):
        return tuple(value_of(item, space) for item in value)
    return RightRef(0, inspect.refer_right(value, space))


def carried_of(item: Carried, space: Space | None) -> Value:
    if isinstance(item, CarriedPort):
        return RightRef(item.disposition, inspect.refer_right(item.port, space))
    if isinstance(item, CarriedMemory):
        return MemoryRef(item.size)
    return RightsRef(item.disposition, len(item.ports))
