"""A node's kernel: put together, and its loop, which decides which thread runs until when."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from machemu.abi.types import Instructions
from machemu.core import board, fast_traps, host_side, server
from machemu.core.interrupt import Interrupt
from machemu.core.managers import Managers, port_died
from machemu.core.routines.table import routines_on
from machemu.core.supervisor import KernelSupervisor
from machemu.device.console import Console
from machemu.device.ds_routines import Devices
from machemu.device.io import DeviceIo
from machemu.device.io_perm import IoPerms
from machemu.device.irq import IrqDriver
from machemu.device.kd_event import EventDriver
from machemu.device.kmsg import KmsgDriver
from machemu.device.lpr import PrinterDriver
from machemu.device.mem import MemDriver
from machemu.device.null import NullDriver
from machemu.device.time import TimeDriver
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.subsystem import Ipc
from machemu.ipc.thread import IpcThread
from machemu.kern import pc_sample, task_control, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.host import Halt
from machemu.kern.subsystem import Kern
from machemu.kern.thread import TH_RUN, TH_SUSP, TH_WAIT, Continuation, Thread
from machemu.kern.waits import WAITS
from machemu.machine.memory import PhysicalMemory
from machemu.machine.profile import Profile
from machemu.machine.seams import Cpu, Disk, IoPorts
from machemu.sim.state import state
from machemu.vm.object import deallocate
from machemu.vm.subsystem import Vm

FAR: Final = 1_000_000
"""How many instructions one run may have, at most, where it may pass clock ticks: a millisecond or two of the host's."""
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


def runnable(thread: Thread) -> bool:
    return thread.state & (TH_RUN | TH_WAIT | TH_SUSP) == TH_RUN


@state
class Kernel(KernelSupervisor):
    """All of one node above its machine."""

    __slots__ = ()

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
        is_pc = isinstance(self.kern.kernel_task.machine, IoPorts)
        mem = MemDriver(io if is_pc else None)
        self.devices.drivers += [NullDriver("cn"), TimeDriver(io), self.console, mem, self.kmsg, IrqDriver(io)]
        if is_pc:
            self.devices.drivers += [EventDriver(io, "kbd"), EventDriver(io, "mouse"), PrinterDriver()]
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
        self.entry = self
        self.observer = None
        self.interrupt = Interrupt()
        self.board = board.new()
        self.crash = None
        self.crashed = None
        self.loader = None
        self.limit = FOREVER
        self.trap_limit = FOREVER
        self.turn_limit = FOREVER
        self.stopping = None
        self.left = False
        self.in_handler = False
        self.charged = None
        self.routines = routines_on(self.kern.kernel_task.machine)
        self.word = struct.Struct(cpu.order.prefix + "I")
        self.input_sources = []
        self.kern.events.sooner = self.sooner
        self.devices.io.print = self.print
        self.kern.traps = self
        self.ipc.attach(self.kern, self)
        self.vm.managers = Managers(self)
        self.vm.privileged = self.kern.sched.current is not None and self.kern.sched.current.vm_privilege
        self.fast_traps = fast_traps.of(self)
        cpu.attach(self, self.fast_traps)

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
        while (why := self._ended()) is None:
            ticks = kern.ticks
            now = kern.deliver_events()
            if kern.ticks != ticks and self.devices.pagers:
                self.devices.show()
            if self.stopping is not None:
                return self.stopping
            if now >= deadline:
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
        return why

    def _ended(self) -> Stop | None:
        """Why the run comes back, whatever else is to be done; None where it goes on."""
        if self.stopping is not None:
            return self.stopping
        if self.halted is not None:
            return Stop.HALTED
        return Stop.INTERRUPTED if self.interrupt.asked else None

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
        self.charged = clock.reading()
        cpu.activate(thread.pcb, self._map(thread).pmap, thread.task.eml_dispatch is not None)
        place = self.board
        place[board.TASK], place[board.THREAD], place[board.PC] = thread.task.number, thread.number, thread.pcb.pc
        place[board.TRAPS] = self.trap_count
        board.set_time(place, self.charged[0])
        self.left = False
        while not self.left:
            self.set_limit(deadline)
            budget = clock.instructions_until(self.limit)
            if budget:
                if self._may_pass_ticks(thread):
                    cpu.run(self._far_budget(deadline), self._catch_up)
                else:
                    cpu.run(budget)
            if not self.left and not self._takes_tick(thread, deadline):
                break
        cpu.deactivate()
        self.charge_time()
        self.charged = None
        if thread.retval is not None and thread.continuation is None:
            thread.pcb.set_result(thread.retval)
            thread.retval = None

    def _may_pass_ticks(self, thread: Thread) -> bool:
        """Whether a clock tick can be taken later, as long as neither an event is due nor the thread enters the kernel: nobody
        watches, and no other thread is ready."""
        vm = self.vm
        return (
            self.entry is self
            and self.observer is None
            and not self.kern.sched.count
            and not vm.pageout_wanted
            and not vm.free_wanted.threads
            and not self.devices.pagers
            and not pc_sample.wanted(thread)
            and self.cpu.passes_ticks
        )

    def _far_budget(self, deadline: int) -> Instructions:
        """Sets the limit beyond some clock ticks; how many instructions begin before it."""
        kern, clock = self.kern, self.kern.clock
        ticks = kern.ticks + max(FAR * clock.instruction_ns // TICK_NS, 1)
        next_event = kern.events.next_time()
        self.limit = min(ticks * TICK_NS, deadline, ticks * TICK_NS if next_event is None else next_event)
        return clock.instructions_until(self.limit)

    def _catch_up(self) -> None:
        """Takes the ticks that a run has passed, each as of its time: no time but the thread's own has passed since."""
        kern, clock = self.kern, self.kern.clock
        executed = self.cpu.executed
        while (end := clock.executed_at((kern.ticks + 1) * TICK_NS)) < executed:
            self.charge_time(end)
            kern.take_ticks(clock.reading(end)[0] // TICK_NS)
        self.limit = min(self.limit, (kern.ticks + 1) * TICK_NS)
        self.cpu.target = clock.executed_at(self.limit)

    def _takes_tick(self, thread: Thread, deadline: int) -> bool:
        """Takes a clock tick that is all that is due: whether the thread goes on without leaving the CPU, as it mostly does."""
        kern, vm = self.kern, self.vm
        now = kern.clock.now()
        next_event = kern.events.next_time()
        if now // TICK_NS == kern.ticks or now >= deadline or (next_event is not None and next_event <= now):
            return False
        if vm.pageout_wanted or vm.free_wanted.threads or self.devices.pagers or pc_sample.wanted(thread):
            return False
        self.charge_time()
        kern.take_ticks(now // TICK_NS)
        board.set_time(self.board, now)
        self.board[board.PC] = self.cpu.where()
        return not kern.sched.ast and self._ended() is None

    def set_limit(self, deadline: int) -> None:
        """The current thread may run until something else is due, and no more where `stop` was called."""
        if self.stopping is not None:
            self.limit = 0
            return
        next_event = self.kern.events.next_time()
        limit = (self.kern.ticks + 1) * TICK_NS
        if next_event is not None and next_event < limit:
            limit = next_event
        self.limit = min(limit, deadline)

    def sooner(self, time: int) -> None:
        """Something is due at `time`, before everything else that is to come."""
        self.limit = min(self.limit, time)

    def charge_time(self, until: int | None = None) -> None:
        """Adds to the active thread's times what has passed since it was last charged; or what had when the CPU had executed
        `until` instructions."""
        if self.charged is not None:
            thread, clock = self.kern.current, self.kern.clock
            began, executed = self.charged
            self.charged = clock.reading(until)
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
