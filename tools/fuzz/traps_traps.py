"""Makes traps: the arguments of each, mostly what a program would give."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from machemu.abi.message import COPY_SEND, MAKE_SEND
from machemu.core.traps import Trap
from machemu.kern.thread import Thread
from tools.fuzz import traps_values as values
from tools.fuzz.traps_arguments import Arguments
from tools.fuzz.traps_callers import Call
from tools.fuzz.traps_pool import Pool
from tools.fuzz.traps_requests import Requests
from tools.fuzz.traps_world import DATA, WORDS

Made = tuple[int, ...]


class Traps:
    """Makes the calls of all traps."""

    def __init__(self, pool: Pool, requests: Requests) -> None:
        self.pool = pool
        self.requests = requests
        self.random = pool.random
        self.makers: Final[dict[str, Callable[[Thread], Made]]] = {
            "mach_print": self._print,
            "device_writev_request": self._writev,
            "device_write_request": self._write,
            "swtch_pri": lambda thread: (self.random.randrange(32),),
            "thread_switch": self._switch,
            "vm_map": self._vm_map,
            "vm_allocate": self._vm_allocate,
            "vm_deallocate": lambda thread: (self._victim(thread), *Arguments(self.pool, thread, self.pool.victim()).span),
            "task_create": lambda thread: (self._task(thread), self.random.randrange(2), self.words),
            "task_terminate": lambda thread: (self._victim(thread),),
            "task_suspend": lambda thread: (self._victim(thread),),
            "task_set_special_port": self._special,
            "mach_port_allocate": lambda thread: (self._task(thread), self.random.choice((1, 3, 4)), self.words),
            "mach_port_deallocate": self._deallocate,
            "mach_port_insert_right": self._insert,
            "mach_port_allocate_name": self._allocate_name,
            "thread_depress_abort": lambda thread: (self.pool.name(thread.space, "thread"),),
        }
        self.words = self.data = 0
        self.writes: list[tuple[int, bytes]] = []

    def call(self, name: str, trap: Trap, thread: Thread) -> Call:
        """A trap by a thread."""
        if trap.name == "mach_msg":
            return self.requests.message(name, thread)
        area = self.pool.world.area(thread)
        self.words, self.data, self.writes = area + WORDS, area + DATA, []
        maker = self.makers.get(trap.name)
        made = list(maker(thread)) if maker is not None else [self.random.choice(values.EXTREME) for _ in trap.arguments]
        if made and not self.requests.is_sane():
            made[self.random.randrange(len(made))] = self.random.choice((*values.EXTREME, self.random.randrange(1, 60)))
        arguments = ", ".join(f"{label}={word:#x}" for label, word in zip(trap.arguments, made, strict=True))
        return Call(name, trap.number, tuple(made), tuple(self.writes), (0, 0), f"{name}({arguments})")

    def _put(self, *words: int) -> None:
        """Words for the trap to read, where results go."""
        order = self.pool.kernel.cpu.order.prefix
        self.writes.append((self.words, struct.pack(f"{order}{len(words)}I", *words)))

    def _task(self, thread: Thread) -> int:
        own = self.random.random() < 0.5
        return self.pool.name_of(thread.space, thread.task.itk_self) if own else self._victim(thread)

    def _victim(self, thread: Thread) -> int:
        return self.pool.name_of(thread.space, self.pool.victim().itk_self)

    def _print(self, thread: Thread) -> Made:
        self.writes.append((self.data, b"fuzz\n\0"))
        return (self.data,)

    def _device(self, thread: Thread) -> int:
        return self.pool.name(thread.space, f"device:{self.random.choice(values.DEVICE_OF['trap'])}")

    def _write(self, thread: Thread) -> Made:
        return self._device(thread), 0, 0, 0, self.data, self.random.choice((0, 1, 5, 100))

    def _writev(self, thread: Thread) -> Made:
        self._put(self.data, 5, self.data + 16, self.random.choice((0, 9)))
        return self._device(thread), 0, 0, 0, self.words, self.random.choice((0, 1, 2))

    def _switch(self, thread: Thread) -> Made:
        name = self.pool.name(thread.space, "thread") if self.random.random() < 0.5 else 0
        return name, self.random.randrange(3), self.random.choice((1, 2, 5))

    def _vm_map(self, thread: Thread) -> Made:
        page = self.pool.kernel.vm.page_size
        self._put(0)
        kind = self.random.choice(("", "", "receive", "send"))
        memory_object = self.pool.name(thread.space, kind) if kind else 0
        size = page * self.random.randint(1, 3)
        task = self._task(thread)
        return task, self.words, size, 0, 1, memory_object, 0, self.random.randrange(2), 3, 7, self.random.randrange(3)

    def _vm_allocate(self, thread: Thread) -> Made:
        self._put(0)
        return self._task(thread), self.words, self.random.choice((0, 1, 0x2000, 0x5000)), 1

    def _special(self, thread: Thread) -> Made:
        return self._victim(thread), self.random.choice((1, 3, 4)), self.pool.name(thread.space, "send")

    def _deallocate(self, thread: Thread) -> Made:
        return self.pool.name_of(thread.space, thread.task.itk_self), self.pool.name(thread.space, "send")

    def _insert(self, thread: Thread) -> Made:
        task = self.pool.victim()
        kind, how = self.random.choice((("receive", MAKE_SEND), ("send", COPY_SEND), ("once", 18)))
        source = self.pool.name(thread.space, kind)
        return self.pool.name_of(thread.space, task.itk_self), self.pool.fresh(task.space), source, how

    def _allocate_name(self, thread: Thread) -> Made:
        task = self.pool.victim()
        return self.pool.name_of(thread.space, task.itk_self), self.random.choice((1, 3, 4)), self.pool.fresh(task.space)
