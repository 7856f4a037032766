"""The IPC manager of a node: moves whole port name spaces, and binds rights to a node's own ports to another node's."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.message import COPY_SEND, MOVE_SEND
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
from machemu.mig.interfaces.mach_migrate import MACH_PORT_EXTRACT_ALL, MACH_PORT_INSERT_ALL
from machemu.mig.interfaces.name_server import NAME_SERVER_CLIENT
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U32, PortName, Right, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, NULL_NAME, Caller, Message, living, name_of
from masix.interfaces import acs, gns
from masix.interfaces import ipc_manager as ipc
from masix.migration import rights
from masix.migration.node_server import NodeServer
from masix.migration.state import numbers_of, words_of

NAME: Final = b"ipc"
OF_TASK: Final = (1, 3, 4)
OF_THREAD: Final = (1, 3)
"""Special ports: TASK_KERNEL_PORT, TASK_EXCEPTION_PORT, TASK_BOOTSTRAP_PORT; THREAD_KERNEL_PORT, THREAD_EXCEPTION_PORT."""
NOT_RIGHTS: Final = (NULL_NAME, DEAD_NAME)
GNS: Final = b"gns"
NAME_SERVER: Final = "name-server"
CLIENT: Final = 1 + rights.KINDS.index(NAME_SERVER)
"""The kind of a right by which a task reaches the name server."""
WORDS_MAX: Final = 1 << 24
"""Bytes of a name space's words, unpacked."""
BOUND: Final = 256
"""Beside a kind: the right is null, and becomes the other node's."""


@state
class Going(NamedTuple):
    """A name space that goes. special: the task's special ports and its threads', as `_special` gives them; clients: those which
    are the name server's; candidates: those which may be."""

    caller: Caller
    control: Right
    there: Right
    made: Right
    special: tuple[PortName, ...]
    candidates: tuple[PortName, ...]
    clients: tuple[PortName, ...]


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
    """The IPC manager of a node. rebound: the kinds of rights that become the other node's; table: a file that says it."""

    __slots__ = ("own", "rebound")
    name = NAME
    own: dict[str, Right]  # this node's own ports, by their kinds
    rebound: tuple[str, ...]

    def __init__(self, node: int, host: bytes, table: str = "") -> None:
        super().__init__(node, host)
        self.own = {}
        self.rebound = rights.rebound(Path(table)) if table else rights.rebound()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        host = mach.given("host-port")
        (names,) = mach.call(HOST_PROCESSOR_SETS, host)
        first, *more = map(name_of, names)
        (control,) = mach.call(HOST_PROCESSOR_SET_PRIV, host, PolyPort(first, COPY_SEND))
        mach.give_up((name, MOVE_SEND) for name in more)
        self.own = {
            "host": mach.host_self(), "host-privileged": host, "processor-set-name": first, "processor-set": name_of(control),
            "device-master": mach.given("device-port"),
        }  # fmt: skip

    # Rights that go

    @serves(ipc.IPC_MOVE)
    def _move(self, mach: Mach, request: Message, control: Any, there: Any, made: Any) -> None:
        special = tuple(_special(mach, control))
        others = [name for name in special if name not in (*NOT_RIGHTS, *_kernel_ports(special)) and not self._kind(name)]
        going = Going(request.caller, control, name_of(there), made, special, tuple(dict.fromkeys(others)), ())
        self._sort(mach, going)

    def _sort(self, mach: Mach, going: Going) -> None:
        """Asks the name server of each special port whether it is one of its own, by which a task reaches it."""
        if NAME_SERVER in self.rebound and going.candidates:
            self.ask(mach, self._sorted, mach.given("name-server"), (PolyPort(going.candidates[0], COPY_SEND),), going)
        else:
            self._extract(mach, going)

    @answered(acs.ACS_IS_CLIENT)
    def _sorted(self, mach: Mach, answer: Answer, going: Going) -> None:
        first, *rest = going.candidates
        clients = going.clients if answer.code else (*going.clients, first)
        self._sort(mach, going._replace(candidates=tuple(rest), clients=clients))

    def _extract(self, mach: Mach, going: Going) -> None:
        try:
            words, receives, sends, onces, requests = mach.call(MACH_PORT_EXTRACT_ALL, going.control)
        except KernError as error:
            mach.give_up((name, MOVE_SEND) for name in going.special if name not in NOT_RIGHTS)
            self._end(mach, going, error.code)
            return
        names = [*map(name_of, sends), *going.special]
        kinds = [CLIENT if name in going.clients else self._kind(name) for name in names]
        bound = [bool(kind) and rights.KINDS[kind - 1] in self.rebound for kind in kinds]
        mach.give_up((name, MOVE_SEND) for name, is_bound in zip(names, bound, strict=True) if is_bound)
        given = [NULL_NAME if is_bound else name for name, is_bound in zip(names, bound, strict=True)]
        told = [kind | (BOUND if is_bound else 0) for kind, is_bound in zip(kinds, bound, strict=True)]
        arrays = [tuple(map(name_of, each)) for each in (receives, onces, requests)]
        data = bytes(words.copy or b"")
        mach.work(0, 0, len(data))
        packed = zlib.compress(data)
        values = (going.made, OutOfLine(packed, len(packed)), arrays[0], given, *arrays[1:], words_of(mach.order, told))
        self.ask(mach, self._moved, going.there, values, going._replace(made=0, special=(), clients=()))

    def _kind(self, name: PortName) -> int:
        """What a right is for: 1 and its place in KINDS, or OTHER."""
        return next((1 + rights.KINDS.index(kind) for kind, own in self.own.items() if own == name), rights.OTHER)

    @answered(ipc.IPC_FILL)
    def _moved(self, mach: Mach, answer: Answer, going: Going) -> None:
        self._end(mach, going, answer.code, answer.results)

    @staticmethod
    def _end(mach: Mach, going: Going, code: int, results: tuple[Any, ...] = ()) -> None:
        mach.give_up(((going.control, MOVE_SEND), (going.there, MOVE_SEND)))
        mach.answer(going.caller, ipc.IPC_MOVE, code, results)

    # Rights that come

    @serves(ipc.IPC_FILL)
    def _fill(
        self, mach: Mach, request: Message, made: Any, words: OutOfLine, receives: Sequence[Any], sends: Sequence[Any],
        onces: Sequence[Any], requests: Sequence[Any], kinds: OutOfLine,
    ) -> None:  # fmt: skip
        """Whatever becomes of it, the rights are used up."""
        try:
            data = zlib.decompressobj().decompress(bytes(words.copy or b""), WORDS_MAX)  # type: ignore[call-overload]
        except zlib.error:
            raise KernError(KERN_INVALID_ARGUMENT) from None
        names = list(map(name_of, sends))
        told = numbers_of(mach.order, kinds)
        own = dict(self.own)
        if any(kind == CLIENT | BOUND for kind in told):
            own[NAME_SERVER] = _new_client(mach)
        for place, kind in enumerate(told):
            if kind & BOUND:
                names[place] = mach.copy_send(own[rights.KINDS[(kind & ~BOUND) - 1]])
        if NAME_SERVER in own:
            mach.deallocate(own[NAME_SERVER])
        its, once, asked = (tuple(map(name_of, each)) for each in (receives, onces, requests))
        near = {*NOT_RIGHTS, *its, *_kernel_ports(names[-_special_count(mach, made) :])}
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
        made, count = coming.made, _special_count(mach, coming.made)
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


REGISTERED_MAX: Final = 4
"""Ports that a task registers at most (mach_ports_register)."""


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
    return REGISTERED_MAX + len(OF_TASK) + len(OF_THREAD) * len(threads)


def _kernel_ports(special: Sequence[PortName]) -> list[PortName]:
    """The ports by which a task and its threads know themselves, among their special ports."""
    first = REGISTERED_MAX + len(OF_TASK)
    return [special[REGISTERED_MAX], *special[first :: len(OF_THREAD)]]


def _special(mach: Mach, task: PortName) -> Iterator[PortName]:
    """Rights to the special ports of a task and its threads, which the caller gives up: first the registered ones."""
    (registered,) = mach.call(MACH_PORTS_LOOKUP, task)
    yield from map(name_of, registered)
    yield from [NULL_NAME] * (REGISTERED_MAX - len(registered))
    for which in OF_TASK:
        yield name_of(*mach.call(TASK_GET_SPECIAL_PORT, task, which))
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
    for thread in map(name_of, mach.call(TASK_THREADS, task)[0]):
        for which in OF_THREAD:
            mach.call(THREAD_SET_SPECIAL_PORT, thread, which, next(rest))
        mach.deallocate(thread)
