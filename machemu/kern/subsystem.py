"""One node's kern: what its threads, tasks and their scheduling share. It is IPC's `Scheduler`."""

from __future__ import annotations

from enum import Enum, auto
from operator import add, sub
from typing import TYPE_CHECKING, Protocol

from machemu.abi.errors import InvariantError, MustWait
from machemu.abi.exception import Raised
from machemu.abi.types import Nanoseconds
from machemu.ipc.subsystem import Ipc
from machemu.ipc.thread import IpcThread, MsgContinuation
from machemu.kern import gsync, pc_sample
from machemu.kern.clock import TICK_NS, Clock
from machemu.kern.gsync import Gsync
from machemu.kern.host import Host, HostPort, HostPrivPort
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName
from machemu.kern.sched import Sched
from machemu.kern.task import TASK_EVENTS_INFO_COUNT, TASK_IPC_INFO_COUNT
from machemu.kern.thread import TH_WAIT, Continuation, Thread
from machemu.machine.profile import Profile
from machemu.machine.seams import Cpu
from machemu.sim.events import EventQueue
from machemu.sim.state import Natural, Time, state
from machemu.vm.event import WaitEvent
from machemu.vm.object import VmObject, deallocate
from machemu.vm.subsystem import Vm

if TYPE_CHECKING:
    from machemu.ipc.port import Right
    from machemu.kern.task import Task

SECOND_TICKS = 1_000_000_000 // TICK_NS


class TrapHandler(Protocol):
    """What core does for kern, which it joins. trap_count: traps since power-on."""

    trap_count: int

    def retry_trap(self, thread: Thread) -> int | None:
        """Starts a thread's trap again that had to wait for memory. The result, or None where it waits again."""

    def retry_redirect(self, thread: Thread) -> int | None:
        """As `retry_trap`, of a trap that is to be redirected."""

    def unhandled(self, thread: Thread, what: Raised) -> None:
        """Exception, code and subcode `what` is about to end the current thread's task, since nobody handles it."""

    def ending(self, task: Task) -> None:
        """A task ends, and is about to lose its name space."""


@state
class Timer(Enum):
    """What a timer event does; its argument is the thread."""

    WAIT = auto()
    DEPRESS = auto()


@state
class Kern:
    """The node's globals."""

    __slots__ = (
        "cpu",
        "traps",
        "ipc",
        "vm",
        "clock",
        "events",
        "psets",
        "processors",
        "sched",
        "host",
        "kernel_task",
        "counted",
        "gsync",
        "new_task_notification",
        "tasks",
        "thread_count",
        "task_serial",
        "thread_serial",
        "ticks",
    )
    TRANSIENT = ("cpu", "traps")
    # The layers below, and the machine's time:
    ipc: Ipc
    vm: Vm
    clock: Clock
    events: EventQueue
    ticks: Time  # clock interrupts taken or slept through since power-on

    # Tasks and threads:
    tasks: dict[int, Task]  # those not yet ended, by number
    thread_count: Natural  # threads not yet ended, in all tasks
    task_serial: Natural  # the last number, as is the next
    thread_serial: Natural
    kernel_task: Task  # the kernel's own, number 0, without threads
    new_task_notification: Right  # a send right to whoever is told of new tasks
    counted: tuple[int, ...]  # the counts of `task_events_info` up to which tasks have been charged with them

    # Scheduling:
    psets: list[ProcessorSet]  # the default one first
    processors: list[Processor]  # by slot number, the master first
    sched: Sched  # what runs on the one that the kernel works for

    # Subsystems of their own:
    host: Host
    gsync: Gsync

    # Transient:
    traps: TrapHandler
    # cpu: the machine's

    def __init__(self, cpu: Cpu, ipc: Ipc, vm: Vm, profile: Profile) -> None:
        self.ipc = ipc
        self.vm = vm
        self.clock = Clock(profile.instruction_ns, cpu)
        self.events = EventQueue()
        default_pset = ProcessorSet()
        self.psets = [default_pset]
        self.sched = Sched(default_pset)
        self.processors = [Processor(0, profile.cpu_type, profile.cpu_subtype, self.sched)]
        self.host = Host(ipc.make_kernel_port(HostPort()), ipc.make_kernel_port(HostPrivPort()))
        for pset in self.psets:
            pset.pset_self = ipc.make_kernel_port(pset)
            pset.pset_name_self = ipc.make_kernel_port(ProcessorSetName(pset))
        for processor in self.processors:
            processor.processor_self = ipc.make_kernel_port(processor)
        self.new_task_notification = None
        self.gsync = gsync.Gsync()
        self.tasks = {}
        self.thread_count = 0
        self.counted = (0,) * (TASK_EVENTS_INFO_COUNT + TASK_IPC_INFO_COUNT)
        self.task_serial = -1
        self.thread_serial = 0
        self.ticks = 0
        self.cpu = cpu

    def attach(self, cpu: Cpu) -> None:
        """Joins the kernel to a CPU after a load."""
        self.cpu = cpu
        self.clock.attach(cpu)

    @property
    def current(self) -> Thread:
        """The thread that the kernel works for."""
        thread = self.sched.current
        if thread is None:
            raise InvariantError("no thread is current")
        return thread

    # ipc.seams.Scheduler

    def block(self, thread: IpcThread, continuation: MsgContinuation | Continuation, timeout: Nanoseconds | None) -> None:
        assert isinstance(thread, Thread)
        thread.state |= TH_WAIT
        thread.continuation = continuation
        if timeout is not None:
            self.limit_wait(thread, -(-timeout // 1_000_000))

    def limit_wait(self, thread: Thread, milliseconds: int | None) -> None:
        """A thread that has just blocked waits at most so long, or with None without a limit, whatever it was to be."""
        if thread.wait_timer is not None:
            self.events.cancel(thread.wait_timer)
            thread.wait_timer = None
        if milliseconds is not None:
            thread.wait_timer = self.events.schedule(self.clock.deadline(milliseconds), 0, Timer.WAIT, (thread,))

    def wait(self, thread: IpcThread, continuation: MsgContinuation | Continuation, wait: MustWait) -> None:
        """The current thread waits for something in virtual memory, and then tries again."""
        assert isinstance(thread, Thread) and isinstance(wait.event, WaitEvent)
        assert wait.held is None or isinstance(wait.held, VmObject)
        if thread.held is not None:
            raise InvariantError("a thread holds a memory object already")
        thread.held = wait.held
        thread.wait_event = wait.event
        wait.event.threads.append(thread)
        self.block(thread, continuation, None)

    @staticmethod
    def release_held(thread: Thread) -> None:
        """What the thread waited for has been tried again."""
        held, thread.held = thread.held, None
        deallocate(held)

    def wake(self, thread: IpcThread) -> None:
        assert isinstance(thread, Thread)
        if self._clear_wait(thread):
            self.sched.setrun(thread, True)

    def hand_off(self, thread: IpcThread) -> bool:
        assert isinstance(thread, Thread)
        if thread.state != TH_WAIT:
            return False
        self._clear_wait(thread)
        self.settle_handoff()
        self.sched.handoff = thread
        return True

    def _clear_wait(self, thread: Thread) -> bool:
        if thread.wait_timer is not None:
            self.events.cancel(thread.wait_timer)
            thread.wait_timer = None
        if thread.wait_event is not None:
            thread.wait_event.threads.remove(thread)
            thread.wait_event = None
        return self.sched.clear_wait(thread)

    def settle_handoff(self) -> None:
        """The current thread goes on: a thread that it meant to hand off to waits its turn instead."""
        thread = self.sched.handoff
        if thread is not None:
            self.sched.handoff = None
            self.sched.setrun(thread, True)

    # Time

    def deliver_events(self) -> Nanoseconds:
        """Clock interrupts and time-outs up to now; the time after them."""
        now = self.clock.now()
        ticks = now // TICK_NS
        if ticks != self.ticks:
            self.take_ticks(ticks)
        event = self.events.pop_due(now)
        if event is None:
            return now
        self.charge_events()
        while event is not None:
            if isinstance(event.kind, Timer):
                self._fire(event.kind, event.args[0])
            else:
                # Of a layer that kern does not know: its object comes first and knows what to do.
                event.args[0].event_due(event.kind, *event.args[1:])
            event = self.events.pop_due(now)
        self.charge_events(self.kernel_task)  # what an interrupt does is nothing of the task's that it comes upon
        return self.clock.now()

    def begin_at(self, ticks: int) -> None:
        """A kernel that starts when there were so many clock interrupts since power-on."""
        self.ticks = ticks
        self.sched.into = ticks % SECOND_TICKS

    def take_ticks(self, ticks: int) -> None:
        """Clock interrupts until there were so many since power-on, which is more than there were yet."""
        second, self.sched.into = divmod(ticks, SECOND_TICKS)
        for tick in range(max(self.ticks // SECOND_TICKS, second - 64) + 1, second + 1):
            self.sched.second(tick)
        thread = self.sched.current
        if thread is not None:
            for _ in range(min(ticks - self.ticks, 64)):
                self.sched.clock_tick(thread)
            if pc_sample.wanted(thread):
                pc_sample.take(thread, pc_sample.SAMPLED_PC_PERIODIC, thread.pcb.pc)
        self.ticks = ticks

    def _fire(self, kind: Enum, thread: Thread) -> None:
        from machemu.kern.waits import WAITS

        if kind is Timer.WAIT:
            thread.wait_timer = None
            wait = None if thread.continuation is None else WAITS[thread.continuation]
            if wait is None or wait.timed_out is None:
                raise InvariantError(f"thread {thread.number} has a time-out, and waits without a limit")
            wait.timed_out(self, thread)
        elif kind is Timer.DEPRESS:
            thread.depress_timer = None
            self.sched.depress_abort(thread)
        else:
            raise InvariantError(f"no such timer: {kind}")

    def depress(self, thread: Thread, milliseconds: int) -> None:
        """thread_depress_priority: to the worst priority, for a time, or with 0 until depress_abort."""
        self.cancel_depress_timer(thread)
        self.sched.depress(thread)
        if milliseconds:
            self.limit_depression(thread, milliseconds)

    def limit_depression(self, thread: Thread, milliseconds: int) -> None:
        """A depressed thread has its priority back after so long."""
        thread.depress_timer = self.events.schedule(self.clock.deadline(milliseconds), 1, Timer.DEPRESS, (thread,))

    def depress_abort(self, thread: Thread) -> None:
        self.cancel_depress_timer(thread)
        self.sched.depress_abort(thread)

    def cancel_depress_timer(self, thread: Thread) -> None:
        if thread.depress_timer is not None:
            self.events.cancel(thread.depress_timer)
            thread.depress_timer = None

    # What happened, for task_info

    def event_counts(self) -> tuple[int, ...]:
        """The node's faults, zero-filled and reactivated pages, page-ins, copy-on-write faults, messages sent and received; and
        what TASK_IPC_INFO counts."""
        vm, ipc = self.vm, self.ipc
        return (
            vm.faults, vm.zero_fill_count, vm.reactivations, vm.pageins, vm.cow_faults,
            ipc.messages_sent, ipc.messages_received,
            self.traps.trap_count, *ipc.sent,
        )  # fmt: skip

    def charge_events(self, task: Task | None = None) -> None:
        """What has happened since the last call is counted for a task; without one for the current thread's, or the kernel's."""
        counts = self.event_counts()
        if counts != self.counted:
            thread = self.sched.current
            task = task or (self.kernel_task if thread is None else thread.task)
            task.events = tuple(map(add, task.events, map(sub, counts, self.counted)))
            self.counted = counts

    def _check_clocks(self) -> None:
        """No count of what has passed is ahead of the one that it is made of."""
        counts = [self.clock.now() // TICK_NS, self.ticks, self.sched.sched_tick * SECOND_TICKS]
        ahead = counts != sorted(counts, reverse=True) or self.clock.time.since > counts[0]
        threads = [thread for pset in self.psets for thread in pset.threads.values()]
        wrong = self.sched.into != self.ticks % SECOND_TICKS
        if ahead or wrong or any(thread.sched_stamp > self.sched.second_of(thread.task) for thread in threads):
            raise InvariantError("a clock is ahead of its time")
        if self.thread_serial < max((number for pset in self.psets for number in pset.threads), default=0):
            raise InvariantError("a thread has a number that is still to be given")

    def check_invariants(self) -> None:
        for pset in self.psets:
            pset.check_invariants()
        if len(self.counted) != len(self.event_counts()):
            raise InvariantError("other events are counted than there are")
        self.gsync.check_invariants()
        self._check_clocks()
        if self.task_serial < max(self.tasks, default=0):
            raise InvariantError("a task has a number that is still to be given")
        for task in self.tasks.values():
            task.check_invariants()
            if task.processor_set.tasks.get(task.number) is not task:
                raise InvariantError(f"task {task.number} is not listed in its processor set")
            for thread in task.threads.values():
                if thread.processor_set.threads.get(thread.number) is not thread:
                    raise InvariantError(f"thread {thread.number} is not listed in its processor set")
        if sum(len(pset.tasks) for pset in self.psets) != len(self.tasks):
            raise InvariantError("a processor set lists a task that has ended")
        if sum(len(pset.threads) for pset in self.psets) != self.thread_count:
            raise InvariantError("a processor set lists a thread that has ended")
        if sum(len(task.threads) for task in self.tasks.values()) != self.thread_count:
            raise InvariantError("threads are not counted right")
