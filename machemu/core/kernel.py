"""A node's kernel: the CPU enters it here, and its loop decides which thread runs until when."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, Protocol, cast

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.exception import EXC_BAD_ACCESS, Raised
from machemu.abi.types import Instructions, VirtAddr
from machemu.core import board, host_side, server
from machemu.core.interrupt import Interrupt
from machemu.core.managers import Managers, port_died
from machemu.core.routines.table import routines_on
from machemu.core.traps import TRAP_COUNT, TRAPS
from machemu.device.console import Console
from machemu.device.ds_routines import Devices
from machemu.device.io import DeviceIo
from machemu.device.io_perm import IoPerms
from machemu.device.irq import IrqDriver
from machemu.device.kmsg import KmsgDriver
from machemu.device.null import MemDriver, NullDriver
from machemu.device.time import TimeDriver
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.subsystem import Ipc
from machemu.ipc.thread import IpcThread
from machemu.kern import exception, pc_sample, task_control, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.host import Halt
from machemu.kern.subsystem import Kern
from machemu.kern.thread import TH_RUN, TH_SUSP, TH_WAIT, Continuation, Thread
from machemu.kern.waits import WAITS
from machemu.machine.memory import PhysicalMemory
from machemu.machine.profile import Profile
from machemu.machine.seams import Cpu, Disk, Mmu, Supervisor, UserFault
from machemu.sim.state import Cost, Natural, Signed, state
from machemu.vm.fault import vm_fault
from machemu.vm.map import VmMap
from machemu.vm.object import deallocate
from machemu.vm.subsystem import Vm

WORD_SIZE: Final = 4
FOREVER: Final = 1 << 200
"""A virtual time that never comes."""


class Stop(Enum):
    """Why `Kernel.run` came back."""

    ASKED = auto()
    """Somebody called `stop`, such as whoever watches the console, or as many turns as were asked for have come."""
    TIME = auto()
    """The deadline was reached."""
    TRAPS = auto()
    """As many traps as were asked for have been made."""
    WEDGED = auto()
    """No thread can run and nothing is under way that could wake one."""
    INTERRUPTED = auto()
    """The user wants the run to end, as `Kernel.interrupt` says."""
    HALTED = auto()
    """The machine has ended and runs no more; `Kernel.halted` says how."""


class KernelObserver(Protocol):
    """Who watches a kernel."""

    def resumed(self, thread: Thread, result: int) -> None:
        """A thread that had blocked in a trap goes back to user mode with its result."""

    def raised(self, thread: Thread, what: Raised) -> None:
        """The current thread takes an exception."""

    def noted(self, thread: Thread, what: str) -> None:
        """A host-side thread says what it does."""

    def ended(self, thread: Thread) -> None:
        """A thread that had ended in a trap of its own is gone."""


def runnable(thread: Thread) -> bool:
    return thread.state & (TH_RUN | TH_WAIT | TH_SUSP) == TH_RUN


@state
class Kernel:
    """All of one node above its machine."""

    __slots__ = (
        "memory", "mmu", "ipc", "vm", "kern", "console", "kmsg", "devices", "io_perms",
        "trap_ns", "fault_ns", "switch_ns", "handler_ns", "message_ns", "byte_ns",
        "trap_count", "turns", "halted", "halt_reason", "reboot_options",
        "cpu", "entry", "observer", "limit", "trap_limit", "turn_limit", "stopping", "left", "routines", "word", "input_sources",
        "charged", "crash", "crashed", "interrupt", "board", "in_handler",
    )  # fmt: skip
    TRANSIENT = (
        "cpu",
        "entry",
        "observer",
        "limit",
        "trap_limit",
        "turn_limit",
        "stopping",
        "left",
        "routines",
        "word",
        "input_sources",
        "charged",
        "crash",
        "crashed",
        "interrupt",
        "board",
        "in_handler",
    )
    # The machine's:
    memory: PhysicalMemory  # the RAM, whose bytes are saved beside the state
    mmu: Mmu  # the page tables' bookkeeping

    # The layers:
    ipc: Ipc
    vm: Vm
    kern: Kern
    devices: Devices
    console: Console  # one of `devices`, as is the next
    kmsg: KmsgDriver
    io_perms: IoPerms

    # What its work costs in virtual time, of the machine's profile:
    trap_ns: Cost
    fault_ns: Cost
    switch_ns: Cost
    handler_ns: Cost  # of a host-side server's handler, and of each message and byte that it takes or sends
    message_ns: Cost
    byte_ns: Cost

    # How far it has come:
    trap_count: Natural  # traps since power-on
    turns: Natural  # how often a thread got or left the CPU, or went on from a wait
    halted: Halt | None  # how the machine ended
    halt_reason: str  # why, for people
    reboot_options: Signed  # the options of the host_reboot that ended it

    # Transient, made anew by `attach`:
    # cpu, word: the machine's, and its 32-bit word. entry: who takes traps, the kernel or who watches it.
    # observer: None where nobody watches. board: where its thread last went to user mode.
    # routines: what it does for messages, by id.
    # input_sources: give console input when a read waits and nothing can run, one after the other, b"" for no more.

    # Transient, of a run:
    # limit, trap_limit, turn_limit: where `run` comes back. stopping: set by `stop`. left: the active thread does not return to
    # user mode now. interrupt: the user's wish to end, looked at between traps.
    # charged: the time and the instructions up to which the active thread has been charged, None where none is.
    # in_handler: a host-side thread's Python runs, and makes its traps without a stop in between.
    # crash: a thread with an exception that nobody handled, until `crashed` is told, once it is off the CPU.

    def __init__(self, profile: Profile, memory: PhysicalMemory, cpu: Cpu) -> None:
        self.memory = memory
        self.mmu = cpu.mmu
        self.ipc = Ipc(cpu.order, cpu.page_size)
        self.vm = Vm(memory, cpu.mmu, cpu.page_size, cpu.user_range)
        self.kern = Kern(cpu, self.ipc, self.vm, profile)
        self.kern.kernel_task = task_control.create(self.kern, None, False, "gnumach")
        io = DeviceIo(self.ipc, self.vm, self.kern.events, self.kern.clock)
        self.console = Console(io, profile.console_byte_ns)
        self.kmsg = KmsgDriver(io)
        self.devices = Devices(io)
        self.devices.drivers += [NullDriver("cn"), TimeDriver(io), self.console, MemDriver("mem"), self.kmsg, IrqDriver()]
        self.io_perms = IoPerms()
        self.trap_ns = profile.trap_ns
        self.fault_ns = profile.page_fault_ns
        self.switch_ns = profile.context_switch_ns
        self.handler_ns = profile.server_handler_ns
        self.message_ns = profile.server_message_ns
        self.byte_ns = profile.server_byte_ns
        self.trap_count = 0
        self.turns = 0
        self.halted = None
        self.halt_reason = ""
        self.reboot_options = 0
        self._join(cpu)

    def attach(self, cpu: Cpu, disks: Mapping[str, Disk]) -> None:
        """Joins a kernel that was loaded to a CPU. disks: the images of its disks, by name. Raises UserError."""
        self.devices.attach(disks)
        self._rejoin(cpu)

    def take_over(self, old: Kernel) -> None:
        """Joins a restored kernel to the CPU and the devices of what the same machine was before. Nobody watches it."""
        self.devices.take_over(old.devices)
        self._rejoin(old.cpu)

    def _rejoin(self, cpu: Cpu) -> None:
        self.vm.attach(cpu.mmu)
        self.kern.attach(cpu)
        for task in self.kern.tasks.values():
            for thread in task.threads.values():
                if thread.program is not None:
                    thread.program.attach()
        self._join(cpu)

    def _join(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.entry: Supervisor = self
        self.observer: KernelObserver | None = None
        self.interrupt = Interrupt()
        self.board = board.new()
        self.crash: tuple[Thread, Raised] | None = None
        self.crashed: Callable[[Thread, Raised], None] | None = None
        self.limit = FOREVER
        self.trap_limit = FOREVER
        self.turn_limit = FOREVER
        self.stopping: Stop | None = None
        self.left = False
        self.in_handler = False
        self.charged: tuple[int, int] | None = None
        self.routines = routines_on(self.kern.kernel_task.machine)
        self.word = struct.Struct(cpu.order.value + "I")
        self.input_sources: list[Callable[[], bytes]] = []
        self.kern.events.sooner = self.sooner
        self.kern.traps = self
        self.ipc.attach(self.kern, self)
        self.vm.managers = Managers(self)
        self.vm.privileged = self.kern.sched.current is not None and self.kern.sched.current.vm_privilege
        cpu.attach(self)

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

    def fault(self, address: VirtAddr, access: int) -> bool:
        thread = self.kern.current
        self.kern.clock.base += self.fault_ns
        before = (self.vm.zero_fill_count, self.vm.cow_faults)
        try:
            vm_fault(self._map(thread), address, access)
        except KernError as error:
            self._raise(thread, EXC_BAD_ACCESS, error.code, address)
        except MustWait as wait:
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

    # ipc.seams.KernelObjects

    def serve(self, request: Kmsg) -> Kmsg | None:
        return server.serve(self, request)

    def died(self, port: Port) -> None:
        port_died(self, port)

    def finish(self, thread: IpcThread) -> Kmsg | None:
        return server.finish(self, thread)

    # The loop

    def run(self, deadline: int = FOREVER, traps: int | None = None, turns: int | None = None, wait: bool = True) -> Stop:
        """Runs the node until virtual time `deadline`, or for `traps` more traps, or until `stop`, or until nothing can happen.

        turns: after so many more turns it comes back before the thread runs in user mode. wait: whether time passes to the next
        event where no thread can run; without, that is WEDGED, too.
        Coming back and running on changes nothing in what the guest sees.
        """
        self.stopping = None
        self.trap_limit = FOREVER if traps is None else self.trap_count + traps
        self.turn_limit = FOREVER if turns is None else self.turns + turns
        kern = self.kern
        sched = kern.sched
        vm = self.vm
        while self.stopping is None:
            if self.halted is not None:
                return Stop.HALTED
            if self.interrupt.asked:
                return Stop.INTERRUPTED
            ticks = kern.ticks
            kern.deliver_events()
            if kern.ticks != ticks and self.devices.pagers:
                self.devices.show()
            if self.stopping is not None:
                break
            if kern.clock.now() >= deadline:
                return Stop.TIME
            if vm.pageout_wanted or vm.free_wanted.threads:
                vm.pageout()
            thread = sched.current
            if thread is not None and not thread.active:
                self._reap(thread)
                continue
            if thread is None or not runnable(thread) or sched.yielding or (sched.ast and sched.csw_needed(thread)):
                thread = self._switch()
                if thread is None:
                    if not self._idle(deadline, wait):
                        return Stop.WEDGED
                    continue
            sched.ast = False
            if thread.continuation is None or self._continue(thread):
                if thread.program is None:
                    self._run_user(thread, deadline)
                else:
                    host_side.run(self, thread, thread.program, deadline)
            if self.crash is not None:
                crash, self.crash = self.crash, None
                if self.crashed is not None:
                    self.crashed(*crash)
            if self.trap_count >= self.trap_limit:
                return Stop.TRAPS
        return self.stopping

    def halt(self, how: Halt, reason: str) -> None:
        """The machine ends with the trap under way."""
        self.halted = how
        self.halt_reason = reason
        self.kern.sched.ast = True

    def stop(self) -> None:
        """Makes `run` come back after the trap under way."""
        self.stopping = Stop.ASKED
        self.limit = 0

    def _switch(self) -> Thread | None:
        old = self.kern.sched.current
        self.kern.charge_events()
        new = self.kern.sched.select()
        self.vm.privileged = new is not None and new.vm_privilege
        if new is not old:
            if new is not None:
                self.kern.clock.base += self.switch_ns
            self._turn()
        return new

    def _turn(self) -> None:
        self.turns += 1
        if self.turns >= self.turn_limit:
            self.stop()

    def _idle(self, deadline: int, wait: bool) -> bool:
        """Lets time pass to the next event; False where there is none or it is not to be waited for, and no input comes."""
        clock = self.kern.clock
        while self.console.pending and self.input_sources and not self.devices.busy:
            data = self.input_sources[0]()
            if data:
                self.console.receive(data)
                return True
            if self.interrupt.asked:
                return True
            del self.input_sources[0]
        time = self.kern.events.next_time()
        if time is None or not wait:
            return False
        clock.base += max(0, min(time, deadline) - clock.now())
        return True

    def _continue(self, thread: Thread) -> bool:
        """Does what a thread still had to do in the kernel when it blocked; False where it does not return to user mode now."""
        continuation, thread.continuation = thread.continuation, None
        held, thread.held = thread.held, None
        assert continuation is not None
        self._turn()
        result = WAITS[continuation].resume(self.kern, thread)
        deallocate(held)
        if result is not None:
            thread.retval = result
            if self.observer is not None:
                self.observer.resumed(thread, result)
        if not runnable(thread) or thread.continuation is not None:
            return False  # it waits again; where what it waits for is there at once, it goes on in the kernel
        self.kern.settle_handoff()
        return thread.active and not self.kern.sched.ast

    def _run_user(self, thread: Thread, deadline: int) -> None:
        kern = self.kern
        clock = kern.clock
        cpu = self.cpu
        if thread.retval is not None:
            thread.pcb.set_result(thread.retval)
            thread.retval = None
        self.charged = clock.now(), cpu.executed
        cpu.activate(thread.pcb, self._map(thread).pmap, thread.task.eml_dispatch is not None)
        place = self.board
        place[board.TASK], place[board.THREAD], place[board.PC] = thread.task.number, thread.number, thread.pcb.pc
        place[board.TRAPS] = self.trap_count
        board.set_time(place, self.charged[0])
        self.left = False
        while not self.left:
            self.set_limit(deadline)
            budget = clock.instructions_until(self.limit)
            if not budget:
                break
            cpu.run(Instructions(budget))
        cpu.deactivate()
        self.charge_time()
        self.charged = None
        if thread.retval is not None and thread.continuation is None:
            thread.pcb.set_result(thread.retval)
            thread.retval = None

    def set_limit(self, deadline: int) -> None:
        """The current thread may run until something else is due, and no more where `stop` was called."""
        if self.stopping is not None:
            self.limit = 0
            return
        next_event = self.kern.events.next_time()
        self.limit = min(deadline, (self.kern.ticks + 1) * TICK_NS, FOREVER if next_event is None else next_event)

    def sooner(self, time: int) -> None:
        """Something is due at `time`, before everything else that is to come."""
        self.limit = min(self.limit, time)

    def charge_time(self) -> None:
        """Adds to the active thread's times what has passed since it was last charged."""
        if self.charged is not None:
            thread, clock = self.kern.current, self.kern.clock
            began, executed = self.charged
            self.charged = clock.now(), self.cpu.executed
            user = (self.charged[1] - executed) * clock.instruction_ns
            thread.user_time += user
            thread.system_time += self.charged[0] - began - user

    def _reap(self, thread: Thread) -> None:
        """The current thread was ended while it was in the kernel."""
        task = thread.task
        self.kern.charge_events()
        self.kern.sched.current = None
        if self.observer is not None:
            self.observer.ended(thread)
        thread_control.reap(self.kern, thread)
        self._turn()
        if not task.active and not task.threads and task.map is not None:
            task_control.destroy_map(self.kern, task)

    def print(self, data: bytes) -> None:
        """The kernel prints something of its own: on the console, and into what `kmsg` reads."""
        self.console.print(data)
        self.kmsg.print(data)

    def yield_cpu(self, thread: Thread, continuation: Continuation) -> None:
        """thread_block: the current thread gives way, and goes on with `continuation` when it is its turn again."""
        thread.continuation = continuation
        self.kern.sched.yielding = True
