"""A small machine with two tasks: a guest that runs programs, and a neighbour that must not be touched by them."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.boot.node import RAM_MIN, Node
from machemu.core import invariants
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.kern import syscall_emulation, task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.i386 import debug
from machemu.machine.i386 import pcb as i386
from machemu.machine.i386.task import I386Task
from machemu.machine.m68k import pcb as m68k
from machemu.machine.profile import load_profile
from machemu.vm import routines as vm
from tools.fuzz import neighbour, values
from tools.fuzz.program import (
    CODE,
    CODE_SIZE,
    CONSTANT,
    CONSTANT_SIZE,
    DATA,
    DATA_SIZE,
    STACK,
    STACK_SIZE,
    STACK_TOP,
    Extra,
    Step,
)

PROFILES: Final = {"i386": "pc486dx2-66", "m68k": "mc68040-25"}
REGIONS: Final = ((CODE, CODE_SIZE), (DATA, DATA_SIZE), (CONSTANT, CONSTANT_SIZE), (STACK, STACK_SIZE))
RECEIVE: Final = 1
NEIGHBOUR_INSTRUCTIONS: Final = 2000
"""How long the neighbour has, the switch to it included, between two steps."""
WARM_UP_NS: Final = 1_000_000
Raised = tuple[int, int, int]


class Hurt(Exception):
    """The neighbour was touched; the message says how."""


class Stopped(NamedTuple):
    """How a guest's thread stood when it stopped: its exception or None, its state's words, virtual time and traps so far."""

    raised: Raised | None
    is_alive: bool
    state: tuple[int, ...]
    time: int
    traps: int


class Watch:
    """core.parts.KernelObserver: ends the run with the first exception of the guest's thread.

    raised: that exception, or None. hurt: an exception of any other thread, or None.
    """

    def __init__(self, world: CpuWorld) -> None:
        self.world = world
        self.first: Raised | None = None
        self.hurt: Raised | None = None

    def resumed(self, thread: Thread, result: int) -> None: ...

    def raised(self, thread: Thread, what: Raised) -> None:
        if thread.task.number == self.world.guest_number:
            self.first = what
            self.world.kernel.stop()
        else:
            self.hurt = what

    def noted(self, thread: Thread, what: str) -> None: ...

    def ended(self, thread: Thread) -> None: ...


class CpuWorld:
    """A machine with a guest, whose thread is suspended, and its neighbour."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self._bind(Node(load_profile(PROFILES[architecture]), RAM_MIN))
        code = neighbour.CODES[architecture]()
        self.guest_number = 0
        self.neighbour = self._task("neighbour", ((neighbour.CODE, CODE_SIZE), (neighbour.DATA, DATA_SIZE), (STACK, STACK_SIZE)))
        self.neighbour.memory.write(VirtAddr(neighbour.CODE), code)
        self.counter = thread_control.create(self.kern, self.neighbour)
        self.counter.pcb.set_entry(VirtAddr(neighbour.CODE), VirtAddr(STACK_TOP))
        thread_control.resume(self.kern, self.counter)
        self.kernel.run(WARM_UP_NS)
        thread_control.suspend(self.kern, self.counter)
        self.before = invariants.usage(self.kernel)
        self.port_name = mach_port.mach_port_allocate(self.kernel.ipc, self.neighbour.space, RECEIVE)
        self._make_guest()
        self._counted = self._count()
        self._warm_up()

    def _bind(self, node: Node) -> None:
        self.node = node
        self.kernel = node.kernel
        self.kern = node.kernel.kern
        self.kernel.observer = self.watch = Watch(self)

    def _task(self, name: str, regions: tuple[tuple[int, int], ...]) -> Task:
        task = task_control.create(self.kern, None, False, name)
        assert task.map is not None
        for address, size in regions:
            vm.vm_allocate(task.map, address, size, False)
            task.memory.write(VirtAddr(address), bytes(size))
        return task

    def renew_guest(self) -> None:
        """Another guest in the place of one that has ended, or cannot go on; whatever that left stays until the end."""
        if self.guest.active:
            task_control.terminate(self.kern, self.guest)
        self._make_guest()

    def _make_guest(self) -> None:
        self.guest = self._task("guest", REGIONS)
        self._fill()
        self.thread = thread_control.create(self.kern, self.guest)
        self.guest_number = self.guest.number

    def _fill(self) -> None:
        """The guest's data: extreme numbers."""
        count = len(values.PATTERN_WORDS)
        pattern = struct.pack(f"{self.node.cpu.order.prefix}{count}I", *values.PATTERN_WORDS)
        for address, size in ((DATA, DATA_SIZE), (CONSTANT, CONSTANT_SIZE)):
            self.guest.memory.write(VirtAddr(address), (pattern * (size // len(pattern) + 1))[:size])
        assert self.guest.map is not None
        vm.vm_protect(self.guest.map, CONSTANT, CONSTANT_SIZE, False, VM_PROT_READ)

    def _warm_up(self) -> None:
        """Runs the guest once, over all of its pages of code, so that later ones find them known to be code."""
        kern = self.kern
        size = self.node.cpu.page_size
        pages = range(CODE, CODE + CODE_SIZE, size)
        jump = neighbour.JUMPS[self.architecture]
        for page in pages:
            self.guest.memory.write(VirtAddr(page), jump(page, page + size if page + size in pages else page))
        self.thread.pcb.set_entry(VirtAddr(CODE), VirtAddr(STACK_TOP))
        thread_control.resume(kern, self.thread)
        self.kernel.run(kern.clock.now() + WARM_UP_NS)
        self.stopped()
        for page in pages:
            self.guest.memory.write(VirtAddr(page), bytes(size))

    def close(self) -> None:
        self.node.close()

    @property
    def is_alive(self) -> bool:
        """Whether the guest's thread could run on."""
        return self.guest.active and self.thread.active

    def handle_exceptions(self) -> None:
        """From now on the guest's exceptions go to a port of its neighbour's, where nobody takes them."""
        port = self.neighbour.space.table[self.port_name].port()
        self.thread.ith_exception = ports.make_send(self.kernel.ipc, port)

    def reload(self, path: Path) -> None:
        """Saves the machine, and goes on with the one that was loaded."""
        self.node.save(path)
        first, hurt = self.watch.first, self.watch.hurt
        self.node.close()
        self._bind(Node.load(path))
        self.watch.first, self.watch.hurt = first, hurt
        self.neighbour = self.kern.tasks[self.neighbour.number]
        self.counter = self.neighbour.threads[self.counter.number]
        if self.is_alive:
            self.guest = self.kern.tasks[self.guest_number]
            self.thread = self.guest.threads[self.thread.number]

    # Steps

    def write(self, step: Step) -> None:
        """Puts a step's code where it belongs, if it is not there; each change makes the CPU translate everything anew."""
        memory, address = self.guest.memory, VirtAddr(step.address)
        if memory.read(address, len(step.code)) != step.code:
            memory.write(address, step.code)

    def begin(self, step: Step) -> None:
        """Puts a step's code and state where they belong; the thread is off the CPU. KernError where there is no room for it."""
        self.write(step)
        thread_control.abort(self.kern, self.thread)
        if self.architecture == "i386":
            self._begin_i386(step)
        else:
            self._set(m68k.THREAD_STATE, step.registers)
            self._set(m68k.EXCEPTION_FRAME, (step.flags << 16 | step.address >> 16, (step.address & 0xFFFF) << 16))
        for kind, words in step.extras:
            self._extra(kind, words)
        thread_control.resume(self.kern, self.thread)

    def _begin_i386(self, step: Step) -> None:
        self._set(i386.DEBUG_STATE, debug.NONE)
        eax, ecx, edx, ebx, esp, ebp, esi, edi = step.registers
        own = next((words for kind, words in step.extras if kind is Extra.SEGMENTS), None)
        pc = step.address
        segments = own or (i386.USER_CS, *[i386.USER_DS] * 5)
        if step.flags & values.VIRTUAL and own is None:
            segments = (CODE >> 4, STACK >> 4, DATA >> 4, DATA >> 4, CONSTANT >> 4, STACK >> 4)
            pc -= CODE
        cs, ss, ds, es, fs, gs = segments
        words = (gs, fs, es, ds, edi, esi, ebp, 0, ebx, edx, ecx, eax, pc, cs, step.flags, esp, ss)
        self._set(i386.THREAD_STATE, words)
        self._set(i386.REGS_SEGS_STATE, words)

    def _extra(self, kind: Extra, words: tuple[int, ...]) -> None:
        pcb, machine = self.thread.pcb, self.guest.machine
        if kind is Extra.FLOAT:
            self._set(i386.FLOAT_STATE if self.architecture == "i386" else m68k.FLOAT_STATE, words)
        elif kind is Extra.VECTOR:
            syscall_emulation.set_vector(self.kern, self.guest, words[0], words[1:])
        elif kind is Extra.DEBUG:
            self._set(i386.DEBUG_STATE, words)
        elif kind is Extra.PORTS and isinstance(machine, I386Task):
            machine.io_perm_modify(words[0], words[1], True)
        elif kind in (Extra.LOCAL_TABLE, Extra.GLOBAL_TABLE) and isinstance(pcb, i386.I386Pcb):
            signed = [word - (word >> 31 << 32) for word in words]
            with contextlib.suppress(KernError):
                if kind is Extra.LOCAL_TABLE:
                    pcb.set_ldt(words[0], list(zip(signed[1::2], signed[2::2], strict=True)), False)
                else:
                    for pair in zip(signed[::2], signed[1::2], strict=True):
                        pcb.set_gdt(-1, pair)

    def _set(self, flavor: int, words: tuple[int, ...]) -> None:
        with contextlib.suppress(KernError):
            thread_control.set_state(self.kern, self.thread, flavor, words)

    def go_on(self, move: int) -> None:
        """The exception was handled: the thread goes on `move` bytes behind where it was."""
        thread_control.abort(self.kern, self.thread)
        pcb = self.thread.pcb
        pcb.set_entry(VirtAddr(pcb.pc + move & 0xFFFFFFFF), pcb.sp)
        thread_control.resume(self.kern, self.thread)

    def stopped(self, is_last: bool = True) -> Stopped:
        """Holds the guest's thread and says how it stood. is_last: the neighbour runs after it. Raises Hurt."""
        what, self.watch.first = self.watch.first, None
        if self.is_alive:
            thread_control.suspend(self.kern, self.thread)
        clock = self.kern.clock
        if is_last:
            self._run_neighbour()
        else:
            self.kernel.run(clock.now() + 1)
        return Stopped(what, self.is_alive, self._state(), clock.now(), self.kernel.trap_count)

    def _run_neighbour(self) -> None:
        kern = self.kern
        thread_control.resume(kern, self.counter)
        deadline = kern.clock.now() + NEIGHBOUR_INSTRUCTIONS * kern.clock.instruction_ns
        while self.kernel.run(deadline) is Stop.ASKED:
            pass
        thread_control.suspend(kern, self.counter)
        count = self._count()
        if self.watch.hurt is not None:
            raise Hurt(f"its neighbour took the exception {self.watch.hurt}")
        if count == self._counted:
            raise Hurt("its neighbour stands still")
        self._counted = count

    def _state(self) -> tuple[int, ...]:
        if not self.is_alive:
            return ()
        pcb = self.thread.pcb
        if self.architecture == "i386":
            return tuple(pcb.get_state(i386.REGS_SEGS_STATE))
        return (*pcb.get_state(m68k.THREAD_STATE), *pcb.get_state(m68k.EXCEPTION_FRAME))

    def _count(self) -> int:
        return int.from_bytes(self.neighbour.memory.read(VirtAddr(neighbour.COUNT), 4), "big")

    # The end

    def end(self) -> str:
        """Ends the guest and whatever it made; what is left of it, "" for nothing. InvariantError where the kernel is wrong."""
        kern = self.kern
        for task in list(kern.tasks.values()):
            if task not in (kern.kernel_task, self.neighbour) and task.active:
                task_control.terminate(kern, task)
        mach_port.mach_port_destroy(self.kernel.ipc, self.neighbour.space, self.port_name)
        self.kernel.run(kern.clock.now() + 1)
        invariants.check(self.kernel)
        after = invariants.usage(self.kernel)
        return "" if after == self.before else f"{after} after it, {self.before} before"
