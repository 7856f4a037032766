"""What user mode brings to a node's kernel: traps, faults and exceptions."""

from __future__ import annotations

import struct
from typing import Final, cast

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.exception import EXC_BAD_ACCESS, Raised
from machemu.abi.types import VirtAddr
from machemu.core.parts import KernelParts
from machemu.core.traps import TRAP_COUNT, TRAPS
from machemu.kern import exception, pc_sample
from machemu.kern.task import Task
from machemu.kern.thread import Continuation, Thread
from machemu.machine.seams import UserFault
from machemu.vm.fault import vm_fault
from machemu.vm.map import VmMap

WORD_SIZE: Final = 4


class KernelSupervisor(KernelParts):
    """machine.seams.Supervisor and kern.subsystem.TrapHandler."""

    __slots__ = ()

    # machine.seams.Supervisor

    def system_call(self, number: int) -> int | None:
        kern = self.kern
        sched = kern.sched
        clock = kern.clock
        thread = sched.current
        if thread is None:
            raise InvariantError("a trap without a thread")
        self.trap_count += 1
        clock.base += self.trap_ns
        if not 0 <= number < TRAP_COUNT:
            self._raise(thread, *self.cpu.bad_trap(number))
            self.leave()
            return None
        trap = TRAPS[number]
        arguments: tuple[int, ...] | None = None
        result: int | None
        try:
            if trap.arguments:
                arguments = self._arguments(thread, number, len(trap.arguments))
                if arguments is None:
                    self.leave()
                    return None
                result = trap.handler(self, thread, *arguments)
            else:
                result = trap.handler(self, thread)
        except KernError as error:
            result = error.code
        except MustWait as wait:
            thread.trap_retry = (number, arguments)
            kern.wait(thread, Continuation.TRAP, wait)
            result = None
        self.cpu.target = target = clock.executed_at(self.limit)
        if (
            result is None
            or sched.ast
            or sched.handoff is not None
            or self.trap_count >= self.trap_limit
            or self.cpu.executed >= target
        ):
            if result is not None:
                kern.settle_handoff()
            thread.retval = result
            self.leave()
            return None
        return result

    def emulated_call(self, number: int) -> int | None:
        thread = self.kern.current
        vector = thread.task.eml_dispatch
        handler = vector.handler(-number) if vector is not None else 0
        if not handler:
            return self.system_call(number)
        self.trap_count += 1
        self.kern.clock.base += self.trap_ns
        try:
            result = self.cpu.redirect(VirtAddr(handler), thread.memory.write)
        except KernError as error:
            result = error.code
        except UserFault as fault:
            try:
                # The real kernel takes its own failing push for a read by the user: the trap is lost where the stack can be read.
                vm_fault(self._map(thread), fault.address, fault.access)
                result = self.cpu.result()
            except KernError as error:
                self._raise(thread, *self.cpu.bad_arguments(number, error.code, fault.address))
                self.leave()
                return None
        except MustWait as wait:
            self.kern.wait(thread, Continuation.REDIRECT, wait)
            thread.trap_retry = (number, None)
            self.leave()
            return None
        self.cpu.target = target = self.kern.clock.executed_at(self.limit)
        if self.trap_count >= self.trap_limit or self.cpu.executed >= target:
            thread.retval = result
            self.leave()
            return None
        return result

    def _arguments(self, thread: Thread, number: int, count: int) -> tuple[int, ...] | None:
        """A trap's arguments; None where they cannot be read, and the thread has taken an exception."""
        while True:
            try:
                return self.trap_arguments(thread, count)
            except UserFault as fault:
                try:
                    vm_fault(self._map(thread), fault.address, fault.access)
                except KernError as error:
                    self._raise(thread, *self.cpu.bad_arguments(number, error.code, fault.address))
                    return None

    def trap_arguments(self, thread: Thread, count: int) -> tuple[int, ...]:
        """The words of the trap that the current thread makes. Raises UserFault."""
        return self.cpu.arguments(count) if thread.program is None else thread.program.arguments[:count]

    # kern.subsystem.TrapHandler

    def retry_trap(self, thread: Thread) -> int | None:
        """Starts the handler of a trap again that had to wait for memory."""
        number, arguments = cast("tuple[int, tuple[int, ...] | None]", thread.trap_retry)
        thread.trap_retry = None
        trap = TRAPS[number]
        try:
            if arguments is None:
                address = VirtAddr(thread.pcb.sp + WORD_SIZE)
                try:
                    words = thread.memory.read(address, WORD_SIZE * len(trap.arguments))
                except KernError as error:
                    self._raise(thread, *self.cpu.bad_arguments(number, error.code, address))
                    return None
                arguments = struct.unpack(f"{self.ipc.prefix}{len(trap.arguments)}I", words)
            return trap.handler(self, thread, *arguments)
        except KernError as error:
            return error.code
        except MustWait as wait:
            thread.trap_retry = (number, arguments)
            self.kern.wait(thread, Continuation.TRAP, wait)
            return None

    def retry_redirect(self, thread: Thread) -> int | None:
        """Redirects a trap whose thread's stack had to be waited for; where there is no handler any more it is made."""
        number, _ = cast("tuple[int, None]", thread.trap_retry)
        vector = thread.task.eml_dispatch
        handler = vector.handler(-number) if vector is not None else 0
        if not handler:
            return self.retry_trap(thread)
        thread.trap_retry = None
        try:
            thread.pcb.redirect(number, VirtAddr(handler), thread.memory.write)
        except KernError as error:
            return error.code
        except MustWait as wait:
            thread.trap_retry = (number, None)
            self.kern.wait(thread, Continuation.REDIRECT, wait)
        return None

    def unhandled(self, thread: Thread, what: Raised) -> None:
        self.crash = thread, what

    def ending(self, task: Task) -> None:
        if self.loader is not None:
            self.loader(task)

    def fault(self, address: VirtAddr, access: int) -> bool:
        thread = self.kern.current
        self.kern.clock.base += self.fault_ns
        before = (self.vm.zero_fill_count, self.vm.cow_faults)
        try:
            vm_fault(self._map(thread), address, access)
        except KernError as error:
            self._raise(thread, EXC_BAD_ACCESS, error.code, address)
        except MustWait as wait:
            thread.fault = address, access
            self.kern.wait(thread, Continuation.FAULT, wait)
        else:
            if pc_sample.wanted(thread):
                self._sample_fault(thread, *before)
            self.cpu.target = target = self.kern.clock.executed_at(self.limit)
            if self.cpu.executed < target and not self.vm.pageout_wanted:
                return True
        self.leave()
        return False

    def _sample_fault(self, thread: Thread, zero_fills: int, copies: int) -> None:
        pc_sample.take(thread, pc_sample.SAMPLED_PC_VM_FAULTS_ANY, self.cpu.pc())
        if self.vm.zero_fill_count != zero_fills:
            pc_sample.take(thread, pc_sample.SAMPLED_PC_VM_ZFILL_FAULTS, self.cpu.pc())
        if self.vm.cow_faults != copies:
            pc_sample.take(thread, pc_sample.SAMPLED_PC_VM_COW_FAULTS, self.cpu.pc())

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self.kern.clock.base += self.trap_ns
        self._raise(self.kern.current, exception, code, subcode)
        self.leave()
        return False

    def cycles(self) -> int:
        clock = self.kern.clock
        return clock.now() // clock.instruction_ns

    @staticmethod
    def _map(thread: Thread) -> VmMap:
        """The address space of a thread that runs."""
        vm_map = thread.task.map
        if vm_map is None:
            raise InvariantError(f"thread {thread.number} runs without an address space")
        return vm_map

    def leave(self) -> None:
        """The active thread goes out of the CPU before its next user instruction."""
        self.left = True
        self.cpu.stop()

    def _raise(self, thread: Thread, *what: int) -> None:
        raised = Raised(*what)
        if self.observer is not None:
            self.observer.raised(thread, raised)
        exception.raise_exception(self.kern, thread, raised)
