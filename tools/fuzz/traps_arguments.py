"""Chooses a request's arguments, so that most of them are what a program would give."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from machemu.abi import device
from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.abi.port import TYPE_DEAD_NAME, TYPE_PORT_SET, TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.ipc.space import Space
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.i386 import pcb as i386
from machemu.machine.m68k import pcb as m68k
from machemu.mig.codec import COUNTED, FIXED, Type
from machemu.mig.runtime import Routine
from machemu.vm.map import VmMap
from tools.fuzz import traps_values as values
from tools.fuzz.traps_message import Rights
from tools.fuzz.traps_pool import Pool
from tools.fuzz.traps_world import AREA, DEVICES, PLAY, WORDS

FLAVORS: Final = {"i386": i386.COUNTS, "m68k": m68k.COUNTS}
REFERENCES: Final = ((TYPE_RECEIVE, 1), (TYPE_SEND, 0), (TYPE_SEND_ONCE, 2), (TYPE_PORT_SET, 3), (TYPE_DEAD_NAME, 4))
"""Types of names, and the mach_port_right_t of each."""
EXTRACTIONS: Final = ((TYPE_RECEIVE, MAKE_SEND), (TYPE_RECEIVE, MAKE_SEND_ONCE), (TYPE_SEND, COPY_SEND), (TYPE_SEND, MOVE_SEND),
                      (TYPE_SEND_ONCE, MOVE_SEND_ONCE), (TYPE_RECEIVE, MOVE_RECEIVE))  # fmt: skip
SEGMENTS: Final = ((0x0000FFFF, 0x00CFF200), (0x0000FFFF, 0x004FFA00), (0, 0))
FILTERS: Final = ((1,), (2,), (3, 1, 0x42), (1, 16, 0, 1 << 10), (1 << 10 | 1, 0, 6, 0, 0, 0, 64))
STATUS: Final = {
    device.TTY_STATUS: (13, 13, 0x80, 0),
    device.TTY_FLUSH: (1,),
    device.NET_FLAGS: (0x1102,),
}
EMULATION: Final = (0, 0, 0x10000, 0x100000)


class Arguments:
    """The arguments of one request. target: what it is sent to, where that is a task or a thread."""

    def __init__(self, pool: Pool, thread: Thread, target: object) -> None:
        self.pool = pool
        self.random: Random = pool.random
        self.thread = thread
        self.target = target
        self.page = pool.kernel.vm.page_size
        task = target if isinstance(target, Task) else thread.task
        self.task = task
        self.space: Space = task.space if task.space.active else thread.space
        self.span = self._span(task.map)
        self.flavor = 0
        self.reference = (0, 0)

    def _span(self, map_: VmMap | None) -> tuple[int, int]:
        """Some pages of a task's memory, its address and size."""
        entries = [entry for entry in map_.entries if entry.start >= PLAY] if map_ is not None else []
        if not entries:
            return PLAY, self.page
        entry = self.random.choice(entries)
        count = (entry.end - entry.start) // self.page
        first = self.random.randrange(count)
        return entry.start + first * self.page, self.page * self.random.randint(1, min(3, count - first))

    def all(self, routine: Routine) -> list[Any]:
        """A routine's arguments in order."""
        request = routine.request
        return [self._value(routine.name, name, kind) for name, kind in zip(request.names, request.types, strict=True)]

    def _value(self, routine: str, name: str, kind: Type) -> Any:
        key = f"{routine}.{name}"
        if kind.is_port:
            return self.rights(key, kind)
        special = getattr(self, f"_{routine}", None)
        if special is not None:
            value = special(name)
            if value is not None:
                return value
        if kind.form != FIXED or kind.format == "128s":
            return self._array(name, kind)
        return self._number(key, name)

    def _number(self, key: str, name: str) -> int:
        choose = self.random.choice
        if key in values.NAME_KINDS:
            return self.pool.name(self.space, values.NAME_KINDS[key])
        if key in values.FRESH:
            return self.pool.fresh(self.space)
        if key in values.OWN_CHOICES:
            return choose(values.OWN_CHOICES[key])
        if name.endswith("Cnt"):
            return choose((1024, 1024, 64, 17))
        if name in values.FLAGS:
            return self.random.randrange(2)
        if name in values.ADDRESSES:
            return self.span[0]
        if name in ("size", "len"):
            return self.span[1]
        if name in ("offset", "start"):
            return self.random.randrange(4) * self.page
        if name == "name":
            return self.pool.name(self.space, "any")
        return choose(values.CHOICES.get(name, values.EXTREME))

    def _array(self, name: str, kind: Type) -> Any:
        if kind.format == "s":
            size = self.random.choice((1, 64, 128)) if kind.form == COUNTED else self.random.choice((1, 100, 512, self.page))
            return self.random.randbytes(min(size, kind.limit or size))
        if kind.format == "128s":
            return self.random.choice(DEVICES).encode()
        return [self.random.choice(values.EXTREME) for _ in range(self.random.randrange(4))]

    def rights(self, key: str, kind: Type) -> Rights:
        """Rights of the caller's."""
        space, pool = self.thread.space, self.pool
        wanted = {17: MAKE_SEND, 18: MAKE_SEND_ONCE}.get(kind.receive, 0)
        which = values.RIGHT_KINDS.get(key) or self.random.choice(("receive", "receive", "send", "task", "host"))
        count = 1 if kind.form in (FIXED, COUNTED) else self.random.randrange(5)
        if count != 1:
            return Rights([pool.name(space, "send") for _ in range(count)], COPY_SEND)
        if key == "vm_map.memory_object":
            which = self.random.choice(("", "", "", "receive", "send", "proxy"))
        elif key.endswith((".reply_to", ".notify")):
            which, wanted = self.random.choice(("", "receive", "receive")), MAKE_SEND_ONCE
        if not which:
            return Rights([0], MOVE_SEND_ONCE if kind.receive in (-1, 18) else COPY_SEND)
        name = pool.name_of(space, self.thread.ith_self) if which == "self thread" else pool.name(space, which)
        return Rights([name], pool.disposition(space, name, wanted))

    # Routines whose arguments go together

    def _thread_get_state(self, name: str) -> int | None:
        return self.random.choice((0, *FLAVORS[self.pool.world.architecture])) if name == "flavor" else None

    def _thread_set_state(self, name: str) -> Any:
        if name == "flavor":
            self.flavor = self.random.choice(tuple(FLAVORS[self.pool.world.architecture]))
            return self.flavor
        if not isinstance(self.target, Thread):
            return None
        words = list(self.target.pcb.get_state(self.flavor))
        words += [0] * (FLAVORS[self.pool.world.architecture][self.flavor] - len(words))
        if words and self.random.random() < 0.5:
            words[self.random.randrange(len(words))] = self.random.choice(values.EXTREME)
        return words

    def _mach_port_get_refs(self, name: str) -> int:
        if name == "name":
            self.reference = self._pair(REFERENCES)
        return self.reference[name != "name"]

    def _mach_port_mod_refs(self, name: str) -> int:
        if name == "delta":
            return self.random.choice((-1, 0, 0, 1)) if self.reference[1] in (0, 4) else self.random.choice((-1, 0, 0, 0))
        return self._mach_port_get_refs(name)

    def _mach_port_extract_right(self, name: str) -> int:
        if name == "name":
            self.reference = self._pair(EXTRACTIONS)
        return self.reference[name != "name"]

    def _pair(self, kinds: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """A name and a number that goes with its type."""
        name = self.pool.name(self.space, "any")
        entry = self.space.table.get(name)
        fitting = [number for mask, number in kinds if entry is not None and entry.type & mask]
        return name, self.random.choice(fitting or [0])

    def _mach_port_request_notification(self, name: str) -> int | None:
        return self.pool.name(self.space, "receive") if name == "name" else None

    def _mach_port_move_member(self, name: str) -> int | None:
        return 0 if name == "after" and self.random.random() < 0.3 else None

    def _device_set_filter(self, name: str) -> Any:
        return {"filter": list(self.random.choice(FILTERS)), "priority": self.random.randrange(100)}.get(name)

    def _device_set_status(self, name: str) -> Any:
        if name == "flavor":
            self.flavor = self.random.choice(values.OWN_CHOICES["device_set_status.flavor"])
            return self.flavor
        return list(STATUS.get(self.flavor, ()))

    def _host_set_time(self, name: str) -> tuple[int, int]:
        microseconds = self.random.choice((0, 5, 999_999, 999_999, 1_000_000))
        return self.random.choice((0, 1, 1_000_000_000, 0x7FFFFFFF)), microseconds

    def _host_adjust_time(self, name: str) -> tuple[int, int]:
        return self.random.choice((0, 1, -1)), self.random.choice((0, 500, -500))

    def _task_set_emulation_vector(self, name: str) -> Any:
        return (
            [self.random.choice(EMULATION) for _ in range(self.random.randrange(1, 12))] if name == "emulation_vector" else None
        )

    def _task_set_name(self, name: str) -> bytes:
        return self.random.choice((b"a\0", b"some task\0", b"\xff" * 40 + b"\0"))

    def _memory_object_create_proxy(self, name: str) -> Any:
        return {"offset": [0], "start": [0], "len": [self.span[1]]}.get(name)

    def _memory_object_data_supply(self, name: str) -> bytes | None:
        return self.random.randbytes(self.page) if name == "data" else None

    def _vm_write(self, name: str) -> bytes | None:
        return self.random.randbytes(self.page) if name == "data" else None

    def _vm_map(self, name: str) -> int | None:
        return 1 if name == "anywhere" and self.random.random() < 0.8 else None

    _vm_allocate = _vm_map

    def _i386_set_ldt(self, name: str) -> Any:
        return self._segments(self.random.randrange(1, 4)) if name == "desc_list" else None

    def _i386_set_gdt(self, name: str) -> Any:
        return self._segments(1)[0] if name == "desc" else None

    def _segments(self, count: int) -> list[tuple[int, int]]:
        return [self.random.choice(SEGMENTS) for _ in range(count)]

    def _vm_msync(self, name: str) -> int | None:
        return 0 if name == "size" and self.random.random() < 0.7 else None

    def _word(self) -> int:
        return AREA + WORDS + 4 * self.random.randrange(64, 68)

    def _gsync_wait(self, name: str) -> int | None:
        return self._word() if name == "addr" else None

    def _gsync_wake(self, name: str) -> int | None:
        if name not in ("addr", "src_addr"):
            return self._word() if name == "dst_addr" else None
        addresses = [key[1] for key in self.pool.kern.gsync.waiters if key[0] is self.task.map]
        return self.random.choice(addresses) if addresses else self._word()

    _gsync_requeue = _gsync_wake


def describe(value: Any) -> str:
    """An argument, for people."""
    if isinstance(value, Rights):
        return f"names {' '.join(f'{name:#x}' for name in value.names)} as {value.disposition}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes" if len(value) > 32 else repr(value)
    if isinstance(value, int):
        return f"{value:#x}" if abs(value) > 99 else str(value)
    return "[" + ", ".join(map(describe, value)) + "]"
