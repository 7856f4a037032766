"""The bare personality, the smallest one: programs that the cluster file names, each a process, with their output at home.

A program finds in its arguments the names of its rights: 0, the port of its output, its process's port. The port of its output is
all that it knows of the machine: `device_open` gives "console", which can be written. It stays this server's wherever the process
goes. Its bootstrap port is the name server.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from machemu.abi.device import D_NO_SUCH_DEVICE, D_WRITE
from machemu.abi.errors import KernError, UserError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_SEND
from machemu.formats import packed
from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_WRITE_INBAND
from machemu.mig.interfaces.gnumach import TASK_SET_NAME
from machemu.mig.interfaces.mach import (
    TASK_CREATE,
    TASK_SET_SPECIAL_PORT,
    TASK_TERMINATE,
    THREAD_CREATE,
    THREAD_GET_STATE,
    THREAD_RESUME,
    THREAD_SET_STATE,
    VM_ALLOCATE,
    VM_PROTECT,
    VM_STATISTICS,
    VM_WRITE,
)
from machemu.mig.interfaces.mach_port import MACH_PORT_INSERT_RIGHT
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U8, U32, PortName, Receive, Right, SendRight, state
from machemu.user.kit import Answer, HostServer, answered, notified, serves
from machemu.user.mach import Mach
from machemu.user.message import Caller, Message, name_of
from machemu.user.notifications import NoSenders
from masix.interfaces import acs, gps_peer
from masix.migration.node_server import name_at
from masix.personality import programs

NAME: Final = b"bare"
GPS: Final = b"gps"
KINDS: Final = ("nomad", "sedentary")
OUTPUT, PROCESS = 1, 2
"""The names of a program's rights."""
TASK_BOOTSTRAP_PORT: Final = 4
NAME_MAX: Final = 63
STATE_MAX: Final = 1024
WRITES_MAX: Final = 16
"""Writes to one output that are under way."""
AGAIN_NS: Final = 100_000_000
"""How long it waits before it looks for the generic process server again."""


@state
class Program(NamedTuple):
    """A process that is to begin. kind: a place in KINDS. words: its path, and its arguments."""

    kind: U8
    words: tuple[str, ...]
    data: bytes


@state
class Beginning(NamedTuple):
    """A program whose task is being made. Rights are this server's. parts: of its memory, those that are still to be written."""

    task: SendRight
    thread: SendRight
    server: SendRight  # the generic process server
    path: str
    kind: U8
    parts: tuple[programs.Part, ...]


def program(text: str, folder: Path) -> Program:
    """folder: where its path begins. UserError for words that name no program, and where it cannot be read."""
    kind, *words = text.split()
    if kind not in KINDS or not words:
        raise UserError(f"programs: {text.strip()!r} is no program: write nomad or sedentary, its path, and its arguments")
    return Program(KINDS.index(kind), tuple(words), packed.read(folder / words[0], "a program"))


@state
class Bare(HostServer):
    """The personality's server of a node."""

    __slots__ = ("console", "host", "outputs", "owner", "waiting")
    console: Right
    host: bytes  # the node's name
    outputs: dict[Receive, U8]  # the ports of the programs' output: how many writes are under way at each
    owner: U32  # whose processes they are
    waiting: list[Program]  # those to be run

    def __init__(self, host: bytes, programs: Iterable[Program] = (), owner: int = 0) -> None:
        super().__init__()
        self.console = 0
        self.host = host
        self.outputs = {}
        self.owner = owner
        self.waiting = list(programs)

    @classmethod
    def on_node(
        cls, node: int, seed: int, key: bytes, host: str, folder: Path, *, programs: object = "", owner: object = 0
    ) -> Self:
        """programs: each its kind, path and arguments, with semicolons between them. owner: a number, by which other nodes may
        know whose processes they take."""
        if not isinstance(programs, str):
            raise UserError(f"programs = {programs!r}: write a text, with semicolons between the programs")
        if type(owner) is not int or not 0 <= owner < 1 << 32:
            raise UserError(f"owner = {owner!r}: write a number below {1 << 32}")
        return cls(host.encode(), [program(text, folder) for text in programs.split(";") if text.strip()], owner)

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.ask(mach, self._opened, mach.given("device-port"), (D_WRITE, b"console"))

    @answered(DEVICE_OPEN)
    def _opened(self, mach: Mach, answer: Answer) -> None:
        self.console = answer.right
        if self.waiting:
            self.expired(mach)

    def expired(self, mach: Mach) -> None:
        self.ask(mach, self._found, mach.name_server(), (name_at(GPS, self.host),))

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer) -> None:
        server = answer.right
        if not server:
            mach.alarm(mach.now() + AGAIN_NS)
            return
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            self._begin(mach, each, mach.copy_send(server))
        mach.deallocate(server)

    # A program begins

    def _begin(self, mach: Mach, wanted: Program, server: PortName) -> None:
        """Makes its task, suspended, and its thread."""
        path = wanted.words[0]
        page_size = mach.call(VM_STATISTICS, mach.task_self())[0][0]
        entry, parts = programs.parts(path, wanted.data, mach.order, page_size)
        task = thread = 0
        try:
            task = name_of(mach.call(TASK_CREATE, mach.task_self(), False)[0])
            mach.request(TASK_SET_NAME, task, (path.encode()[:NAME_MAX],))
            mach.call(TASK_SET_SPECIAL_PORT, task, TASK_BOOTSTRAP_PORT, PolyPort(mach.given("name-server"), COPY_SEND))
            for part in parts:
                mach.call(VM_ALLOCATE, task, part.address, part.size, False)
            (stack,) = mach.call(VM_ALLOCATE, task, 0, programs.STACK_SIZE, True)
            words = (path, "0", str(OUTPUT), str(PROCESS), *wanted.words[1:])
            pointer, first = programs.first_stack(stack + programs.STACK_SIZE, mach.order, page_size, words)
            thread = name_of(mach.call(THREAD_CREATE, task)[0])
            for flavor, changes in programs.begin(mach.order, entry, pointer):
                (registers,) = mach.call(THREAD_GET_STATE, thread, flavor, STATE_MAX)
                changed = [changes.get(place, word) for place, word in enumerate(registers)]
                mach.call(THREAD_SET_STATE, thread, flavor, changed)
        except KernError as error:
            self._give_up(mach, Beginning(task, thread, server, path, wanted.kind, ()), error.code)
            return
        self._write(mach, Beginning(task, thread, server, path, wanted.kind, (*parts, first)))

    def _write(self, mach: Mach, beginning: Beginning) -> None:
        """Writes the next part of its memory; when there is none any more the task becomes a process."""
        if beginning.parts:
            part = beginning.parts[0]
            self.ask(mach, self._written, beginning.task, (part.address, OutOfLine(part.data, len(part.data))), beginning)
        else:
            values = PolyPort(beginning.task, COPY_SEND), beginning.kind, NAME, self.owner
            self.ask(mach, self._created, beginning.server, values, beginning)

    @answered(VM_WRITE)
    def _written(self, mach: Mach, answer: Answer, beginning: Beginning) -> None:
        part = beginning.parts[0]
        try:
            if answer.code:
                raise KernError(answer.code)
            mach.call(VM_PROTECT, beginning.task, part.address, part.size, False, part.protection)
        except KernError as error:
            self._give_up(mach, beginning, error.code)
            return
        self._write(mach, beginning._replace(parts=beginning.parts[1:]))

    @answered(gps_peer.GPS_CREATE_FOR)
    def _created(self, mach: Mach, answer: Answer, beginning: Beginning) -> None:
        """Its rights are bound, and it runs."""
        if answer.code:
            self._give_up(mach, beginning, answer.code)
            return
        process = name_of(answer.results[1])
        output = self.new_port(mach)
        self.outputs[output] = 0
        try:
            for name, right in ((PROCESS, process), (OUTPUT, mach.make_send(output))):
                mach.call(MACH_PORT_INSERT_RIGHT, beginning.task, name, PolyPort(right, MOVE_SEND))
            mach.call(THREAD_RESUME, beginning.thread)
        except KernError as error:
            mach.note(f"bare: {beginning.path}: has ended before it began: {error.code}")
        mach.notify(output, MACH_NOTIFY_NO_SENDERS.request.id, output)
        mach.give_up((right, MOVE_SEND) for right in (beginning.task, beginning.thread, beginning.server))

    @staticmethod
    def _give_up(mach: Mach, beginning: Beginning, code: int) -> None:
        mach.note(f"bare: {beginning.path}: cannot begin: {code}")
        if beginning.task:
            mach.request(TASK_TERMINATE, beginning.task, (), disposition=MOVE_SEND)
        mach.give_up((right, MOVE_SEND) for right in (beginning.thread, beginning.server) if right)

    # Its output

    @serves(DEVICE_OPEN, at="outputs")
    def _open(self, mach: Mach, request: Message, mode: int, name: bytes) -> tuple[Any, ...]:
        if name != b"console":
            raise KernError(D_NO_SUCH_DEVICE)
        return (PolyPort(request.header.local, MAKE_SEND),)

    @serves(DEVICE_WRITE_INBAND, at="outputs")
    def _output(self, mach: Mach, request: Message, mode: int, number: int, data: bytes) -> None:
        output = request.header.local
        if self.outputs[output] >= WRITES_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        self.outputs[output] += 1
        self.ask(mach, self._put, self.console, (0, 0, data), request.caller, output)

    @answered(DEVICE_WRITE_INBAND)
    def _put(self, mach: Mach, answer: Answer, caller: Caller, output: PortName) -> None:
        if output in self.outputs:
            self.outputs[output] -= 1
        mach.answer(caller, DEVICE_WRITE_INBAND, answer.code, answer.results)

    @notified(NoSenders, at="outputs")
    def _unused(self, mach: Mach, notice: NoSenders) -> None:
        """The process has ended."""
        del self.outputs[notice.port]
        mach.destroy_receive(notice.port)
