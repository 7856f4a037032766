"""A privileged server that sends the managers of all nodes requests at random, of whatever it can name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND, MOVE_SEND, PORT_SEND, CarriedPort, CarriedPorts
from machemu.mig.interfaces.mach import TASK_CREATE
from machemu.mig.runtime import FIXED, OUT_OF_LINE, OutOfLine, PolyPort, Routine, Type
from machemu.sim.state import U32, AnyName, state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from masix.interfaces import acs, ipc_manager, migration, process_manager, space_manager
from masix.migration import node_tasks
from masix.migration.node_server import name_at

MANAGERS: Final = {b"process": process_manager, b"space": space_manager, b"ipc": ipc_manager, b"migration": migration}
NODES: Final = (b"pc", b"other")
LEFT_OUT: Final = ("migration_block", "migration_offer")
BEGIN_NS: Final = 150_000_000
EVERY_NS: Final = 1_000_000
TIMES: Final = 100
AT_ONCE: Final = 3
NAMES: Final = (b"7", b"9", b"gns", b"", b"x" * 70, b"images/i386/greet.elf", b"other", b"pc", b"\xff")
NUMBERS: Final = (0, 1, 2, 5, 0xFFFF, 0x7FFFFFFF)
SIZES: Final = (0, 4, 8, 12, 64, 100, 4096, 8192)


@state
class Pesterer(HostServer):
    """done, refused: how many requests were. kept: rights that answers brought."""

    __slots__ = ("done", "found", "kept", "number", "refused", "times")
    number: U32
    times: U32
    done: U32
    refused: U32
    found: dict[U32, AnyName]
    kept: list[AnyName]

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.times = self.done = self.refused = 0
        self.found = {}
        self.kept = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(BEGIN_NS)

    def expired(self, mach: Mach) -> None:
        if not self.times:
            for place, (kind, host) in enumerate((kind, host) for kind in MANAGERS for host in NODES):
                self.ask(mach, self._looked_up, mach.name_server(), (name_at(kind, host),), place)
        random = Random(f"{self.number} {self.times}")
        for _ in range(AT_ONCE if self.found else 0):
            place = random.choice(sorted(self.found))
            routines = list(MANAGERS.values())[place // len(NODES)].ROUTINES.values()
            routine: Routine = random.choice([each for each in routines if each.name not in LEFT_OUT])
            with suppress(KernError):  # a right that it has is gone
                values = [self._value(mach, random, kind) for kind in routine.request.types]
                mach.request(routine, self.found[place], values, self.new_port(mach))
        self.times += 1
        if self.times < TIMES:
            mach.alarm(mach.now() + EVERY_NS)

    @answered(acs.ACS_LOOK_UP)
    def _looked_up(self, mach: Mach, answer: Answer, place: U32) -> None:
        if answer.results and living(answer.results[0]):
            self.found[place] = living(answer.results[0])

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local in (*self.questions, self.notices):
            super().receive(mach, message)
            return
        (code,) = struct.unpack_from(f"{mach.order.prefix}i", message.body.ljust(8, b"\xff"), 4)
        self.done, self.refused = self.done + (code == 0), self.refused + (code != 0)
        for item in message.carried[:1]:  # the second ones of process_hold are ports that the manager receives from itself
            brought = [item.port] if isinstance(item, CarriedPort) else item.ports if isinstance(item, CarriedPorts) else ()
            if isinstance(item, CarriedPort | CarriedPorts) and item.disposition == PORT_SEND:
                self.kept += [name for name in map(living, brought) if name not in (0, mach.task_self())]

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """It names rights that it has not, and nobody tells which of the others are gone."""

    def _value(self, mach: Mach, random: Random, kind: Type) -> Any:
        if kind.is_port:
            rights = [self._right(mach, random, kind) for _ in range(1 if kind.form == FIXED else random.randrange(4))]
            return (
                rights
                if kind.form != FIXED
                else PolyPort(rights[0], COPY_SEND)
                if rights[0] and random.randrange(2)
                else rights[0]
            )
        if kind.form == OUT_OF_LINE:
            size = random.choice(SIZES)
            return OutOfLine(random.randbytes(size) if random.randrange(2) else bytes(size), size)
        if kind.format == "s":
            return random.choice(NAMES)
        return random.choice(NUMBERS) if kind.form == FIXED else [random.randrange(9) for _ in range(random.randrange(4))]

    def _right(self, mach: Mach, random: Random, kind: Type) -> int | None:
        """A send right, or of what an argument wants else; None for none."""
        if kind.receive != PORT_SEND:
            return mach.allocate_port() if kind.receive < PORT_SEND else None
        if self.kept and random.random() < 0.7:
            try:
                return mach.copy_send(random.choice(self.kept[-6:]))
            except KernError:
                return None
        ways: tuple[Callable[[], int | None], ...] = (
            lambda: None,
            lambda: mach.copy_send(random.choice(list(self.found.values()))),
            lambda: mach.copy_send(mach.given("host-port")),
            lambda: mach.make_send(mach.allocate_port()),
            lambda: self._dead(mach),
            lambda: mach.call(TASK_CREATE, mach.task_self(), False)[0],
            lambda: self._any_task(mach, random),
        )
        return random.choice(ways)()

    @staticmethod
    def _dead(mach: Mach) -> int:
        name = mach.make_send(mach.allocate_port())
        mach.destroy_receive(name)
        return name

    @staticmethod
    def _any_task(mach: Mach, random: Random) -> int:
        tasks = list(node_tasks.of_node(mach))
        chosen = random.choice([task for task in tasks if task != mach.task_self()])
        mach.give_up((task, MOVE_SEND) for task in tasks if task != chosen)
        return chosen
