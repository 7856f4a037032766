"""A whole port name space taken apart and put together again under the same names, here or in another kernel.

All that a space has is in words and in arrays of rights, so that servers can send it on. machemu/abi/migrate.py describes the
words. The names that come next are the same afterwards, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_TASK
from machemu.abi.message import PORT_DEAD
from machemu.abi.migrate import (
    HAD_SENDERS,
    HAS_PAYLOAD,
    WANTS_ACCEPTED,
    WANTS_DEAD_NAME,
    WANTS_NO_SENDERS,
    WANTS_PORT_DESTROYED,
)
from machemu.abi.port import (
    PORT_NAME_DEAD,
    QLIMIT_MAX,
    TYPE_DEAD_NAME,
    TYPE_PORT_SET,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
    UREFS_MAX,
)
from machemu.ipc import marequest, notify, pset, right
from machemu.ipc import port as ports
from machemu.ipc.entry import TYPE_SEND_RECEIVE, Entry
from machemu.ipc.port import Port, Right
from machemu.ipc.pset import PortSet
from machemu.ipc.space import FREE_LIST_MAX, NAMES_MAX
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc

KINDS: Final = (TYPE_SEND, TYPE_RECEIVE, TYPE_SEND_RECEIVE, TYPE_SEND_ONCE, TYPE_DEAD_NAME, TYPE_PORT_SET)
COUNTED: Final = TYPE_SEND | TYPE_DEAD_NAME
RIGHTS: Final = (TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE)
"""Of which there are arrays, in their order."""
WANTS: Final = (WANTS_DEAD_NAME, WANTS_NO_SENDERS, WANTS_PORT_DESTROYED, WANTS_ACCEPTED)


class Name(NamedTuple):
    """A name's words. Those from `pset` to `payload` are of a receive right, and 0 of others. request: its dead-name request's
    slot, which decides who is told first; 0 where there is none. accepted: 1 + the place in its queue of the message of which a
    msg-accepted notification is due; else 0."""

    name: PortName
    type: int
    urefs: int
    flags: int = 0
    pset: PortName = 0
    mscount: int = 0
    seqno: int = 0
    qlimit: int = 0
    payload: int = 0
    request: int = 0
    accepted: int = 0


NAME_WORDS: Final = len(Name._fields)


class Parts(NamedTuple):
    """A space's words, and its rights in the order of the words. Send-once rights to its own ports are words."""

    words: tuple[int, ...]
    receives: tuple[Right, ...]
    sends: tuple[Right, ...]
    onces: tuple[Right, ...]
    requests: tuple[Right, ...]


def extract(ipc: Ipc, space: Space, going: Collection[Space] = ()) -> Parts:
    """Takes all out of a space from which nobody receives. The caller owns the rights. KERN_INVALID_TASK for a dead space. going:
    others of which nobody receives either, and which go where this one goes."""
    if not space.active:
        raise KernError(KERN_INVALID_TASK)
    names: list[Name] = []
    rights: tuple[list[Right], ...] = ([], [], [])
    requests: list[Right] = []
    queued: list[int] = []
    lost: list[int] = []
    own: list[int] = []
    entries = [entry for _, entry in space.entries()]
    for entry in entries:
        if isinstance(entry.object, Port) and entry.type & (TYPE_SEND | TYPE_SEND_ONCE):
            right.check(space, entry)
        if isinstance(entry.object, PortSet) and entry.object.messages:
            order = [kmsg.remote.receiver_name for kmsg in entry.object.messages if isinstance(kmsg.remote, Port)]
            queued += entry.name, len(order), *order
    for entry in entries:
        names.append(_describe(space, entry, going, requests))
        for bit, array in zip(RIGHTS, rights, strict=True):
            if entry.type & bit:
                array.append(entry.port())
    for entry in entries:
        if entry.type & TYPE_RECEIVE and entry.port().lost_srights:
            lost += _take_lost(ipc, entry, requests)
    for array in (rights[-1], requests):
        own += _take_own(ipc, space, array)
    for entry in entries:
        _take(ipc, space, entry)
    free, holes, top = tuple(space.free), tuple(space.holes), space.top
    for held in (space.table, space.reverse, space.free, space.holes):
        held.clear()
    space.top = 1
    lists = len(queued), *queued, len(lost), *lost
    words = (len(names), *(word for name in names for word in name), *lists, *own, top, len(free), *free, *holes)
    receives, sends, onces = map(tuple, rights)
    return Parts(words, receives, sends, onces, tuple(requests))


def _describe(space: Space, entry: Entry, going: Collection[Space], requests: list[Right]) -> Name:
    """An entry's words. Requests leave their port."""
    flags = 0
    if entry.type in (TYPE_PORT_SET, TYPE_DEAD_NAME):
        return Name(entry.name, entry.type, entry.urefs)
    port, place = entry.port(), entry.request
    accepted, told = marequest.take(entry, space, going)
    wanted = [right.cancel_request(entry, port) if place else None, None, None, told]
    if entry.type & TYPE_RECEIVE:
        wanted[1:3] = port.nsrequest, port.pdrequest
        port.nsrequest = port.pdrequest = None
    for bit, request in zip(WANTS, wanted, strict=True):
        if request is not None:
            flags |= bit
            requests.append(request)
    if not entry.type & TYPE_RECEIVE:
        return Name(entry.name, entry.type, entry.urefs, flags, request=place, accepted=accepted)
    flags |= (HAD_SENDERS if port.srights else 0) | (HAS_PAYLOAD if port.payload is not None else 0)
    in_set = port.pset.local_name if port.pset is not None else 0
    numbers = (port.mscount, port.seqno, port.qlimit, port.payload or 0)
    return Name(entry.name, entry.type, entry.urefs, flags, in_set, *numbers, place, accepted)


def _take_lost(ipc: Ipc, entry: Entry, requests: list[Right]) -> list[int]:
    """The words about send rights to a port that nobody holds. Their requests leave the port."""
    port = entry.port()
    told: list[int] = []
    for slot in port.lost_requests:
        request = port.dnrequests[slot]
        assert request is not None
        told += slot, request[0]
        requests.append(ports.dncancel(port, slot))
    words = [entry.name, 1 + len(told), port.lost_srights, *told]
    port.srights -= port.lost_srights
    port.lost_srights, port.lost_requests = 0, []
    return words


def _take_own(ipc: Ipc, space: Space, rights: list[Right]) -> list[int]:
    """Takes those to the space's own ports out of send-once rights; of each the name of its port there, 0 for another's."""
    names = [each.receiver_name if isinstance(each, Port) and each.receiver is space else 0 for each in rights]
    for each, name in zip(rights, names, strict=True):
        if name:
            ports.release_sonce(ipc, each)
    rights[:] = [each for each, name in zip(rights, names, strict=True) if not name]
    return names


def _take(ipc: Ipc, space: Space, entry: Entry) -> None:
    """An entry's rights leave the space."""
    if entry.marequest:
        marequest.leave(space, entry.name)
    if isinstance(entry.object, Port) and entry.type & TYPE_RECEIVE:
        for kmsg in entry.object.queued():
            if kmsg.marequest is not None:
                kmsg.marequest.goes = True
    if isinstance(entry.object, PortSet):
        pset.destroy(ipc, entry.object)
    elif isinstance(entry.object, Port) and entry.type & TYPE_RECEIVE:
        ports.clear_receiver(ipc, entry.object)
        ports.leave_receiver(entry.object)


# And again


def insert(ipc: Ipc, space: Space, parts: Parts) -> None:
    """Puts what was taken out of a space into an empty one. Consumes the rights on success.

    A right whose port has died meanwhile is PORT_DEAD, and becomes a dead name, of which whoever wanted to know it is told.
    KERN_INVALID_ARGUMENT where the space is not empty, or the parts are not one space's.
    """
    if not space.active:
        raise KernError(KERN_INVALID_TASK)
    names, queued, lost, own, top, free, holes = _unpack(parts.words)
    if space.table:
        raise KernError(KERN_INVALID_ARGUMENT)
    _check(names, own, parts)
    homes = dict(zip((each.name for each in names if each.type & TYPE_RECEIVE), parts.receives, strict=True))
    onces, asked = (_made(ipc, words, array, homes) for words, array in zip(own, parts[3:], strict=True))
    given = iter(parts.receives), iter(parts.sends), onces
    sets = {each.name: PortSet(each.name) for each in names if each.type == TYPE_PORT_SET}
    ipc.set_count += len(sets)
    wanted: list[tuple[Entry, Name, list[Right]]] = []
    for each in names:
        entry = space.table[each.name] = Entry(each.name)
        entry.type, entry.urefs, entry.object = each.type, each.urefs, sets.get(each.name)
        for bit, array in zip(RIGHTS, given, strict=True):
            if each.type & bit:
                _put(ipc, space, entry, each, bit, next(array), sets)
        wanted.append((entry, each, [next(asked) if each.flags & bit else None for bit in WANTS]))
    for member in queued:
        _reorder(sets[member[0]], member[1:])
    for name, count, *told in lost:
        _lose(ipc, homes[name], count, [(slot, tells, next(asked)) for slot, tells in zip(told[::2], told[1::2], strict=True)])
    space.top, space.free, space.holes = top, free, holes
    for entry, each, requests in reversed(wanted):
        _ask(ipc, entry, each, *requests[:-1])
        if isinstance(requests[-1], Port):
            marequest.renew(ipc, entry, space, each.accepted, requests[-1])


def _lose(ipc: Ipc, held: Right, count: int, requests: Iterable[tuple[int, PortName, Right]]) -> None:
    """The opposite of `_take_lost`. requests: a slot, a name, and the right of who is told it."""
    if not isinstance(held, Port):
        return
    held.srights += count
    held.lost_srights += count
    for slot, name, request in requests:
        if isinstance(request, Port):
            held.lost_requests.append(ports.dnrequest(ipc, held, name, request, slot))


def _made(ipc: Ipc, own: list[int], others: Sequence[Right], homes: dict[PortName, Right]) -> Iterator[Right]:
    """The opposite of `_take_own`. homes: the receive rights by name."""
    rest = iter(others)
    for name in own:
        port = homes.get(name)
        yield ports.make_sonce(ipc, port) if isinstance(port, Port) else next(rest)


def _unpack(
    words: Sequence[int],
) -> tuple[list[Name], list[list[int]], list[list[int]], list[list[int]], int, list[int], list[int]]:
    """The names, the queues of sets (a set's name, and its members' by message), send rights that nobody holds (`_take_lost`),
    the own ports of send-once rights and of requests, and the unused names."""
    rest = deque(words)

    def take(count: int) -> list[int]:
        if not 0 <= count <= len(rest):
            raise KernError(KERN_INVALID_ARGUMENT)
        return [rest.popleft() for _ in range(count)]

    (count,) = take(1)
    if count > NAMES_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    names = [Name(*take(NAME_WORDS)) for _ in range(count)]
    queued = list(_lists(take(take(1)[0])))
    lost = list(_lists(take(take(1)[0])))
    own = [take(_count(names, TYPE_SEND_ONCE)), take(_requests(names) + sum(len(each) // 2 - 1 for each in lost))]
    top, frees = take(2)
    free = take(frees)
    holes = list(rest)
    used = {each.name for each in names}
    sets = {each.name for each in names if each.type == TYPE_PORT_SET}
    good = (
        len(free) <= FREE_LIST_MAX
        and len(set(free)) == len(free)
        and used.isdisjoint(free)
        and len(used) == len(names)
        and 1 <= top <= NAMES_MAX + 1
        and all(0 < name < PORT_NAME_DEAD for name in (*used, *free, *holes))
        and all(each[0] in sets for each in queued)
        and all(len(each) >= 2 and not len(each) % 2 and 0 < each[1] <= UREFS_MAX for each in lost)
        and {each[0] for each in lost} <= {each.name for each in names if each.type & TYPE_RECEIVE}
        and all(not each.pset or each.pset in sets for each in names)
        and all(holes[(place - 1) // 2] <= holes[place] for place in range(1, len(holes)))
    )
    if not good:
        raise KernError(KERN_INVALID_ARGUMENT)
    return names, queued, lost, own, top, free, holes


def _lists(words: list[int]) -> Iterator[list[int]]:
    """Lists: each has a first word, how many follow, and these."""
    place = 0
    while place < len(words):
        count = words[place + 1] if place + 1 < len(words) else -1
        if not 0 <= count <= len(words) - place - 2:
            raise KernError(KERN_INVALID_ARGUMENT)
        yield [words[place], *words[place + 2 : place + 2 + count]]
        place += 2 + count


def _count(names: list[Name], bit: int) -> int:
    """How many names have a right of this type."""
    return sum(bool(each.type & bit) for each in names)


def _requests(names: list[Name]) -> int:
    return sum(bool(each.flags & bit) for each in names for bit in WANTS)


def _check(names: list[Name], own: list[list[int]], parts: Parts) -> None:
    """There are as many rights as the words say, each of a port of its own where a name may be its only one."""
    counts = [_count(names, TYPE_RECEIVE), _count(names, TYPE_SEND), *(each.count(0) for each in own)]
    homes = {each.name for each in names if each.type & TYPE_RECEIVE}
    good = counts == [len(array) for array in parts[1:]] and all(not name or name in homes for each in own for name in each)
    receives = iter(parts.receives)
    sends = iter(parts.sends)
    known: set[int] = set()
    for each in names if good else ():
        good = good and each.type in KINDS and each.qlimit <= QLIMIT_MAX and not (each.type == TYPE_PORT_SET and each.flags)
        good = good and (0 < each.urefs <= UREFS_MAX if each.type & COUNTED else each.urefs == (each.type == TYPE_SEND_ONCE))
        held = [next(array) for bit, array in ((TYPE_RECEIVE, receives), (TYPE_SEND, sends)) if each.type & bit]
        alive = {port.number for port in held if isinstance(port, Port) and port.active}
        good = good and (not each.type & TYPE_RECEIVE or (len(alive) == 1 and all(isinstance(port, Port) for port in held)))
        good = good and len(alive) <= 1 and known.isdisjoint(alive)
        known |= alive
    right_kind = all(isinstance(each, Port) or each is PORT_DEAD for array in (parts.sends, parts.onces) for each in array)
    if not good or not right_kind or not all(isinstance(each, Port) for each in parts.receives):
        raise KernError(KERN_INVALID_ARGUMENT)


def _put(ipc: Ipc, space: Space, entry: Entry, each: Name, bit: int, held: Right, sets: dict[PortName, PortSet]) -> None:
    """A right comes under its name, which is new."""
    if not isinstance(held, Port) or not held.active:
        entry.type = TYPE_DEAD_NAME
        return
    entry.object = held
    if bit == TYPE_SEND and not entry.type & TYPE_RECEIVE:
        space.reverse[held.number] = entry
    if bit != TYPE_RECEIVE:
        return
    held.receiver, held.receiver_name, held.destination = space, entry.name, None
    held.mscount, held.seqno = each.mscount, each.seqno
    held.payload = each.payload if each.flags & HAS_PAYLOAD else None
    if held.qlimit != each.qlimit:
        ports.set_qlimit(ipc, held, each.qlimit)
    if each.pset:
        pset.add(ipc, sets[each.pset], held)


def _reorder(target: PortSet, names: list[int]) -> None:
    """A set's messages in the order in which they came; those that have come since are behind them."""
    rest = list(target.messages)
    ordered = []
    for name in names:
        found = next((kmsg for kmsg in rest if isinstance(kmsg.remote, Port) and kmsg.remote.receiver_name == name), None)
        if found is not None:
            rest.remove(found)
            ordered.append(found)
    target.messages = deque((*ordered, *rest))


def _ask(ipc: Ipc, entry: Entry, each: Name, dead_name: Right, no_senders: Right, port_destroyed: Right) -> None:
    """Who wanted to be told wants it again, or is told at once of what has happened meanwhile."""
    if isinstance(dead_name, Port):
        if entry.type == TYPE_DEAD_NAME:
            entry.urefs += 1
            notify.dead_name(ipc, dead_name, entry.name)
        else:
            entry.request = ports.dnrequest(ipc, entry.port(), entry.name, dead_name, each.request)
    if not each.type & TYPE_RECEIVE:
        return
    port = entry.port()
    port.pdrequest = port_destroyed if isinstance(port_destroyed, Port) else None
    port.nsrequest = no_senders if isinstance(no_senders, Port) else None
    if each.flags & HAD_SENDERS and not port.srights:
        ports.senders_gone(ipc, port)
