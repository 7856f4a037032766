"""Makes messages: requests to the kernel with and without reply ports, and what tasks send to each other."""

from __future__ import annotations

from typing import Any, Final

from machemu.abi.message import (
    COPY_SEND,
    MACH_RCV_LARGE,
    MACH_RCV_MSG,
    MACH_RCV_NOTIFY,
    MACH_RCV_TIMEOUT,
    MACH_SEND_CANCEL,
    MACH_SEND_MSG,
    MACH_SEND_NOTIFY,
    MACH_SEND_TIMEOUT,
    MAKE_SEND_ONCE,
    MSG_TYPE_BYTE,
    MSG_TYPE_INTEGER_32,
)
from machemu.abi.port import TYPE_RECEIVE
from machemu.ipc import mach_port
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.kern import ipc_tt
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.mig.codec import COUNTED, OUT_OF_LINE, Type
from machemu.mig.runtime import Routine
from tools.fuzz import traps_values as values
from tools.fuzz.traps_arguments import Arguments, describe
from tools.fuzz.traps_callers import Call
from tools.fuzz.traps_message import Body, Rights
from tools.fuzz.traps_pool import Pool
from tools.fuzz.traps_world import DATA, DEVICES

SANE: Final = 0.88
"""So many calls are meant to succeed."""
MACH_MSG: Final = 25
SEND, RECEIVE = MACH_SEND_MSG, MACH_RCV_MSG
SEND_TIMEOUT, RECEIVE_TIMEOUT = MACH_SEND_TIMEOUT, MACH_RCV_TIMEOUT
OPTIONS: Final = (0, MACH_SEND_NOTIFY, MACH_SEND_CANCEL, MACH_RCV_LARGE, MACH_RCV_NOTIFY)
REPLY_MAX: Final = 0x1000
REPLY_ID: Final = 100
WORD: Final = Type(MSG_TYPE_INTEGER_32, MSG_TYPE_INTEGER_32, 32, 1, "I", COUNTED)
BYTES: Final = Type(MSG_TYPE_BYTE, MSG_TYPE_BYTE, 8, 1, "s", OUT_OF_LINE, True)
RIGHT: Final = Type(COPY_SEND, COPY_SEND, 32, 1, "")
RIGHTS: Final = Type(COPY_SEND, COPY_SEND, 32, 1, "", OUT_OF_LINE, True)


class Requests:
    """Makes the calls of mach_msg. pool: where names come from, and whose random numbers choose."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.random = pool.random
        self.world = pool.world
        self.kern = pool.kern
        self.order = pool.kernel.cpu.order
        self.replies: dict[int, int] = {}

    def is_sane(self) -> bool:
        return self.random.random() < SANE

    # Requests to the kernel

    def request(self, routine: Routine, thread: Thread) -> Call:
        """A routine's request."""
        name, target = self._target(routine.name, thread)
        given = Arguments(self.pool, thread, target).all(routine)
        sane = self.is_sane()
        if not sane:
            name = self._spoil(given, name)
        body = Body(self.order, self.world.area(thread) + DATA)
        for kind, value in zip(routine.request.types, given, strict=True):
            body.add(kind, value)
        is_later = routine.reply is None and routine.name.startswith("device")
        reply, local, receives = self._reply(thread, routine.reply is not None or is_later)
        data = bytearray(body.message((name, COPY_SEND), (reply, local), routine.request.id))
        damage = self._damage(data) if not sane and self.random.random() < 0.3 else ""
        how = "no reply" if not reply else "reply received" if receives else f"reply to {reply:#x}"
        text = f"{routine.name} to {name:#x}({', '.join(map(describe, given))}), {how}{damage}"
        return self._send(thread, bytes(data), body.writes, reply if receives else 0, routine, text)

    def _send(
        self, thread: Thread, data: bytes, writes: list[tuple[int, bytes]], reply: int, routine: Routine, text: str
    ) -> Call:
        area = self.world.area(thread)
        timeouts = self.random.random() < 0.5
        option = SEND | (RECEIVE if reply else 0)
        option |= (SEND_TIMEOUT if timeouts else 0) | (RECEIVE_TIMEOUT if reply and timeouts else 0)
        # A message is received over what was sent: both begin where mach_msg's one buffer is.
        arguments = (area, option, len(data), REPLY_MAX if reply else 0, reply, 5 if timeouts else 0, 0)
        expected = (area, routine.request.id + REPLY_ID) if reply else (0, 0)
        return Call(routine.name, MACH_MSG, arguments, ((area, data), *writes), expected, text)

    def _target(self, routine: str, thread: Thread) -> tuple[int, object]:
        """A name for the object that a request is for, and the object."""
        kind = values.target_kind(routine)
        pool, space = self.pool, thread.space
        if kind == "device":
            kind = f"device:{self.random.choice(values.DEVICE_OF.get(routine, DEVICES))}"
        if routine.startswith("gsync"):
            name = pool.name_of(space, self._gsync_task(routine, thread).itk_self)
        elif kind in ("task", "thread") and routine not in values.HARMFUL and self.random.random() < 0.4:
            other = self.random.choice(self.world.callers_left())
            if self.random.random() < 0.5:
                other = thread
            name = pool.name_of(space, other.task.itk_self if kind == "task" else other.ith_self)
        elif kind == "task":
            name = pool.name_of(space, pool.victim().itk_self)
        elif kind == "thread":
            name = pool.name_of(space, pool.victim_thread().ith_self)
        else:
            name = pool.name(space, kind)
        entry = space.table.get(name)
        port = entry.object if entry is not None and isinstance(entry.object, Port) else None
        return name, ipc_tt.task_of(port) or ipc_tt.thread_of(port)

    def _gsync_task(self, routine: str, thread: Thread) -> Task:
        """Where somebody waits, for those who wake; else the caller's own."""
        keys = self.kern.gsync.waiters
        tasks = [task for task in self.kern.tasks.values() if any(key[0] is task.map for key in keys)]
        return thread.task if routine == "gsync_wait" or not tasks else self.random.choice(tasks)

    def reply_port(self, thread: Thread) -> int:
        """A port of the thread's for replies."""
        name = self.replies.get(thread.number, 0)
        entry = thread.space.table.get(name)
        if entry is None or not entry.type & TYPE_RECEIVE:
            name = self.replies[thread.number] = mach_port.mach_reply_port(self.pool.ipc, thread.space)
        return name

    def _reply(self, thread: Thread, has_reply: bool) -> tuple[int, int, bool]:
        """The name for the reply and what becomes of it; whether the call waits for it."""
        chance = self.random.random()
        if chance < 0.6:
            name = self.reply_port(thread)
            return (name, MAKE_SEND_ONCE, has_reply) if name else (0, 0, False)
        if chance < 0.8:
            return 0, 0, False
        if chance < 0.9:
            return self.pool.name(thread.space, "receive"), MAKE_SEND_ONCE, False
        kind = self.random.choice(("once", "send", "receive", "dead"))
        name = self.pool.name(thread.space, kind)
        return name, self.pool.disposition(thread.space, name, MAKE_SEND_ONCE), False

    # What is wrong with them

    def _spoil(self, given: list[Any], name: int) -> int:
        """Makes an argument, or the target's name, what no program would give."""
        places = [place for place, value in enumerate(given) if isinstance(value, int | Rights)]
        if not places or self.random.random() < 0.2:
            return self.random.choice((0, 0xFFFFFFFF, 1, name + 1, self.random.randrange(1, 60)))
        place = self.random.choice(places)
        if isinstance(given[place], Rights):
            word = self.random.choice((0, 0xFFFFFFFF, self.random.randrange(1, 60)))
            given[place] = Rights([word] * len(given[place].names), self.random.choice((16, 17, 18, 19, 20, 21, 22, 15)))
        else:
            given[place] = self.random.choice(values.EXTREME)
        return name

    def _damage(self, data: bytearray) -> str:
        """Changes a message's bytes."""
        if self.random.random() < 0.3:
            place = self.random.choice((0, 1, 2, 3, 12, 13, 14, 15, 20, 23))
        else:
            place = self.random.randrange(len(data))
        data[place] ^= 1 << self.random.randrange(8)
        if self.random.random() < 0.2:
            del data[max(8, len(data) - 4 * self.random.randrange(3)) :]
        return f", byte {place} is {data[place]:#x}" if place < len(data) else ", cut short"

    # Messages between tasks

    def message(self, operation: str, thread: Thread) -> Call:
        """A message sent to a task's port, or received from a port or a set."""
        waiting = [name for name, entry in thread.space.table.items() if has_messages(entry.object)]
        if waiting and self.random.random() < 0.75:
            return self._receive(operation, thread, self.random.choice(waiting))
        if self.random.random() < 0.15:
            kind = self.random.choice(("receive", "set", "any"))
            return self._receive(operation, thread, self.pool.name(thread.space, kind))
        return self._post(operation, thread)

    def _receive(self, operation: str, thread: Thread, name: int) -> Call:
        option = RECEIVE | RECEIVE_TIMEOUT | (0 if self.is_sane() else self.random.choice(OPTIONS))
        size = REPLY_MAX if self.is_sane() else self.random.choice((0, 24, 28, 40, 0xFFFFFFFF))
        address = self.world.area(thread) if self.is_sane() else self.random.choice(values.EXTREME)
        arguments = (address, option, 0, size, name, self.random.choice((0, 1, 3)), 0)
        return Call(operation, MACH_MSG, arguments, (), (0, 0), f"receive from {name:#x}, {arguments}")

    def _post(self, operation: str, thread: Thread) -> Call:
        space, area = thread.space, self.world.area(thread)
        name = self.pool.name(space, self.random.choice(("receive", "receive", "send", "once")))
        body = Body(self.order, area + DATA)
        for _ in range(self.random.randrange(4)):
            self._item(body, thread)
        _, local, _ = reply = self._reply(thread, False)
        how = self.pool.disposition(space, name, 0) if self.is_sane() else self.random.randrange(24)
        data = bytearray(body.message((name, how if how != 16 else 20), (reply[0], local), self.random.randrange(1, 5000)))
        damage = "" if self.is_sane() else self._damage(data)
        option = SEND | SEND_TIMEOUT | (0 if self.is_sane() else self.random.choice(OPTIONS))
        notify = self.pool.name(space, "receive") if option & MACH_SEND_NOTIFY else 0
        arguments = (area, option, len(data), 0, 0, self.random.choice((0, 1, 3)), notify)
        text = f"send {len(data)} bytes to {name:#x}, {arguments}{damage}"
        return Call(operation, MACH_MSG, arguments, ((area, bytes(data)), *body.writes), (0, 0), text)

    def _item(self, body: Body, thread: Thread) -> None:
        chance = self.random.random()
        if chance < 0.3:
            body.add(WORD, [self.random.choice(values.EXTREME)] * self.random.randrange(4))
        elif chance < 0.5:
            body.add(BYTES, self.random.randbytes(self.random.choice((1, 100, self.world.kernel.vm.page_size))))
        elif chance < 0.85:
            name = self.pool.name(thread.space, self.random.choice(("receive", "send", "once", "task")))
            body.add(RIGHT, Rights([name], self.pool.disposition(thread.space, name, 0)))
        else:
            names = [self.pool.name(thread.space, "send") for _ in range(self.random.randrange(4))]
            body.add(RIGHTS, Rights(names, COPY_SEND))


def has_messages(target: object) -> bool:
    return isinstance(target, Port | PortSet) and bool(target.messages)
