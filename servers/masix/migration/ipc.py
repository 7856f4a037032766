"""The IPC manager of a node: moves whole port name spaces, and binds rights to a node's own ports to another node's."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from machemu.abi.errors import KernError, UserError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND
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
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import PortName, Right, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, NULL_NAME, UNNAMED, Caller, Message, living, name_of
from masix.interfaces import acs, gns
from masix.interfaces import ipc_manager as ipc
from masix.migration import lasting, node_tasks, rights
from masix.migration.node_server import NodeServer
from masix.migration.pieces import Arrived, Coming, Extracted, Filling, Going, Piece, Special, pieces_of
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
OTHERS: Final = 1 << 16
"""The number of the first part that has no receive rights."""
BOUND: Final = 256
"""Beside a kind: the right is null, and becomes the other node's."""


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
        network = answer.right
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
    def _lead(self, mach: Mach, request: Message, controls: Sequence[Any], there: Any, made: Any, lasts: int) -> None:
        """All receive rights go in one message, as far as they find room: what waits in their queues comes after them."""
        node_tasks.check(mach, controls, there, made)
        its: list[PortName] = []
        code = KERN_SUCCESS
        for control in map(name_of, controls):
            try:
                its += self._extract(mach, control, bool(lasts))
            except KernError as error:
                code = error.code
                break
        if lasts:
            its = lasting.lend(mach, its, self.notices)
        pieces = tuple(pieces_of(its, (), (), ()))
        going = Going(request.caller, tuple(map(name_of, controls)), name_of(there), name_of(made), pieces, 0, bool(lasts))
        self._led(mach, Answer(code, ()), going)

    def _extract(self, mach: Mach, control: PortName, lasts: bool) -> tuple[PortName, ...]:
        """The receive rights of a task that is held; all else is kept. They may have been asked for before, where they last."""
        if control in self.extracted:
            return self.extracted[control].receives
        words, *rights = mach.call(MACH_PORT_EXTRACT_ALL, control)
        receives, sends, onces, requests = (tuple(map(name_of, each)) for each in rights)
        kept = bytes(words.copy or b""), receives if lasts else (), len(receives)
        self.extracted[mach.copy_send(control)] = Extracted(*kept, sends, onces, requests)
        mach.notify(control, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        return receives

    @answered(ipc.IPC_TAKE)
    def _led(self, mach: Mach, answer: Answer, going: Going) -> None:
        if going.pieces and not answer.code:
            values = _copy(going.made), going.part, *going.pieces[0]
            self.ask(mach, self._led, going.there, values, going._replace(pieces=going.pieces[1:], part=going.part + 1))
        else:
            self._end(mach, going, answer)

    @serves(ipc.IPC_MOVE)
    def _move(self, mach: Mach, request: Message, control: Any, there: Any, made: Any, first: Any, lasts: int) -> None:
        if living(control) not in self.extracted or None in (there, made, first):
            raise KernError(KERN_INVALID_ARGUMENT)
        going = Going(request.caller, (control,), name_of(there), name_of(made), (), OTHERS, bool(lasts))
        self._begin(mach, going, name_of(first))

    @serves(ipc.IPC_COPY)
    def _copy_sends(self, mach: Mach, request: Message, control: Any, there: Any, made: Any) -> None:
        node_tasks.check(mach, (control,), there, made)
        self._extract(mach, name_of(control), True)
        going = Going(request.caller, (control,), name_of(there), name_of(made), (), OTHERS, True, True)
        self._begin(mach, going, NULL_NAME)

    def _begin(self, mach: Mach, going: Going, first: Right) -> None:
        """All but the receive rights goes, unless it has gone."""
        (control,) = going.controls
        if self.extracted[control].has_gone:
            mach.give_up([(first, MOVE_SEND)])
            self._end(mach, going, DONE._replace(results=() if going.ahead else (words_of(mach.order, ()),)))
            return
        names = tuple(_special(mach, control))
        known = (*UNNAMED, *_kernel_ports(names), names[PRINTER])
        others = [name for name in names if name not in known and not self._kind(name)]
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
        rest = self.extracted[control]
        names = [*rest.sends, *special.names]
        kinds = [CLIENT if name in special.clients else self._kind(name) for name in names]
        bound = [bool(kind) and rights.KINDS[kind - 1] in self.rebound for kind in kinds]
        given = [NULL_NAME if is_bound else name for name, is_bound in zip(names, bound, strict=True)]
        told = tuple([kind | (BOUND if is_bound else 0) for kind, is_bound in zip(kinds, bound, strict=True)])
        pieces = tuple(pieces_of((), given, rest.onces, rest.requests))
        if going.ahead:
            pieces = tuple([piece._replace(onces=(), requests=()) for piece in pieces])
        filling = Filling(special.first, rest.number_of_receives, rest.words, told, special.names if going.lasts else ())
        if not going.lasts:
            self._forget(mach, control)
            mach.give_up((name, MOVE_SEND) for name, is_bound in zip(names, bound, strict=True) if is_bound)
        self._went(mach, DONE, going._replace(pieces=pieces), filling)

    def _forget(self, mach: Mach, control: PortName) -> Extracted:
        """What has been taken of a task goes, or is the other node's; its rights are the caller's."""
        mach.notify(control, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
        mach.deallocate(control)
        return self.extracted.pop(control)

    def _kind(self, name: PortName) -> int:
        """What a right is for: 1 and its place in KINDS, or OTHER."""
        return next((1 + rights.KINDS.index(kind) for kind, own in self.own.items() if own == name), rights.OTHER)

    @answered(ipc.IPC_TAKE)
    def _went(self, mach: Mach, answer: Answer, going: Going, filling: Filling) -> None:
        if answer.code:
            mach.give_up((name, MOVE_SEND) for name in (filling.first, *filling.special))
            self._end(mach, going, answer)
        elif going.pieces:
            rest = going._replace(pieces=going.pieces[1:], part=going.part + 1)
            values = _copy(going.made), going.part, *self._given(mach, going)
            self.ask(mach, self._went, going.there, values, rest, filling)
        elif going.ahead:
            mach.give_up((name, MOVE_SEND) for name in filling.special)
            self._end(mach, going, answer)
        else:
            mach.work(0, 0, len(filling.words))
            packed = zlib.compress(filling.words)
            told = OutOfLine(packed, len(packed)), words_of(mach.order, filling.kinds)
            whole = _copy(going.made), filling.first, filling.receives, *told
            self.ask(mach, self._moved, going.there, whole, going, filling.special)

    def _given(self, mach: Mach, going: Going) -> Piece:
        """The rights of the next piece, to be moved away. Of those that last there are more; but a send-once right goes once."""
        piece = going.pieces[0]
        if not going.lasts:
            return piece
        (control,) = going.controls
        kept = self.extracted[control]
        onces = tuple(DEAD_NAME if name in piece.onces else name for name in kept.onces)
        requests = tuple(NULL_NAME if name in piece.requests else name for name in kept.requests)
        self.extracted[control] = kept._replace(onces=onces, requests=requests)
        return piece._replace(sends=tuple(lasting.another(mach, name) for name in piece.sends))

    @answered(ipc.IPC_FILL)
    def _moved(self, mach: Mach, answer: Answer, going: Going, special: tuple[PortName, ...]) -> None:
        mach.give_up((name, MOVE_SEND) for name in special)
        if going.lasts and not answer.code:
            (control,) = going.controls
            rest, self.extracted[control] = self.extracted[control], Extracted(b"", (), 0, (), (), (), True)
            mach.give_up((name, MOVE_SEND) for name in rest.sends)
            lasting.end(mach, rest.receives)
        self._end(mach, going, answer)

    @staticmethod
    def _end(mach: Mach, going: Going, answer: Answer) -> None:
        for piece in () if going.lasts else going.pieces:
            piece.give_up(mach)
        mach.give_up((name, MOVE_SEND) for name in (*going.controls, going.there, going.made))
        mach.answer(going.caller, ipc.ROUTINES[going.caller.id], answer.code, answer.results)

    # Rights that come

    @serves(ipc.IPC_TAKE)
    def _take(self, mach: Mach, request: Message, made: Any, part: int, *given: Sequence[Any]) -> tuple[Any, ...]:
        """A receive right that is null is lost."""
        if not living(made):
            raise KernError(KERN_INVALID_ARGUMENT)
        if made not in self.arrived:
            self.arrived[mach.copy_send(made)] = Arrived()
            mach.notify(made, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        arrived, piece = self.arrived[made], Piece(*[tuple(map(name_of, names)) for names in given])
        lasting.arrived(mach, given[0])
        if part in arrived.parts or arrived.is_filled:
            arrived.comes_again(mach, part, piece)
        elif any(right is None for right in given[0]):
            raise KernError(KERN_INVALID_ARGUMENT)
        else:
            arrived.parts[part] = piece
        mach.deallocate(made)
        return ()

    def died(self, mach: Mach, name: PortName) -> None:
        """A task has ended whose rights are here, before they could go, or after they had come; or one goes on."""
        if name in self.arrived:
            arrived = self.arrived.pop(name)
            arrived.take().give_up(mach)
            mach.give_up((receive, MOVE_RECEIVE) for receive in arrived.receives)
        elif name in self.extracted:
            rest = self.extracted.pop(name)
            Piece((), rest.sends, rest.onces, rest.requests).give_up(mach)
            lasting.end(mach, rest.receives)
        else:
            return
        mach.deallocate(name)

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
        if others.is_filled:
            mach.give_up(((name_of(first), MOVE_SEND), (made, MOVE_SEND)))
            mach.reply(request, ipc.IPC_FILL, 0, (words_of(mach.order, ()),))
            return
        node_tasks.check(mach, (made,), first)
        special = _special_count(mach, made)
        if not all(_is_kind(kind, self.own) for kind in told):
            raise KernError(KERN_INVALID_ARGUMENT)
        its, rest = ports.take_receives(receives), others.take()
        if len(its) != receives or not len(rest.sends) == len(told) >= special:
            rest._replace(receives=its).give_up(mach)
            raise KernError(KERN_INVALID_ARGUMENT)
        names = list(rest.sends)
        others.is_filled = True
        mach.deallocate(first)
        own = dict(self.own)
        if any(kind == CLIENT | BOUND for kind in told):
            own[NAME_SERVER] = _new_client(mach)
        for place, kind in enumerate(told):
            if kind & BOUND:
                names[place] = mach.copy_send(own[rights.KINDS[(kind & ~BOUND) - 1]])
        if NAME_SERVER in own:
            mach.deallocate(own[NAME_SERVER])
        near = {*UNNAMED, *its, *_kernel_ports(names[-special:])}
        distant = {name: kind for name, kind in zip(names, told, strict=True) if name not in near and not kind & BOUND}
        mach.work(0, 0, len(data))
        coming = Coming(
            request.caller, made, data, its, tuple(names), rest.onces, rest.requests, tuple(distant), tuple(distant.values())
        )  # fmt: skip
        self.ask(mach, self._network, mach.given("name-server"), (GNS,), coming)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _network(self, mach: Mach, answer: Answer, coming: Coming) -> None:
        network = answer.right
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
            Piece(coming.receives, coming.sends, coming.onces, coming.requests).give_up(mach)
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


def _is_kind(kind: int, own: Collection[str]) -> bool:
    """Whether a node may say of a right that it is of a kind, and bound; own: the kinds of which this node has ports."""
    which = kind & ~BOUND
    if not kind & BOUND:
        return which <= len(rights.KINDS)
    return 0 < which <= len(rights.KINDS) and (which == CLIENT or rights.KINDS[which - 1] in own)


def _copy(right: PortName) -> PolyPort:
    return PolyPort(right, COPY_SEND)


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
