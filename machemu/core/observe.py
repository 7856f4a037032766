"""Watching a kernel: traps, messages and exceptions as trace events. A kernel that nobody watches does no work for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from machemu.abi.message import PORT_DEAD, Carried, CarriedMemory, CarriedPort, CarriedPorts, TypeName
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL
from machemu.abi.types import VirtAddr
from machemu.core import inspect
from machemu.core.kernel import Kernel
from machemu.core.routines.table import MESSAGES
from machemu.core.traps import PORT_ARGUMENTS, TRAP_COUNT, TRAPS
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.ipc.thread import IpcThread
from machemu.kern.thread import Thread
from machemu.machine.protocols import UserFault
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.trace.events import Ended, Faulted, MessageMoved, Noted, PortRef, Redirected, Tracer, TrapEntered, TrapLeft

TEXT_MAX: Final = 48
NUMBERS_MAX: Final = 8
RIGHTS: Final = {int(kind): kind.name.lower().replace("move_", "").replace("_", "-") for kind in TypeName}


class Observer:
    """Stands between the CPU and the kernel and tells a tracer what passes."""

    def __init__(self, kernel: Kernel, tracer: Tracer) -> None:
        self.kernel = kernel
        self.tracer = tracer

    def start(self) -> None:
        """Watches from now on."""
        self.kernel.observer = self
        self.kernel.ipc.observer = self
        self.kernel.entry = self
        self.kernel.cpu.attach(self)

    # machine.protocols.Supervisor

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
        self.tracer.emit(Redirected(self._now(), thread.task.number, thread.number, inspect.trap_name(number), handler))
        return kernel.emulated_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        return self.kernel.fault(address, access)

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        return self.kernel.exception(exception, code, subcode)

    # core.kernel.KernelObserver

    def resumed(self, thread: Thread, result: int) -> None:
        number, thread.trap = thread.trap, None
        if number is None:
            return
        kind = TRAPS[number].result if 0 <= number < TRAP_COUNT else "code"
        port = inspect.describe_name(thread.space, result) if kind == "name" and thread.space.active else None
        name = inspect.trap_name(number)
        self.tracer.emit(TrapLeft(self._now(), thread.task.number, thread.number, name, result, kind, port))

    def raised(self, thread: Thread, what: tuple[int, int, int]) -> None:
        self.tracer.emit(Faulted(self._now(), thread.task.number, thread.number, *what))

    def noted(self, thread: Thread, what: str) -> None:
        self.tracer.emit(Noted(self._now(), thread.task.number, thread.number, what))

    def ended(self, thread: Thread) -> None:
        self.tracer.emit(Ended(self._now(), thread.task.number, thread.number))

    # ipc.subsystem.MessageObserver

    def sent(self, thread: IpcThread | None, kmsg: Kmsg) -> None:
        self._message(thread, kmsg, True)

    def received(self, thread: IpcThread, kmsg: Kmsg) -> None:
        self._message(thread, kmsg, False)

    def _now(self) -> int:
        return self.kernel.kern.clock.now()

    def _entered(self, thread: Thread, number: int) -> None:
        names = TRAPS[number].arguments if 0 <= number < TRAP_COUNT else ()
        try:
            words = self.kernel.trap_arguments(thread, len(names)) if names else ()
        except UserFault:
            words = ()
        arguments: tuple[tuple[str, int | PortRef], ...] = tuple(
            (label, inspect.describe_name(thread.space, word) if label in PORT_ARGUMENTS else word)
            for label, word in zip(names, words, strict=False)
        )
        self.tracer.emit(TrapEntered(self._now(), thread.task.number, thread.number, inspect.trap_name(number), arguments))

    def _message(self, thread: IpcThread | None, kmsg: Kmsg, sent: bool) -> None:
        task_number, thread_number = (thread.task.number, thread.number) if isinstance(thread, Thread) else (0, 0)
        space = thread.space if thread is not None else None
        name, items = self._contents(kmsg, space)
        remote, local = describe_right(kmsg.remote, space), describe_right(kmsg.local, space)
        self.tracer.emit(
            MessageMoved(self._now(), task_number, thread_number, sent, kmsg.id, name, kmsg.size, remote, local, items)
        )

    def _contents(self, kmsg: Kmsg, space: Space | None) -> tuple[str, tuple[str, ...]]:
        """What the message is called and what it holds: arguments by name where its form is known, else what it carries."""
        known = MESSAGES.get(kmsg.id)
        if known is not None:
            name, message = known
            values = message.matches(self.kernel.ipc.order, kmsg.body, kmsg.carried, kmsg.complex)
            if values is not None:
                pairs = zip(message.names, values, strict=True)
                return name, tuple(f"{label}={value_text(value, space)}" for label, value in pairs)
        size = len(kmsg.body)
        return f"message {kmsg.id}", (*([f"{size} bytes"] if size else []), *carried_texts(kmsg.carried, space))


def describe_right(right: object | None, space: Space | None) -> PortRef:
    """A right under way, by the name that a task has for its port where it has one."""
    if right is None:
        return PortRef(PORT_NULL, "")
    if not isinstance(right, Port):
        return PortRef(PORT_NAME_DEAD, "dead")
    name = inspect.name_of(space, right) if space is not None else PORT_NULL
    return PortRef(name, inspect.describe_object(right, space))


def value_text(value: Any, space: Space | None) -> str:
    """One argument, shortened."""
    if isinstance(value, int) and value is not PORT_DEAD:
        return str(value) if abs(value) < 1 << 16 else f"{value:#x}"
    if isinstance(value, bytes):
        shown = value[:TEXT_MAX].decode("latin-1").encode("unicode_escape").decode()
        return f'"{shown}"' + ("..." if len(value) > TEXT_MAX else "")
    if isinstance(value, OutOfLine):
        return f"<{value.size} bytes out of line>"
    if isinstance(value, PolyPort):
        return f"{right_text(value.port, space)} {RIGHTS.get(value.disposition, value.disposition)}"
    if isinstance(value, tuple):
        shown = ", ".join(value_text(item, space) for item in value[:NUMBERS_MAX])
        return f"({shown}{', ...' if len(value) > NUMBERS_MAX else ''})"
    return right_text(value, space)


def right_text(right: object | None, space: Space | None) -> str:
    if right is None:
        return "null"
    ref = describe_right(right, space)
    return ref.what if ref.name in (PORT_NULL, PORT_NAME_DEAD) else f"{ref.name} ({ref.what})"


def carried_texts(carried: Sequence[Carried], space: Space | None) -> list[str]:
    texts = []
    for item in carried[:NUMBERS_MAX]:
        if isinstance(item, CarriedPort):
            texts.append(f"{RIGHTS[item.disposition]} {right_text(item.port, space)}")
        elif isinstance(item, CarriedMemory):
            texts.append(f"{item.size} bytes out of line")
        elif isinstance(item, CarriedPorts):
            texts.append(f"{len(item.ports)} {RIGHTS[item.disposition]} rights out of line")
    return texts + (["..."] if len(carried) > NUMBERS_MAX else [])
