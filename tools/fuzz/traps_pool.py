"""The names that a call may use: those that its task has, and where it has none of a kind, one that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.abi.port import (
    RIGHT_DEAD_NAME,
    RIGHT_PORT_SET,
    RIGHT_RECEIVE,
    TYPE_DEAD_NAME,
    TYPE_PORT_SET,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
)
from machemu.core.managers import PagingName, PagingRequest
from machemu.core.proxies import Proxy
from machemu.device.ds_routines import Device, MasterDevice
from machemu.device.io import IoOp, IoRequest
from machemu.device.io_perm import IoPerm
from machemu.ipc import mach_port, right
from machemu.ipc import port as ports
from machemu.ipc.entry import Entry
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.kern import task_control, thread_control
from machemu.kern.host import HostPort, HostPrivPort
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.vm import memory_object
from machemu.vm import routines as vm
from machemu.vm.pager import Pager
from tools.fuzz.traps_callers import tried
from tools.fuzz.traps_world import PLAY, PLAY_SIZE, TrapWorld

OBJECTS: Final[dict[str, tuple[type, ...]]] = {
    "task": (Task,),
    "thread": (Thread,),
    "host": (HostPort, HostPrivPort),
    "privileged": (HostPrivPort,),
    "processor": (Processor,),
    "pset": (ProcessorSet,),
    "pset name": (ProcessorSetName, ProcessorSet),
    "master": (MasterDevice,),
    "control": (PagingRequest,),
    "object": (PagingName,),
    "permission": (IoPerm,),
    "proxy": (Proxy,),
}
"""Kinds of names by what their ports stand for."""
TYPES: Final = {
    "receive": TYPE_RECEIVE,
    "set": TYPE_PORT_SET,
    "dead": TYPE_DEAD_NAME,
    "once": TYPE_SEND_ONCE,
    "send": TYPE_SEND,
    "any": TYPE_RECEIVE | TYPE_PORT_SET | TYPE_DEAD_NAME | TYPE_SEND_ONCE | TYPE_SEND,
}
"""Kinds of names by their rights."""
VICTIMS: Final = 5
COPY_DELAY: Final = 2


class Pool:
    """Finds and gives names. random: what chooses."""

    def __init__(self, world: TrapWorld, random: Random) -> None:
        self.world = world
        self.random = random
        self.kernel = world.kernel
        self.kern = world.kern
        self.ipc = world.kernel.ipc

    def name(self, space: Space, kind: str) -> int:
        """A name of a kind in a space, one that is given where there is none; 0 where none can be."""
        found = [name for name, entry in space.table.items() if fits(entry, kind)]
        if found and self.random.random() < 0.9:
            return self.random.choice(found)
        given = tried(self._give, space, kind)
        return given or (self.random.choice(found) if found else 0)

    def name_of(self, space: Space, port: Port | None) -> int:
        """A space's name for a port of the kernel's."""
        if port is None or not port.active or not space.active:
            return 0
        entry = right.reverse(space, port)
        if entry is not None and entry.type & TYPE_SEND:
            return entry.name
        return mach_port.copyout_send(self.ipc, space, ports.make_send(self.ipc, port))

    def fresh(self, space: Space) -> int:
        """A name that is in use for nothing."""
        while True:
            name = self.random.choice((self.random.randrange(1, 400), self.random.randrange(1, 1 << 32)))
            if name not in space.table:
                return name

    def disposition(self, space: Space, name: int, wanted: int) -> int:
        """What may become of a name's right: the one wanted (MAKE_SEND for a send right, ...), or what comes near to it."""
        entry = space.table.get(name)
        if entry is None:
            return wanted
        if entry.type & TYPE_RECEIVE:
            choices: Sequence[int] = {
                MAKE_SEND: (MAKE_SEND,),
                MAKE_SEND_ONCE: (MAKE_SEND_ONCE,),
            }.get(wanted, (MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE))
            return self.random.choice(choices)
        if entry.type & TYPE_SEND_ONCE:
            return MOVE_SEND_ONCE
        return self.random.choice((COPY_SEND, COPY_SEND, COPY_SEND, MOVE_SEND))

    # What is given

    def _give(self, space: Space, kind: str) -> int:
        kind, _, which = kind.partition(":")
        kern = self.kern
        single: dict[str, Callable[[], Port | None]] = {
            "task": lambda: self.victim().itk_self,
            "thread": lambda: self.victim_thread().ith_self,
            "host": lambda: kern.host.host_self,
            "privileged": lambda: kern.host.host_priv_self,
            "processor": lambda: kern.processors[0].processor_self,
            "pset": lambda: kern.psets[0].pset_self,
            "pset name": lambda: kern.psets[0].pset_name_self,
            "master": lambda: self.kernel.devices.master_port,
            "control": self._control,
            "object": self._object,
            "proxy": lambda: None,
        }
        if kind in single:
            return self.name_of(space, single[kind]())
        if kind == "device":
            opened = self.kernel.devices.open(which, IoRequest(IoOp.OPEN, self.random.randrange(4), 0, 0, b"", None, 0))
            return mach_port.copyout_send(self.ipc, space, opened) if opened is not None else 0
        if kind == "permission":
            first = self.random.randrange(0x400)
            return mach_port.copyout_send(
                self.ipc, space, self.kernel.io_perms.create(self.ipc, first, first + self.random.randrange(64))
            )
        if kind in ("receive", "any"):
            return mach_port.mach_port_allocate(self.ipc, space, RIGHT_RECEIVE)
        if kind == "set":
            return mach_port.mach_port_allocate(self.ipc, space, RIGHT_PORT_SET)
        if kind == "dead":
            return mach_port.mach_port_allocate(self.ipc, space, RIGHT_DEAD_NAME)
        name = mach_port.mach_port_allocate(self.ipc, space, RIGHT_RECEIVE)
        port = right.lookup_receive(space, name)
        if kind == "send":
            return mach_port.copyout_send(self.ipc, space, ports.make_send(self.ipc, port))
        return right.copyout(space, ports.make_sonce(self.ipc, port), MOVE_SEND_ONCE)

    def victims(self) -> list[Task]:
        """The tasks that make no calls."""
        callers = {thread.task.number for thread in self.world.callers_left()}
        return [
            task
            for task in self.kern.tasks.values()
            if task.active and task.number not in callers and task is not self.kern.kernel_task and task.itk_self is not None
        ]

    def victim(self) -> Task:
        """A task that makes no calls; a new one where there are few."""
        victims = self.victims()
        if len(victims) < VICTIMS:
            task = task_control.create(self.kern, None, False, "victim")
            assert task.map is not None
            vm.vm_allocate(task.map, PLAY, PLAY_SIZE, False)
            thread_control.create(self.kern, task)
            return task
        return self.random.choice(victims)

    def victim_thread(self) -> Thread:
        task = self.victim()
        threads = [thread for thread in task.threads.values() if thread.active]
        return self.random.choice(threads) if threads else thread_control.create(self.kern, task)

    def _control(self) -> Port | None:
        """The control port of a memory object that a victim has mapped, and that is ready."""
        task = self.victim()
        name = mach_port.mach_port_allocate(self.ipc, task.space, RIGHT_RECEIVE)
        port = right.lookup_receive(task.space, name)
        assert task.map is not None
        vm.vm_map(task.map, 0, 4 * task.map.vm.page_size, 0, True, port, 0, False, 7, 7, 1)
        pager = port.kobject
        if not isinstance(pager, Pager) or not isinstance(pager.control, Port):
            return None
        memory_object.set_attributes(pager, True, COPY_DELAY)
        return pager.control

    def _object(self) -> Port | None:
        """The name port of an object that some task has mapped."""
        task = self.random.choice(self.victims() or [self.victim()])
        entries = task.map.entries if task.map is not None else []
        objects = [entry.object for entry in entries if entry.object is not None]
        if not objects:
            assert task.map is not None
            objects = [task.map.shadow_entry(entry) for entry in entries[:1]]
        if not objects:
            return None
        chosen = self.random.choice(objects)
        if chosen.name is None:
            chosen.name = self.kernel.vm.managers.name_port(chosen)
        return chosen.name if isinstance(chosen.name, Port) else None


def fits(entry: Entry, kind: str) -> bool:
    """Whether an entry is of a kind."""
    if kind in TYPES:
        return bool(entry.type & TYPES[kind])
    if not entry.type & TYPE_SEND or not isinstance(entry.object, Port) or not entry.object.active:
        return False
    kobject = entry.object.kobject
    if kind.startswith("device:"):
        return isinstance(kobject, Device) and kobject.name == kind[7:]
    return isinstance(kobject, OBJECTS[kind])
