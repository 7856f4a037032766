"""The IPC manager of a node: moves whole port name spaces, and binds rights to a node's own ports to another node's."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from machemu.abi.errors import KernError, UserError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE
from machemu.mig.interfaces.mach import (
    MACH_PORTS_LOOKUP,
    MACH_PORTS_REGISTER,
    TASK_GET_SPECIAL_PORT,
    TASK_SET_SPECIAL_PORT,
    TASK_THREADS,
    THREAD_GET_SPECIAL_PORT,
    THREAD_SET_SPECIAL_PORT,
)
from machemu.mig.interfaces.mach_host import HOST_PROCESSOR_SET_PRIV, HOST_PROCESSOR_SETS
from machemu.mig.interfaces.mach_migrate import (
    MACH_PORT_EXTRACT_ALL,
    MACH_PORT_INSERT_ALL,
    TASK_GET_PRINTER,
    TASK_SET_PRINTER,
)
from machemu.mig.interfaces.name_server import NAME_SERVER_CLIENT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.sim.state import U32, PortName, Right, SendRight, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import NULL_NAME, UNNAMED, Caller, Message, living, name_of
from masix.interfaces import acs, gns
from masix.interfaces import ipc_manager as ipc
from masix.migration import rights
from masix.migration.node_server import NodeServer
from masix.migration.state import numbers_of, words_of

NAME: Final = b"ipc"
OF_TASK: Final = (1, 3, 4)
OF_THREAD: Final = (1, 3)
"""Special ports: TASK_KERNEL_PORT, TASK_EXCEPTION_PORT, TASK_BOOTSTRAP_PORT; THREAD_KERNEL_PORT, THREAD_EXCEPTION_PORT. Behind a
task's own comes the port where it prints."""
GNS: Final = b"gns"
NAME_SERVER: Final = "name-server"
CLIENT: Final = 1 + rights.KINDS.index(NAME_SERVER)
"""The kind of a right by which a task reaches the name server."""
WORDS_MAX: Final = 1 << 24
"""Bytes of a name space's words, unpacked."""
PIECE: Final = 1000
"""Rights in a message; network servers bound them."""
BOUND: Final = 256
"""Beside a kind: the right is null, and becomes the other node's."""


@state
class Piece(NamedTuple):
    """Rights that go together in one message."""

    receives: tuple[PortName, ...]
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]


@state
class Going(NamedTuple):
    """Rights that go. controls: of the tasks whose they are; made: what is to have them; pieces: those that go next."""

    caller: Caller
    controls: tuple[SendRight, ...]
    there: Right
    made: Right
    pieces: tuple[Piece, ...]


@state
class Extracted(NamedTuple):
    """What has been taken out of a name space but its receive rights, of which there were so many."""

    words: bytes
    receives: U32
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]


@state
class Special(NamedTuple):
    """The special ports of a task that goes, and its threads', as `_special` gives them. clients: those which are the name
    server's; candidates: those which may be. first: the right to the first of the tasks that go."""

    names: tuple[PortName, ...]
    candidates: tuple[PortName, ...]
    clients: tuple[PortName, ...]
    first: Right


@state
class Filling(NamedTuple):
    """What the other node's manager is to make of the rights that have come there."""

    first: Right
    receives: U32
    words: bytes
    kinds: tuple[U32, ...]


@state
class Arrived:
    """Rights that have come for a task, and the receive rights of those that come with it."""

    __slots__ = ("onces", "receives", "requests", "sends")
    receives: list[PortName]
    sends: list[PortName]
    onces: list[PortName]
    requests: list[PortName]

    def __init__(self) -> None:
        self.receives, self.sends, self.onces, self.requests = [], [], [], []

    def is_empty(self) -> bool:
        return not (self.receives or self.sends or self.onces or self.requests)


@state
class Coming(NamedTuple):
    """A name space that comes. sends: with what is bound here; distant: those that may lead to other nodes; kinds: theirs."""

    caller: Caller
    made: Right
    words: bytes
    receives: tuple[PortName, ...]
    sends: tuple[PortName, ...]
    onces: tuple[PortName, ...]
    requests: tuple[PortName, ...]
    distant: tuple[PortName, ...]
    kinds: tuple[U32, ...]


@state
class IpcManager(NodeServer):
    """The IPC manager of a node. rebound: the kinds of rights that become the other node's."""

    __slots__ = ("arrived", "extracted", "own", "rebound")
    name = NAME
    extracted: dict[Right, Extracted]  # of tasks whose receive rights have gone, by their control ports
    arrived: dict[Right, Arrived]  # rights that have come for a task that was made here
    own: dict[str, Right]  # this node's own ports, by their kinds
    rebound: tuple[str, ...]

    def __init__(self, node: int, host: bytes, rebound: tuple[str, ...]) -> None:
        super().__init__(node, host)
        self.extracted, self.arrived = {}, {}
        self.own = {}
        self.rebound = rebound

    @classmethod
    def on_node(  # type: ignore[override]
        cls, node: int, seed: int, key: bytes, host: str, folder: Path, *, table: object = None
    ) -> Self:
        """table: the path of a table of rights; without it machemu's own says which are rebound."""
        if table is not None and not (isinstance(table, str) and table):
            raise UserError(f'table = {table!r}: write the path of a table of rights, such as table = "rights.toml"')
        return cls(node, host.encode(), rights.rebound() if table is None else rights.rebound(folder / str(table)))

    def start(self, mach: Mach) -> None:
        super().start(mach)
        host = mach.given("host-port")
        (names,) = mach.call(HOST_PROCESSOR_SETS, host)
        first, *more = map(name_of, names)
        (control,) = mach.call(HOST_PROCESSOR_SET_PRIV, host, PolyPort(first, COPY_SEND))
        mach.give_up((name, MOVE_SEND) for name in more)
        self.own = {
            "host": mach.host_self(), "host-privileged": host, "processor-set-name": first, "processor-set": name_of(control),
            "device-master": mach.given("device-port"), "printer": living(*mach.call(TASK_GET_PRINTER, mach.task_self())),
        }  # fmt: skip

    # Rights that go

    @serves(ipc.IPC_PAUSE)
    def _pause(self, mach: Mach, request: Message, tasks: Sequence[Any]) -> None:
        self.ask(mach, self._pausing, mach.given("name-server"), (GNS,), request.caller, tuple(filter(None, map(living, tasks))))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _pausing(self, mach: Mach, answer: Answer, caller: Caller, tasks: tuple[Right, ...]) -> None:
        network = living(answer.results[0]) if answer.results else 0
        if network:
            self.ask(mach, self._paused, network, (list(tasks), mach.copy_send(mach.given("host-port"))), caller, network)
        else:
            mach.give_up((task, MOVE_SEND) for task in tasks)
            mach.answer(caller, ipc.IPC_PAUSE, 0, (None,))

    @answered(gns.GNS_PAUSE)
    def _paused(self, mach: Mach, answer: Answer, caller: Caller, network: Right) -> None:
        mach.deallocate(network)
        mach.answer(caller, ipc.IPC_PAUSE, answer.code, answer.results)

    @serves(ipc.IPC_LEAD)
    def _lead(self, mach: Mach, request: Message, controls: Sequence[Any], there: Any, made: Any) -> None:
        """All receive rights go in one message, as far as they find room: what waits in their queues comes after them."""
        its: list[PortName] = []
        code = KERN_SUCCESS
        for control in map(name_of, controls):
            try:
                words, *rights = mach.call(MACH_PORT_EXTRACT_ALL, control)
            except KernError as error:
                code = error.code
                break
            receives, *others = (tuple(map(name_of, each)) for each in rights)
            its += receives
            self.extracted[mach.copy_send(control)] = Extracted(bytes(words.copy or b""), len(receives), *others)
            mach.notify(control, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        pieces = tuple(_pieces(its, (), (), ()))
        going = Going(request.caller, tuple(map(name_of, controls)), name_of(there), made, pieces)
        self._led(mach, Answer(code, ()), going)

    @answered(ipc.IPC_TAKE)
    def _led(self, mach: Mach, answer: Answer, going: Going) -> None:
        if going.pieces and not answer.code:
            self.ask(mach, self._led, going.there, (_copy(going.made), *going.pieces[0]), going._replace(pieces=going.pieces[1:]))
        else:
            self._end(mach, going, ipc.IPC_LEAD, answer)

    @serves(ipc.IPC_MOVE)
    def _move(self, mach: Mach, request: Message, control: Any, there: Any, made: Any, first: Any) -> None:
        if living(control) not in self.extracted:
            raise KernError(KERN_INVALID_ARGUMENT)
        names = tuple(_special(mach, control))
        known = (*UNNAMED, *_kernel_ports(names), names[PRINTER])
        others = [name for name in names if name not in known and not self._kind(name)]
        going = Going(request.caller, (control,), name_of(there), made, ())
        self._sort(mach, going, Special(names, tuple(dict.fromkeys(others)), (), first))

    def _sort(self, mach: Mach, going: Going, special: Special) -> None:
        """Asks the name server of each special port whether it is one of its own, by which a task reaches it."""
        if NAME_SERVER in self.rebound and special.candidates:
            port = PolyPort(special.candidates[0], COPY_SEND)
            self.ask(mach, self._sorted, mach.given("name-server"), (port,), going, special)
        else:
            self._send(mach, going, special)

    @answered(acs.ACS_IS_CLIENT)
    def _sorted(self, mach: Mach, answer: Answer, going: Going, special: Special) -> None:
        first, *rest = special.candidates
        clients = special.clients if answer.code else (*special.clients, first)
        self._sort(mach, going, special._replace(candidates=tuple(rest), clients=clients))

    def _send(self, mach: Mach, going: Going, special: Special) -> None:
        """Sends what is bound to nothing at the other node, and what is to be made of it."""
        (control,) = going.controls
        rest = self.extracted.pop(control)
        mach.notify(control, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
        mach.deallocate(control)
        names = [*rest.sends, *special.names]
        kinds = [CLIENT if name in special.clients else self._kind(name) for name in names]
        bound = [bool(kind) and rights.KINDS[kind - 1] in self.rebound for kind in kinds]
        mach.give_up((name, MOVE_SEND) for name, is_bound in zip(names, bound, strict=True) if is_bound)
        given = [NULL_NAME if is_bound else name for name, is_bound in zip(names, bound, strict=True)]
        told = tuple([kind | (BOUND if is_bound else 0) for kind, is_bound in zip(kinds, bound, strict=True)])
        pieces = tuple(_pieces((), given, rest.onces, rest.requests))
        filling = Filling(special.first, rest.receives, rest.words, told)
        self._went(mach, DONE, going._replace(pieces=pieces), filling)

    def _kind(self, name: PortName) -> int:
        """What a right is for: 1 and its place in KINDS, or OTHER."""
        return next((1 + rights.KINDS.index(kind) for kind, own in self.own.items() if own == name), rights.OTHER)

    @answered(ipc.IPC_TAKE)
    def _went(self, mach: Mach, answer: Answer, going: Going, filling: Filling) -> None:
        if answer.code:
            mach.deallocate(filling.first)
            self._end(mach, going, ipc.IPC_MOVE, answer)
        elif going.pieces:
            rest = going._replace(pieces=going.pieces[1:])
            self.ask(mach, self._went, going.there, (_copy(going.made), *going.pieces[0]), rest, filling)
        else:
            mach.work(0, 0, len(filling.words))
            packed = zlib.compress(filling.words)
            values = _copy(going.made), filling.first, filling.receives, OutOfLine(packed, len(packed))
            self.ask(mach, self._moved, going.there, (*values, words_of(mach.order, filling.kinds)), going)

    @answered(ipc.IPC_FILL)
    def _moved(self, mach: Mach, answer: Answer, going: Going) -> None:
        self._end(mach, going, ipc.IPC_MOVE, answer)

    @staticmethod
    def _end(mach: Mach, going: Going, routine: Routine, answer: Answer) -> None:
        for piece in going.pieces:
            _give_up(mach, piece)
        mach.give_up((name, MOVE_SEND) for name in (*going.controls, going.there, going.made))
        mach.answer(going.caller, routine, answer.code, answer.results)

    # Rights that come

    @serves(ipc.IPC_TAKE)
    def _take(self, mach: Mach, request: Message, made: Any, *given: Sequence[Any]) -> tuple[Any, ...]:
        if not living(made):
            raise KernError(KERN_INVALID_ARGUMENT)
        if made not in self.arrived:
            self.arrived[mach.copy_send(made)] = Arrived()
            mach.notify(made, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        arrived = self.arrived[made]
        lists = arrived.receives, arrived.sends, arrived.onces, arrived.requests
        for names, kept in zip(given, lists, strict=True):
            kept.extend(map(name_of, names))
        mach.deallocate(made)
        return ()

    def died(self, mach: Mach, name: PortName) -> None:
        """A task has ended whose rights are here, before they could go, or after they had come."""
        if name in self.arrived:
            _give_up(mach, self.arrived.pop(name))
        elif name in self.extracted:
            rest = self.extracted.pop(name)
            _give_up(mach, Piece((), rest.sends, rest.onces, rest.requests))
        else:
            return
        mach.deallocate(name)

    def _forget(self, mach: Mach, task: Any) -> None:
        """Of a task all that has come has been used."""
        if task in self.arrived and self.arrived[task].is_empty():
            del self.arrived[task]
            mach.notify(task, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
            mach.deallocate(task)

    @serves(ipc.IPC_FILL)
    def _fill(
        self, mach: Mach, request: Message, made: Any, first: Any, receives: int, words: OutOfLine, kinds: OutOfLine
    ) -> None:
        """Whatever becomes of it, the rights are used up."""
        told = numbers_of(mach.order, kinds)
        try:
            data = zlib.decompressobj().decompress(bytes(words.copy or b""), WORDS_MAX)  # type: ignore[call-overload]
        except zlib.error:
            raise KernError(KERN_INVALID_ARGUMENT) from None
        ports, others = (self.arrived.get(living(task)) or Arrived() for task in (first, made))
        if not living(made) or not living(first) or len(ports.receives) < receives or len(others.sends) != len(told):
            raise KernError(KERN_INVALID_ARGUMENT)
        its, ports.receives = tuple(ports.receives[:receives]), ports.receives[receives:]
        names, once, asked = others.sends, tuple(others.onces), tuple(others.requests)
        others.sends, others.onces, others.requests = [], [], []
        for task in {made, first}:
            self._forget(mach, task)
        mach.deallocate(first)
        own = dict(self.own)
        if any(kind == CLIENT | BOUND for kind in told):
            own[NAME_SERVER] = _new_client(mach)
        for place, kind in enumerate(told):
            if kind & BOUND:
                names[place] = mach.copy_send(own[rights.KINDS[(kind & ~BOUND) - 1]])
        if NAME_SERVER in own:
            mach.deallocate(own[NAME_SERVER])
        near = {*UNNAMED, *its, *_kernel_ports(names[-_special_count(mach, made) :])}
        distant = {name: kind for name, kind in zip(names, told, strict=True) if name not in near and not kind & BOUND}
        mach.work(0, 0, len(data))
        coming = Coming(request.caller, made, data, its, tuple(names), once, asked, tuple(distant), tuple(distant.values()))
        self.ask(mach, self._network, mach.given("name-server"), (GNS,), coming)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _network(self, mach: Mach, answer: Answer, coming: Coming) -> None:
        network = living(answer.results[0]) if answer.results else 0
        if not network:
            self._insert(mach, coming, [])
            return
        distant: dict[PortName, int] = {}
        for name, kind in zip(coming.distant, coming.kinds, strict=True):
            with suppress(KernError):  # it has died meanwhile
                distant[mach.copy_send(name)] = kind
        coming = coming._replace(distant=tuple(distant), kinds=tuple(distant.values()))
        self.ask(mach, self._found, network, (list(distant),), coming, network)

    @answered(gns.GNS_HOMES)
    def _found(self, mach: Mach, answer: Answer, coming: Coming, network: Right) -> None:
        mach.deallocate(network)
        self._insert(mach, coming, numbers_of(mach.order, answer.results[0]) if answer.results else [])

    def _insert(self, mach: Mach, coming: Coming, nodes: Sequence[int]) -> None:
        """nodes: of the distant rights."""
        made = coming.made
        try:
            count = _special_count(mach, made)
        except KernError as error:
            _give_up(mach, coming)
            mach.deallocate(made)
            mach.answer(coming.caller, ipc.IPC_FILL, error.code)
            return
        found = Counter(pair for pair in zip(nodes, coming.kinds, strict=False) if pair[0] != self.node)
        dependencies = [word for (node, kind), number in sorted(found.items()) for word in (node, kind, number)]
        words = OutOfLine(coming.words, len(coming.words))
        rest = coming.receives, coming.sends[:-count], coming.onces, coming.requests
        code = KERN_SUCCESS
        try:
            mach.call(MACH_PORT_INSERT_ALL, mach.given("host-port"), PolyPort(made, COPY_SEND), words, *rest)
            _set_special(mach, made, coming.sends[-count:])
        except KernError as error:
            code = error.code
        mach.deallocate(made)
        mach.answer(coming.caller, ipc.IPC_FILL, code, (words_of(mach.order, dependencies),))


DONE: Final = Answer(KERN_SUCCESS, ())
REGISTERED_MAX: Final = 4
"""Ports that a task registers at most (mach_ports_register)."""
PRINTER: Final = REGISTERED_MAX + len(OF_TASK)
"""The place of the port where a task prints, among its special ports."""


def _copy(right: PortName) -> PolyPort:
    return PolyPort(right, COPY_SEND)


def _pieces(*kinds: Sequence[PortName]) -> Iterator[Piece]:
    """Rights of the four kinds, so many in a piece as a message may have."""
    each = [(kind, name) for kind, names in enumerate(kinds) for name in names]
    for at in range(0, len(each), PIECE):
        some = each[at : at + PIECE]
        yield Piece(*[tuple(name for its, name in some if its == kind) for kind in range(len(kinds))])


def _give_up(mach: Mach, what: Piece | Arrived | Coming) -> None:
    kinds = (what.receives, MOVE_RECEIVE), (what.sends, MOVE_SEND), (what.onces, MOVE_SEND_ONCE), (what.requests, MOVE_SEND_ONCE)
    mach.give_up((name, kind) for names, kind in kinds for name in names)


def _new_client(mach: Mach) -> PortName:
    """A right by which a task that comes reaches the name server, as the loader gives one; this manager's own, where it lacks the
    privilege for that."""
    if not mach.given("privilege"):
        return mach.copy_send(mach.given("name-server"))
    client = mach.make_send(mach.allocate_port())
    mach.request(NAME_SERVER_CLIENT, mach.given("privilege"), (client,))
    return client


def _special_count(mach: Mach, task: PortName) -> int:
    """How many special ports a task and its threads have."""
    (threads,) = mach.call(TASK_THREADS, task)
    mach.give_up((name_of(thread), MOVE_SEND) for thread in threads)
    return PRINTER + 1 + len(OF_THREAD) * len(threads)


def _kernel_ports(special: Sequence[PortName]) -> list[PortName]:
    """The ports by which a task and its threads know themselves, among their special ports."""
    return [special[REGISTERED_MAX], *special[PRINTER + 1 :: len(OF_THREAD)]]


def _special(mach: Mach, task: PortName) -> Iterator[PortName]:
    """Rights to the special ports of a task and its threads, which the caller gives up: first the registered ones."""
    (registered,) = mach.call(MACH_PORTS_LOOKUP, task)
    yield from map(name_of, registered)
    yield from [NULL_NAME] * (REGISTERED_MAX - len(registered))
    for which in OF_TASK:
        yield name_of(*mach.call(TASK_GET_SPECIAL_PORT, task, which))
    yield name_of(*mach.call(TASK_GET_PRINTER, task))
    for thread in map(name_of, mach.call(TASK_THREADS, task)[0]):
        for which in OF_THREAD:
            yield name_of(*mach.call(THREAD_GET_SPECIAL_PORT, thread, which))
        mach.deallocate(thread)


def _set_special(mach: Mach, task: PortName, ports: Sequence[PortName]) -> None:
    """Gives a task and its threads these special ports, in the order of `_special`. Consumes the rights."""
    rest = iter(ports[REGISTERED_MAX:])
    mach.call(MACH_PORTS_REGISTER, task, ports[:REGISTERED_MAX])
    for which in OF_TASK:
        mach.call(TASK_SET_SPECIAL_PORT, task, which, next(rest))
    mach.call(TASK_SET_PRINTER, mach.given("host-port"), PolyPort(task, COPY_SEND), next(rest))
    for thread in map(name_of, mach.call(TASK_THREADS, task)[0]):
        for which in OF_THREAD:
            mach.call(THREAD_SET_SPECIAL_PORT, thread, which, next(rest))
        mach.deallocate(thread)
