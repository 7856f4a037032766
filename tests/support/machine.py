"""A machine for tests: booted from a file or from a few instructions, its console kept, its kernel checked at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from machemu.abi.types import VirtAddr
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.modules import Modules
from machemu.boot.node import Node
from machemu.core import invariants
from machemu.core.kernel import FOREVER, Stop
from machemu.formats.elf import architecture_of
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.profile import load_profile
from machemu.machine.seams import Disk, Nic
from machemu.vm import routines as vm
from tests.support.guests import ARCHS, Arch

IMAGES = Path(__file__).parents[2] / "images"
CONFORMANCE = Path(__file__).parents[1] / "conformance"
RAM = 8 << 20
CODE = 0x10000
CODE_SIZE = 0x10000
STACK_END = 0x80000
STACK_SIZE = 0x10000
SECOND_NS = 1_000_000_000


class Machine:
    """A node whose console output is kept in `console`. Where its `with` block ends well, all tasks end and nothing is left.

    arch: what its guests are made of.
    """

    def __init__(self, node: Node, before: invariants.Usage | None = None) -> None:
        self.before = before or invariants.usage(node.kernel)
        self.node = node
        self.kernel = node.kernel
        self.arch = ARCHS[node.kernel.cpu.architecture]
        self.console = b""
        self.until: bytes | None = None
        self.kernel.console.sinks.append(self._print)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *rest: object) -> None:
        try:
            if failure is None:
                self.leave_nothing()
        finally:
            self.node.close()

    def leave_nothing(self) -> None:
        """The leak check: ends every task, and finds all ports, sets, messages, events and frames of the empty machine again.

        An open device keeps its port, as on the real kernel. A thread that is just ending itself goes first.
        """
        self.kernel.halted = None
        current = self.kernel.kern.sched.current
        if current is not None and not (current.active and current.task.active):
            self.run(1)
        self.end_all()
        self.run(1)
        self.settle()
        self.check()
        after = self.usage()
        assert after._replace(ports=after.ports - len(self.kernel.devices.opened)) == self.before

    def settle(self) -> None:
        """Lets devices end what they were asked for."""
        while self.kernel.devices.busy:
            self.run(SECOND_NS)

    def _print(self, data: bytes) -> None:
        self.console += data
        if self.until is not None and any(line.startswith(self.until) for line in self.console.split(b"\n")[:-1]):
            self.kernel.stop()

    def run(self, duration: int = FOREVER, traps: int | None = None) -> Stop:
        """Runs for so many virtual nanoseconds at most."""
        return self.kernel.run(self.kernel.kern.clock.now() + duration, traps)

    def run_until(self, text: str, duration: int = FOREVER) -> Stop:
        """Runs until a console line begins with `text`."""
        self.until = text.encode()
        return self.run(duration)

    def end(self, task: Task) -> None:
        """Terminates a task from outside, and lets its threads go."""
        task_control.terminate(self.kernel.kern, task)
        self.run(1)

    @property
    def tasks(self) -> list[Task]:
        """Every task but the kernel's own, oldest first."""
        return [task for task in self.kernel.kern.tasks.values() if task is not self.kernel.kern.kernel_task]

    def end_all(self) -> None:
        """Terminates every task but the kernel's own."""
        for task in self.tasks:
            if task.active:
                self.end(task)

    def word(self, task: Task, address: int) -> int:
        """A word of a task's memory."""
        return int(self.arch.unpack("I", task.memory.read(VirtAddr(address), 4))[0])

    def check(self) -> None:
        """Recounts everything in the kernel."""
        invariants.check(self.kernel)

    def usage(self) -> invariants.Usage:
        return invariants.usage(self.kernel)


def image(arch: Arch, name: str) -> Path:
    """A guest program."""
    return IMAGES / arch.name / f"{name}.elf"


def module(arch: Arch, name: str) -> Path:
    """A conformance module."""
    return CONFORMANCE / arch.name / f"{name}.elf"


def new_node(arch: Arch, ram: int = RAM, disks: Mapping[str, Disk] | None = None, nics: Mapping[str, Nic] | None = None) -> Node:
    """A machine of an architecture, for a Machine or as it is."""
    return Node(load_profile(arch.profile), ram, disks, nics)


def load(path: Path, disks: Mapping[str, Disk] | None = None) -> Machine:
    """A saved machine, to go on with, and the images of its disks."""
    node = Node.load(path, disks)
    with new_node(ARCHS[node.kernel.cpu.architecture], len(node.kernel.memory.view)) as fresh:
        return Machine(node, invariants.usage(fresh.kernel))


def boot(
    path: Path, *arguments: str, ram: int = RAM, disks: Mapping[str, Disk] | None = None, lines: Sequence[str] = ()
) -> Machine:
    """A machine with one module that runs on it, not yet run. lines: more of the boot script."""
    machine = Machine(new_node(ARCHS[architecture_of(str(path))], ram, disks))
    extra = "".join(f" {argument}" for argument in arguments)
    boot_modules(machine.kernel, [f"{path.name} {DEFAULT_LINE}{extra}", *lines], {}, modules=Modules(path.parent))
    return machine


def empty(arch: Arch, ram: int = RAM) -> Machine:
    """A machine without tasks."""
    return Machine(new_node(arch, ram))


def add_task(machine: Machine, code: bytes, arguments: Sequence[int] = ()) -> tuple[Task, Thread]:
    """A task whose thread runs `code` at CODE, with words on its stack."""
    kern = machine.kernel.kern
    task = task_control.create(kern, None, False, "guest")
    assert task.map is not None
    vm.vm_allocate(task.map, CODE, CODE_SIZE, False)
    vm.vm_allocate(task.map, STACK_END - STACK_SIZE, STACK_SIZE, False)
    task.memory.write(VirtAddr(CODE), code)
    words = machine.arch.pack(f"{len(arguments)}I", *arguments)
    pointer = STACK_END - 64 - len(words)
    task.memory.write(VirtAddr(pointer), words)
    thread = add_thread(machine, task, CODE, pointer)
    return task, thread


def add_thread(machine: Machine, task: Task, pc: int, sp: int) -> Thread:
    """Another thread of a task, running."""
    thread = thread_control.create(machine.kernel.kern, task)
    thread.pcb.set_entry(VirtAddr(pc), VirtAddr(sp))
    thread_control.resume(machine.kernel.kern, thread)
    return thread
