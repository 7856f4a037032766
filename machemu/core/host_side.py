"""Tasks whose threads run Python on the host: created, and run between their traps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, MustWait
from machemu.abi.types import ByteOrder
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Continuation, Program, Thread
from machemu.user.own import AREA_SIZE
from machemu.user.server import Server
from machemu.user.thread import ServerThread
from machemu.vm import routines as vm

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def launch(kernel: Kernel, server: Server, name: str) -> Task:
    """A task with one thread that runs a server, from now on."""
    task = task_control.create(kernel.kern, None, False, name)
    assert task.map is not None
    thread = thread_control.create(kernel.kern, task)
    thread.program = ServerThread(server, vm.vm_allocate(task.map, 0, AREA_SIZE, True))
    thread_control.resume(kernel.kern, thread)
    return task


def run(kernel: Kernel, thread: Thread, program: Program, deadline: int) -> None:
    """The user mode of a host-side thread: trap after trap, until it has to leave the CPU."""
    kernel.set_limit(deadline)
    kernel.charged = kernel.kern.clock.now(), kernel.cpu.executed
    kernel.left = False
    view = HostSide(kernel, thread, program)
    while not kernel.left:
        result, thread.retval = thread.retval, None
        try:
            number = program.next(view, thread.memory, result)
        except MustWait as wait:
            thread.retval = result
            kernel.kern.wait(thread, Continuation.FAULT, wait)
            break
        result = kernel.entry.system_call(number)
        if result is not None:
            thread.retval = result
    kernel.charge_time()
    kernel.charged = None


class HostSide:
    """user.own.Kernel for the thread that runs."""

    def __init__(self, kernel: Kernel, thread: Thread, program: Program) -> None:
        self._kernel = kernel
        self._thread = thread
        self._program = program
        self.order: ByteOrder = kernel.cpu.order

    def trap(self, number: int, arguments: tuple[int, ...]) -> int:
        thread = self._thread
        self._program.arguments = arguments
        result = self._kernel.entry.system_call(number)
        if result is None:
            result, thread.retval = thread.retval, None
            if thread.continuation is not None or result is None:
                raise InvariantError(f"a host-side thread waits in trap {number} inside a handler")
        return result

    def now(self) -> int:
        return self._kernel.kern.clock.now()

    def note(self, what: str) -> None:
        if self._kernel.observer is not None:
            self._kernel.observer.noted(self._thread, what)
