"""Watching a kernel: traps, messages and exceptions as trace events. A kernel that nobody watches does no work for it."""

from __future__ import annotations

from typing import Final

from machemu.abi.message import CarriedMemory, CarriedPort, CarriedPorts, TypeName
from machemu.abi.port import Notify
from machemu.abi.types import VirtAddr
from machemu.core import inspect
from machemu.core.body import BodyItem, body_items
from machemu.core.kernel import Kernel
from machemu.core.routines.table import ROUTINES
from machemu.core.traps import PORT_ARGUMENTS, TRAP_COUNT, TRAPS
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.thread import IpcThread
from machemu.kern.thread import Thread
from machemu.machine.protocols import UserFault
from machemu.trace.events import Ended, Faulted, MessageMoved, PortRef, Tracer, TrapEntered, TrapLeft

TEXT_MAX: Final = 32
NUMBERS_MAX: Final = 8


class Observer:
    """Stands between the CPU and the kernel and tells a tracer what passes."""

    def __init__(self, kernel: Kernel, tracer: Tracer) -> None:
        self.kernel = kernel
        self.tracer = tracer

    def start(self) -> None:
        """Watches from now on."""
        self.kernel.observer = self
        self.kernel.ipc.observer = self
        self.kernel.cpu.attach(self)

    # machine.protocols.Supervisor

    def system_call(self, number: int) -> int | None:
        kernel = self.kernel
        thread = kernel.kern.current
        self._entered(thread, number)
        result = kernel.system_call(number)
        if result is None and thread.continuation is None:
            result = thread.retval
        if result is not None:
            self._left(thread, number, result)
        else:
            thread.trap = number
        return kernel_result(kernel, result)

    def fault(self, address: VirtAddr, access: int) -> bool:
        return self.kernel.fault(address, access)

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        return self.kernel.exception(exception, code, subcode)

    # What the kernel tells

    def resumed(self, thread: Thread, result: int) -> None:
        """A thread that had blocked in a trap goes back to user mode."""
        if thread.trap is not None:
            self._left(thread, thread.trap, result)
            thread.trap = None

    def raised(self, thread: Thread, what: tuple[int, int, int], pc: int) -> None:
        self.tracer.emit(Faulted(self._now(), thread.task.number, thread.number, *what, pc))

    def ended(self, thread: Thread) -> None:
        self.tracer.emit(Ended(self._now(), thread.task.number, thread.number))

    # ipc's MessageObserver

    def sent(self, thread: IpcThread | None, kmsg: Kmsg) -> None:
        self._message(thread, kmsg, True)

    def received(self, thread: IpcThread, kmsg: Kmsg) -> None:
        self._message(thread, kmsg, False)

    def _now(self) -> int:
        return self.kernel.kern.clock.now()

    def _entered(self, thread: Thread, number: int) -> None:
        name = inspect.trap_name(number)
        arguments: list[tuple[str, int | PortRef]] = []
        if 0 <= number < TRAP_COUNT:
            names = TRAPS[number].arguments
            try:
                words = self.kernel.cpu.arguments(len(names)) if names else ()
            except UserFault:
                words = ()
            arguments = [
                (label, inspect.describe_name(thread.space, word) if label in PORT_ARGUMENTS else word)
                for label, word in zip(names, words, strict=False)
            ]
        self.tracer.emit(TrapEntered(self._now(), thread.task.number, thread.number, name, tuple(arguments)))

    def _left(self, thread: Thread, number: int, result: int) -> None:
        kind = TRAPS[number].result if 0 <= number < TRAP_COUNT else "code"
        port = inspect.describe_name(thread.space, result) if kind == "name" and thread.space.active else None
        name = inspect.trap_name(number)
        self.tracer.emit(TrapLeft(self._now(), thread.task.number, thread.number, name, result, kind, port))

    def _message(self, thread: IpcThread | None, kmsg: Kmsg, sent: bool) -> None:
        task_number, thread_number = (thread.task.number, thread.number) if isinstance(thread, Thread) else (0, 0)
        space = thread.space if thread is not None else None
        items = tuple(self._item(item, space) for item in body_items(self.kernel.ipc.order, kmsg))
        self.tracer.emit(
            MessageMoved(
                self._now(), task_number, thread_number, sent, kmsg.id, message_name(kmsg.id), 24 + len(kmsg.body),
                self._port(kmsg.remote, space), self._port(kmsg.local, space), items,
            )
        )  # fmt: skip

    def _port(self, port: object | None, space: object | None) -> PortRef:
        raise NotImplementedError

    def _item(self, item: BodyItem, space: object | None) -> str:
        raise NotImplementedError
