"""A thread: what runs. Its state machine is Mach's (TH_ flags); a thread off the CPU is wholly described by its fields."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from machemu.abi.errors import InvariantError
from machemu.ipc.thread import IpcThread, MsgContinuation
from machemu.machine.seams import Pcb
from machemu.sim.state import U8, Natural, Range, Signed, Time, Word, state

if TYPE_CHECKING:
    from machemu.ipc.port import Port, Right
    from machemu.kern.gsync import Key
    from machemu.kern.pc_sample import PcSample
    from machemu.kern.processor_set import ProcessorSet
    from machemu.kern.task import Task
    from machemu.sim.events import Event
    from machemu.user.own import KernelView, Memory
    from machemu.vm.event import WaitEvent
    from machemu.vm.object import VmObject

TH_WAIT: Final = 1
TH_SUSP: Final = 2
TH_RUN: Final = 4
TH_HALTED: Final = 16

BASEPRI_USER: Final = 25
POLICY_TIMESHARE: Final = 1
POLICY_FIXEDPRI: Final = 2
NRQS: Final = 64
"""How many run queues, and so priorities, there are."""
Priority = Annotated[int, Range(0, NRQS - 1)]


class Program(Protocol):
    """What a host-side thread does: plain data, saved with the thread. arguments: the words of the trap that it makes."""

    arguments: tuple[int, ...]

    def attach(self) -> None:
        """Makes again what is not saved."""

    def next(self, kernel: KernelView, memory: Memory, result: int | None) -> int:
        """Goes on with the last trap's result, None at first; the number of the next trap.

        MustWait where memory must be waited for; then it is called again with the same result.
        """


@state
class Continuation(Enum):
    """Where a thread that blocked in kern goes on when it is dispatched; `ipc` has its own."""

    SWTCH = auto()
    SWTCH_PRI = auto()
    THREAD_SWITCH = auto()
    EXCEPTION_REPLY = auto()
    FAULT = auto()
    """Waited for a page: the access is made again."""
    TRAP = auto()
    """Waited for a page: the trap's handler starts again."""
    REDIRECT = auto()
    """Waited for its stack's page: the trap is redirected then."""


@state
class Thread(IpcThread):
    """Mach's struct thread.

    state: TH_ flags. TH_RUN: it runs or is in a run queue (`queued`) or handed off; TH_WAIT: it waits for `wake`; TH_SUSP: held.
    suspend_count counts all holds, user_stop_count those of thread_suspend.
    continuation: what is done before it returns to user mode; None returns as `pcb` says.
    retval: a trap's result not yet written to the pcb, since the thread's registers were in the CPU.
    wait_event: what it waits for in virtual memory; held: a reference to a memory object that it keeps until then.
    trap_retry: of a trap to be started again its number and arguments, None where those could not be read yet; trap_right: a send
    right that it keeps until then.
    wait_timer, depress_timer: its pending time-outs.
    processor_set: where it runs. policy: POLICY_TIMESHARE, or POLICY_FIXEDPRI with sched_data its quantum in clock ticks.
    vm_privilege: it may take the frames that are kept (thread_wire).
    priority is the base, max_priority the best that it may have, sched_pri what the run queues use (0 is best).
    depress_priority is -1 or the priority to return to.
    cpu_usage, sched_usage: aged microseconds of CPU, and the same scaled by load; *_delta since the last ageing at sched_stamp.
    gsync_key: the word that it waits for, or None (kern/gsync.py). pc_sample: samples of it, where somebody wants them.
    trap: the number of the trap that it is in, kept while somebody watches.
    program: of a thread of a host-side task, what it does instead of running instructions; None for a guest's.
    user_time, system_time: nanoseconds; time_saved is their sum when the deltas were last taken.
    ith_self: its kernel port; ith_sself, ith_exception: naked send rights it owns; ith_rpc_reply: exceptions' reply port.
    ith_exc: the exception, code and subcode that a handler was asked for last; ith_last: that was the last handler to ask.
    """

    __slots__ = (
        "number", "task", "pcb", "state", "suspend_count", "user_stop_count", "active", "continuation", "retval",
        "wait_event", "held", "trap_retry", "trap_right", "wait_timer", "depress_timer", "queued",
        "processor_set", "policy", "sched_data", "vm_privilege",
        "priority", "max_priority", "sched_pri", "depress_priority",
        "cpu_usage", "sched_usage", "cpu_delta", "sched_delta", "sched_stamp",
        "user_time", "system_time", "time_saved", "creation_time",
        "ith_self", "ith_sself", "ith_exception", "ith_rpc_reply", "ith_exc", "ith_last",
        "gsync_key", "pc_sample", "trap", "program",
    )  # fmt: skip
    TRANSIENT = ("trap",)
    number: Natural
    task: Task
    pcb: Pcb
    state: U8
    suspend_count: Natural
    user_stop_count: Natural
    active: bool
    continuation: Continuation | MsgContinuation | None
    retval: Word | None
    wait_event: WaitEvent | None
    held: VmObject | None
    trap_retry: tuple[Word, tuple[Word, ...] | None] | None
    trap_right: Right
    wait_timer: Event | None
    depress_timer: Event | None
    queued: bool
    processor_set: ProcessorSet
    policy: Annotated[int, Range(POLICY_TIMESHARE, POLICY_FIXEDPRI)]
    sched_data: Word
    vm_privilege: bool
    priority: Priority
    max_priority: Priority
    sched_pri: Priority
    depress_priority: Annotated[int, Range(-1, NRQS - 1)]
    cpu_usage: Natural
    sched_usage: Natural
    cpu_delta: Natural
    sched_delta: Natural
    sched_stamp: Time
    user_time: Time
    system_time: Time
    time_saved: Time
    creation_time: Time
    ith_self: Port | None
    ith_sself: Right
    ith_exception: Right
    ith_rpc_reply: Port | None
    ith_exc: tuple[Signed, Signed, Signed] | None
    ith_last: bool
    gsync_key: Key | None
    pc_sample: PcSample | None
    program: Program | None

    def __init__(self, number: int, task: Task, pcb: Pcb, self_port: Port) -> None:
        super().__init__(task.space, task.memory)
        self.number = number
        self.task = task
        self.pcb = pcb
        self.state = TH_SUSP
        self.suspend_count = 1
        self.user_stop_count = 1
        self.active = True
        self.continuation = None
        self.retval = None
        self.wait_event = None
        self.held = None
        self.trap_retry = None
        self.trap_right = None
        self.wait_timer = None
        self.depress_timer = None
        self.queued = False
        self.processor_set = task.processor_set
        self.policy = POLICY_TIMESHARE
        self.sched_data = 0
        self.vm_privilege = False
        self.priority = BASEPRI_USER
        self.max_priority = BASEPRI_USER
        self.sched_pri = BASEPRI_USER
        self.depress_priority = -1
        self.cpu_usage = 0
        self.sched_usage = 0
        self.cpu_delta = 0
        self.sched_delta = 0
        self.sched_stamp = 0
        self.user_time = 0
        self.system_time = 0
        self.time_saved = 0
        self.creation_time = 0
        self.ith_self = self_port
        self.ith_sself = None
        self.ith_exception = None
        self.ith_rpc_reply = None
        self.ith_exc = None
        self.ith_last = False
        self.gsync_key = None
        self.pc_sample = None
        self.trap: int | None = None
        self.program = None

    def check_saved(self) -> None:
        """ValueError where more of its time has been counted as usage than it has used."""
        if self.time_saved > self.user_time + self.system_time:
            raise ValueError("it has used less time than is counted")

    def check_invariants(self) -> None:
        if self.queued and not self.state & TH_RUN:
            raise InvariantError(f"thread {self.number} is in a run queue but not runnable")
        if self.user_stop_count < 0 or self.suspend_count < (self.user_stop_count > 0):
            raise InvariantError(f"thread {self.number}: suspend counts {self.suspend_count}, {self.user_stop_count}")
        if bool(self.state & TH_SUSP) != (self.suspend_count > 0):
            raise InvariantError(f"thread {self.number}: TH_SUSP does not tell its suspend count {self.suspend_count}")
        if (self.ith_queue is not None or self.wait_event is not None) and not self.state & TH_WAIT:
            raise InvariantError(f"thread {self.number} stands in a queue but does not wait")
