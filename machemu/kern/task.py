"""A task: an address space, a port name space, and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.kern.thread import BASEPRI_USER, Priority, Thread
from machemu.machine.seams import MachineTask
from machemu.sim.state import Natural, Time, state
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


@state
class Task:
    """Mach's struct task.

    number: a serial number of the node's own; name: for people, the boot module's path or the parent's name in parentheses.
    space, map: its own; memory is IPC's view of the map. The map is gone (None) once the task has ended.
    threads: by number, oldest first.
    processor_set: where its new threads run. events: what task_events_info counts.
    suspend_count counts all holds, user_stop_count those of task_suspend.
    itk_self: its kernel port, None once the task has ended; itk_sself, itk_exception, itk_bootstrap, itk_registered: naked send
    rights it owns.
    machine: what it has of the machine. eml_dispatch: the traps that it redirects, or None.
    essential: what task_set_essential said. pc_sample: samples of its threads, where somebody wants them.
    user_time, system_time: nanoseconds of threads that have ended.
    """

    __slots__ = (
        "number", "name", "space", "map", "memory", "threads", "active", "suspend_count", "user_stop_count", "priority",
        "processor_set", "events",
        "itk_self", "itk_sself", "itk_exception", "itk_bootstrap", "itk_registered",
        "machine", "eml_dispatch", "essential", "pc_sample",
        "user_time", "system_time", "creation_time",
    )  # fmt: skip
    number: Natural
    name: str
    space: Space
    map: VmMap | None
    memory: UserMemory
    threads: dict[int, Thread]
    active: bool
    suspend_count: Natural
    user_stop_count: Natural
    priority: Priority
    processor_set: ProcessorSet
    events: tuple[int, ...]
    itk_self: Port | None
    itk_sself: Right
    itk_exception: Right
    itk_bootstrap: Right
    itk_registered: list[Right]
    machine: MachineTask
    eml_dispatch: EmlDispatch | None
    essential: bool
    pc_sample: PcSample | None
    user_time: Time
    system_time: Time
    creation_time: Time

    def check_saved(self) -> None:
        """ValueError where it counts other events than there are."""
        if len(self.events) != TASK_EVENTS_INFO_COUNT:
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
        self.events = (0,) * TASK_EVENTS_INFO_COUNT
        self.itk_self = self_port
        self.itk_sself = None
        self.itk_exception = None
        self.itk_bootstrap = None
        self.itk_registered = [None] * TASK_PORT_REGISTER_MAX
        self.machine = machine
        self.essential = False
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
