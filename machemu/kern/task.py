"""A task: an address space, a port name space, and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from machemu.abi.errors import InvariantError
from machemu.kern.clock import HZ
from machemu.kern.thread import BASEPRI_USER, Priority, Thread
from machemu.machine.seams import MachineTask
from machemu.sim.state import Natural, Range, Signed, Time, state
from machemu.vm.map import VmMap
from machemu.vm.user import UserMemory

if TYPE_CHECKING:
    from machemu.ipc.port import Port, Right
    from machemu.ipc.space import Space
    from machemu.kern.pc_sample import PcSample
    from machemu.kern.processor_set import ProcessorSet
    from machemu.kern.syscall_emulation import EmlDispatch

TASK_PORT_REGISTER_MAX: Final = 4
TASK_EVENTS_INFO_COUNT: Final = 7
TASK_IPC_INFO_COUNT: Final = 7
NAME_MAX: Final = 31
"""Characters of a task's name that Mach keeps."""


@state
class Task:
    """Mach's struct task."""

    __slots__ = (
        "number", "name", "space", "map", "memory", "threads", "active", "suspend_count", "user_stop_count", "priority",
        "processor_set", "events",
        "itk_self", "itk_sself", "itk_exception", "itk_bootstrap", "itk_registered", "printer",
        "machine", "eml_dispatch", "essential", "frozen", "own_ticks", "phase", "pc_sample",
        "user_time", "system_time", "creation_time",
    )  # fmt: skip
    number: Natural  # a serial number of the node's own
    name: str  # for people: the boot module's path, or the parent's name in parentheses
    active: bool
    machine: MachineTask  # what it has of the machine
    eml_dispatch: EmlDispatch | None  # the traps that it redirects
    essential: bool  # what task_set_essential said
    # kern/freeze.py's:
    frozen: bool  # its threads are held until it is thawed
    own_ticks: Signed  # where it is, the time in clock ticks, without that for which it was frozen before
    phase: Annotated[int, Range(0, HZ - 1)]  # how many clock ticks its seconds begin after the node's

    # Its memory and names; they are its own:
    space: Space
    map: VmMap | None  # None once the task has ended
    memory: UserMemory  # the map as IPC sees it

    # Its threads:
    threads: dict[int, Thread]  # by number, oldest first
    suspend_count: Natural  # all holds
    user_stop_count: Natural  # those of task_suspend
    priority: Priority  # that of new threads
    processor_set: ProcessorSet  # where new threads run

    # Its ports (kern/ipc_tt.py):
    itk_self: Port | None  # its kernel port, None once the task has ended
    itk_sself: Right  # a naked send right that it owns, as are the next three
    itk_exception: Right
    itk_bootstrap: Right
    itk_registered: list[Right]
    printer: Right  # a send right that it owns, to where what it prints goes; None for this kernel's console and log

    # Its accounts; times in nanoseconds:
    user_time: Time  # of threads that have ended, as is the next
    system_time: Time
    creation_time: Time
    events: tuple[int, ...]  # what TASK_EVENTS_INFO counts, and then what TASK_IPC_INFO does
    pc_sample: PcSample | None  # samples of its threads, where somebody wants them

    def check_saved(self) -> None:
        """ValueError where it counts other events than there are."""
        if len(self.events) != TASK_EVENTS_INFO_COUNT + TASK_IPC_INFO_COUNT:
            raise ValueError("its events are not those of a task")

    def __init__(
        self,
        number: int,
        name: str,
        pset: ProcessorSet,
        space: Space,
        vm_map: VmMap,
        memory: UserMemory,
        machine: MachineTask,
        self_port: Port,
    ) -> None:
        self.number = number
        self.name = name
        self.space = space
        self.map = vm_map
        self.memory = memory
        self.threads = {}
        self.active = True
        self.suspend_count = 0
        self.user_stop_count = 0
        self.priority = BASEPRI_USER
        self.processor_set = pset
        self.events = (0,) * (TASK_EVENTS_INFO_COUNT + TASK_IPC_INFO_COUNT)
        self.itk_self = self_port
        self.itk_sself = None
        self.itk_exception = None
        self.itk_bootstrap = None
        self.itk_registered = [None] * TASK_PORT_REGISTER_MAX
        self.printer = None
        self.machine = machine
        self.essential = False
        self.frozen = False
        self.own_ticks = 0
        self.phase = 0
        self.pc_sample = None
        self.eml_dispatch = None
        self.user_time = 0
        self.system_time = 0
        self.creation_time = 0

    def check_invariants(self) -> None:
        if self.active and self.map is None:
            raise InvariantError(f"task {self.number} is active without an address space")
        for number, thread in self.threads.items():
            if thread.number != number or thread.task is not self:
                raise InvariantError(f"task {self.number} lists thread {thread.number} wrongly")
            if thread.suspend_count < self.suspend_count:
                raise InvariantError(f"thread {thread.number} is held less often than its task")
            thread.check_invariants()
