"""A thread: what runs. Its state machine is Mach's (TH_ flags); a thread off the CPU is wholly described by its fields."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from machemu.abi.errors import InvariantError
from machemu.abi.exception import Raised
from machemu.ipc.thread import IpcThread, MsgContinuation
from machemu.machine.seams import Pcb
from machemu.sim.state import U3, U8, U32, Natural, Range, Signed, Time, Word, state

if TYPE_CHECKING:
    from machemu.ipc.port import Port, Right
    from machemu.kern.gsync import Key
    from machemu.kern.pc_sample import PcSample
    from machemu.kern.processor_set import ProcessorSet
    from machemu.kern.redo import Redo
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
    """What a host-side thread does: plain data, saved with the thread. arguments: the words of the trap that it makes.

    owed: nanoseconds of its work that have still to pass, and then it makes the trap `number`.
    """

    arguments: tuple[int, ...]
    owed: int
    number: int

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
    REDO = auto()
    """Was in a wait when its task was frozen, and begins it anew."""


state(Raised)


@state
class Thread(IpcThread):
    """Mach's struct thread. What IPC has of it is IpcThread's."""

    __slots__ = (
        "number", "task", "pcb", "state", "suspend_count", "user_stop_count", "active", "continuation", "retval",
        "wait_event", "held", "fault", "trap_retry", "trap_right", "wait_timer", "depress_timer", "queued",
        "processor_set", "policy", "sched_data", "vm_privilege",
        "priority", "max_priority", "sched_pri", "depress_priority",
        "cpu_usage", "sched_usage", "cpu_delta", "sched_delta", "sched_stamp",
        "user_time", "system_time", "time_saved", "creation_time",
        "ith_self", "ith_sself", "ith_exception", "ith_rpc_reply", "ith_exc", "ith_last",
        "gsync_key", "redo", "pc_sample", "trap", "program",
    )  # fmt: skip
    TRANSIENT = ("trap",)
    number: Natural  # a serial number of the node's own
    task: Task
    pcb: Pcb  # its registers while it is off the CPU
    active: bool  # False once it was told to end
    program: Program | None  # of a thread of a host-side task, what it does instead of running instructions; None for a guest's

    # How it waits and goes on (kern/waits.py):
    state: U8  # TH_ flags. TH_RUN: runs, or is in a run queue or handed off; TH_WAIT: waits for `wake`; TH_SUSP: held
    suspend_count: Natural  # all holds
    user_stop_count: Natural  # those of thread_suspend
    continuation: Continuation | MsgContinuation | None  # what is done before user mode; None: returns as `pcb` says
    wait_timer: Event | None  # its pending time-out
    retval: Word | None  # a trap's result not yet written to the pcb, since the thread's registers were in the CPU
    wait_event: WaitEvent | None  # what it waits for in virtual memory
    held: VmObject | None  # a reference to a memory object that it keeps until then
    fault: tuple[U32, U3] | None  # an access that it makes again then: the address, and VM_PROT_
    # Of a trap to be started again its number and arguments, None where those could not be read yet, and a send right that it
    # keeps until then:
    trap_retry: tuple[Word, tuple[Word, ...] | None] | None
    trap_right: Right
    gsync_key: Key | None  # the word that it waits for (kern/gsync.py)
    redo: Redo | None  # what it begins anew (kern/redo.py)

    # The scheduler's (kern/sched.py, kern/priority.py):
    processor_set: ProcessorSet  # where it runs
    queued: bool  # in a run queue
    policy: Annotated[int, Range(POLICY_TIMESHARE, POLICY_FIXEDPRI)]
    sched_data: Word  # the quantum of POLICY_FIXEDPRI, in clock ticks
    vm_privilege: bool  # it may take the frames that are kept (thread_wire)
    priority: Priority  # the base; 0 is best
    max_priority: Priority  # the best that it may have
    sched_pri: Priority  # what the run queues use
    depress_priority: Annotated[int, Range(-1, NRQS - 1)]  # the priority to return to, -1 where it is not depressed
    depress_timer: Event | None
    cpu_usage: Natural  # aged microseconds of CPU
    sched_usage: Natural  # the same, scaled by load
    cpu_delta: Natural  # of both, what came since the last ageing
    sched_delta: Natural
    sched_stamp: Signed  # the second of the last ageing; before the node began for a thread that came later

    # Its times, in nanoseconds:
    user_time: Time
    system_time: Time
    time_saved: Time  # the sum of both when the deltas were last taken
    creation_time: Time

    # Its ports and exceptions (kern/ipc_tt.py, kern/exception.py):
    ith_self: Port | None  # its kernel port, None once it has ended
    ith_sself: Right  # a naked send right that it owns, as is the next
    ith_exception: Right
    ith_rpc_reply: Port | None  # where exceptions are answered
    ith_exc: Raised | None  # the exception, code and subcode that a handler was asked for last
    ith_last: bool  # that was the last handler to ask

    # Whoever watches:
    pc_sample: PcSample | None  # samples of it, where somebody wants them
    # trap, transient: the number of the trap that it is in, kept while somebody watches

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
        self.fault = None
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
        self.redo = None
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
