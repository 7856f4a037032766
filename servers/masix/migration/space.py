"""The space manager of a node: moves the memory of tasks that are held, and manages what comes until it is whole.

Memory comes as pages of memory objects, of which the new maps are made: so what tasks share they share again, and a page that was
never touched is none here either. At the end the objects become anonymous memory of this node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_RESOURCE_SHORTAGE, KERN_SUCCESS
from machemu.abi.map_words import EntryWords, MapWords
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE, PORT_DEAD
from machemu.abi.migrate import NONE, OBJECT_BEHIND, OBJECT_MANAGED
from machemu.mig.interfaces.mach import MEMORY_OBJECT_DATA_SUPPLY, MEMORY_OBJECT_READY, VM_STATISTICS
from machemu.mig.interfaces.mach_migrate import (
    MEMORY_OBJECT_ADOPT,
    MEMORY_OBJECT_INTERNALIZE,
    MEMORY_OBJECT_SURRENDER,
    VM_MAP_INFO,
    VM_MAP_SET,
    VM_REGION_GET_PAGES,
)
from machemu.mig.interfaces.memory_object import MEMORY_OBJECT_INIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U32, PortName, Receive, Right, SendRight, Signed, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, NO_CALLER, NULL_NAME, UNNAMED, Caller, Message, Region, living, name_of
from masix.interfaces import space_manager as space
from masix.migration import node_tasks
from masix.migration.node_server import NodeServer
from masix.migration.state import numbers_of, words_of

NAME: Final = b"space"
CHUNK: Final = 1 << 20
"""Bytes of a region that are read at once."""
COPY_TEMPORARY: Final = 3
"""The copy strategy of anonymous memory."""


@state
class Piece(NamedTuple):
    """A part of a region that is still to be read."""

    task: U32  # whose, by its place
    address: U32
    size: U32
    id: U32  # of its object
    shift: Signed  # from an address to an offset in that
    managed: bool  # a memory manager may have pages that are seen through it


@state
class Managed(NamedTuple):
    """A memory object that only tasks that move show, as its kernel has given it up: nothing is left of it there."""

    task: U32  # one that shows it, by its place
    address: U32  # and where
    id: U32
    words: bytes
    pages: bytes
    memory_object: Right
    control: Receive
    name: Receive


@state
class Going:
    """Memory that goes."""

    __slots__ = ("caller", "controls", "covered", "ids", "last", "made", "managed", "mapped", "pages", "pieces", "there")
    caller: Caller
    controls: tuple[SendRight, ...]
    there: SendRight
    made: tuple[SendRight, ...]
    mapped: U32  # how many maps are there already
    ids: dict[U32, U32]  # of objects that several maps may show, by their numbers
    last: U32  # the last id
    covered: list[tuple[U32, U32, U32]]  # what of such objects is among the pieces: an id, and from where to where
    managed: list[Managed]  # those that have still to go
    pieces: list[Piece]  # still to be read, the next one last
    pages: U32  # how many have gone

    def __init__(self, caller: Caller, controls: tuple[int, ...], there: int, made: tuple[int, ...]) -> None:
        self.caller, self.controls, self.there, self.made = caller, controls, there, made
        self.mapped = self.last = self.pages = 0
        self.ids = {}
        self.covered = []
        self.managed = []
        self.pieces = []

    def id_of(self, number: int) -> int:
        """The id of an object; number: the kernel's, 0 for one that is no other map's."""
        if number and number in self.ids:
            return self.ids[number]
        self.last += 1
        if number:
            self.ids[number] = self.last
        return self.last

    def uncovered(self, id_: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What of an object from `start` to `end` is not among the pieces."""
        for _, first, last in sorted(each for each in self.covered if each[0] == id_):
            if start < min(first, end):
                yield start, min(first, end)
            start = max(start, last)
        if start < end:
            yield start, end


@state
class Coming:
    """Memory that comes for tasks that move together."""

    __slots__ = ("controls", "dead", "mapping", "objects")
    objects: dict[U32, Receive]  # the memory objects' ports, by their ids
    controls: dict[U32, Right]  # how their kernel's side is commanded, once that has said it
    dead: dict[U32, None]  # those whose own managers have died: so will this one
    mapping: Caller | None  # who waits until it has, once the map is there

    def __init__(self) -> None:
        self.objects, self.controls, self.dead = {}, {}, {}
        self.mapping = None


@state
class SpaceManager(NodeServer):
    """The space manager of a node."""

    __slots__ = ("coming", "going", "last", "objects")
    name = NAME
    reads_memory = False
    going: dict[U32, Going]  # by a number of its own
    last: U32
    coming: dict[Right, Coming]  # by the first of the tasks that come together
    objects: dict[Receive, tuple[U32, U32]]  # memory objects: the first task's name, and the id

    def __init__(self, node: int, host: bytes) -> None:
        super().__init__(node, host)
        self.going = {}
        self.last = 0
        self.coming = {}
        self.objects = {}

    # Memory that goes

    @serves(space.SPACE_COPY)
    def _copy(self, mach: Mach, request: Message, controls: Sequence[Any], there: Any, made: Sequence[Any]) -> None:
        if len(controls) != len(made) or not controls:
            raise KernError(KERN_INVALID_ARGUMENT)
        node_tasks.check(mach, controls, there, *made)
        self.last = self.last % GOING_MAX + 1
        rights = (tuple(map(name_of, each)) for each in (controls, made))
        self.going[self.last] = Going(request.caller, next(rights), name_of(there), next(rights))
        self._map(mach, self.last)

    def _map(self, mach: Mach, number: int) -> None:
        """Sends the next map, or the first pages where all are there."""
        going = self.going[number]
        if going.mapped == len(going.controls):
            self._read(mach, number)
            return
        try:
            words, managers = mach.call(VM_MAP_INFO, going.controls[going.mapped])
        except KernError as error:
            self._end(mach, number, error.code)
            return
        told = MapWords.unpacked(numbers_of(mach.order, words))
        ids = [going.id_of(each.number) for each in told.objects]
        rights = list(map(name_of, managers))
        for entry in told.entries:
            if entry.object == NONE:
                continue
            if rights[entry.object] not in UNNAMED and self._surrender(mach, going, ids[entry.object], entry.start):
                mach.deallocate(rights[entry.object])
                rights[entry.object] = 0
            if not told.objects[entry.object].flags & OBJECT_MANAGED or rights[entry.object] == DEAD_NAME:
                self._plan(going, ids[entry.object], entry, bool(told.objects[entry.object].flags & OBJECT_BEHIND))
        made = _copied(going.made[going.mapped])
        first = _copied(going.made[0])
        self.ask(mach, self._mapped, going.there, (first, made, words, words_of(mach.order, ids), rights), number)

    @staticmethod
    def _surrender(mach: Mach, going: Going, id_: int, address: int) -> bool:
        """Whether the object of a memory manager's is shown by these tasks alone; then it is taken from the kernel."""
        try:
            words, pages, *rights = mach.call(MEMORY_OBJECT_SURRENDER, going.controls[going.mapped], address)
        except KernError:
            return False
        data = (bytes(each.copy or b"") for each in (words, pages))
        going.managed.append(Managed(going.mapped, address, id_, next(data), next(data), *map(living, rights)))
        return True

    @staticmethod
    def _plan(going: Going, id_: int, entry: EntryWords, managed: bool) -> None:
        """What of an object an entry shows, and no other one has shown, is to be read."""
        for start, end in going.uncovered(id_, entry.offset, entry.offset + entry.size):
            going.covered.append((id_, start, end))
            shift = entry.offset - entry.start
            for at in range(start, end, CHUNK):
                size = min(CHUNK, end - at)
                going.pieces.append(Piece(going.mapped, at - shift, size, id_, shift, managed))

    @answered(space.SPACE_MAP)
    def _mapped(self, mach: Mach, answer: Answer, number: U32) -> None:
        self.going[number].mapped += 1
        if answer.code:
            self._end(mach, number, answer.code)
        else:
            self._map(mach, number)

    def _read(self, mach: Mach, number: int) -> None:
        """Reads the next piece, or says that all has been copied."""
        going = self.going[number]
        if going.pieces:
            piece = going.pieces[-1]
            self.ask(mach, self._has_read, going.controls[piece.task], (piece.address, piece.size, piece.managed), number)
        else:
            caller, going.caller = going.caller, NO_CALLER
            mach.answer(caller, space.SPACE_COPY, 0, (going.pages,))

    @answered(VM_REGION_GET_PAGES)
    def _has_read(self, mach: Mach, answer: Answer, number: U32) -> None:
        if answer.code:
            self._end(mach, number, answer.code)
            return
        going = self.going[number]
        addresses, data = answer.results
        found = _read_words(mach, addresses)
        if found is None:
            mach.free(_regions(addresses, data))
            self._read(mach, number)  # once more: what told which pages there are has been paged out meanwhile
            return
        mach.free(_regions(addresses))
        piece = going.pieces.pop()
        if not found:
            self._read(mach, number)
            return
        going.pages += len(found)
        offsets = words_of(mach.order, [address + piece.shift for address in found])
        self.ask(mach, self._supplied, going.there, (_copied(going.made[0]), piece.id, offsets, data), number)

    @answered(space.SPACE_SUPPLY)
    def _supplied(self, mach: Mach, answer: Answer, number: U32) -> None:
        if answer.code:
            self._end(mach, number, answer.code)
        else:
            self._read(mach, number)

    def _end(self, mach: Mach, number: int, code: int) -> None:
        """The copy has failed."""
        caller = self.going[number].caller
        self._keep(mach, number)
        mach.answer(caller, space.SPACE_COPY, code)

    def _keep(self, mach: Mach, number: int) -> None:
        """What has not gone of what was taken from the kernel is its again."""
        going = self.going.pop(number)
        for each in going.managed:
            try:
                _adopt(mach, going.controls[each.task], each)
            except KernError:  # its task has ended, and so does it
                mach.give_up(((each.memory_object, MOVE_SEND), (each.control, MOVE_RECEIVE), (each.name, MOVE_RECEIVE)))
        mach.give_up((right, MOVE_SEND) for right in (*going.controls, going.there, *going.made))

    def _number_of(self, control: Any) -> int:
        """The number of what has been copied of the task that is reached so, and of its family."""
        for number, going in self.going.items():
            if living(control) == going.controls[0]:
                return number
        raise KernError(KERN_INVALID_ARGUMENT)

    @serves(space.SPACE_KEEP)
    def _kept(self, mach: Mach, request: Message, control: Any) -> tuple[Any, ...]:
        self._keep(mach, self._number_of(control))
        mach.deallocate(name_of(control))
        return ()

    @serves(space.SPACE_GIVE)
    def _give(self, mach: Mach, request: Message, control: Any, there: Any, made: Sequence[Any]) -> None:
        number = self._number_of(control)
        going = self.going[number]
        if len(made) != len(going.made) or None in (there, *made):
            raise KernError(KERN_INVALID_ARGUMENT)
        mach.give_up((right, MOVE_SEND) for right in (control, going.there, *going.made))
        going.there, going.made, going.caller = name_of(there), tuple(map(name_of, made)), request.caller
        self._give_next(mach, number)

    def _give_next(self, mach: Mach, number: int) -> None:
        """Sends the next managed object, or says that all has gone."""
        going = self.going[number]
        if going.managed:
            each = going.managed.pop()
            named = (_copied(going.made[0]), _copied(going.made[each.task]), each.address, each.id)
            data = (OutOfLine(part, len(part)) for part in (each.words, each.pages))
            self.ask(mach, self._adopted, going.there, (*named, *data, each.memory_object, each.control, each.name), number)
        else:
            self.ask(mach, self._given, going.there, (_copied(going.made[0]),), number)

    @answered(space.SPACE_ADOPT)
    def _adopted(self, mach: Mach, answer: Answer, number: U32) -> None:
        """Of an object that has not come there is nothing any more: so there is nothing to go on with."""
        if answer.code:
            caller = self.going[number].caller
            self._keep(mach, number)
            mach.answer(caller, space.SPACE_GIVE, answer.code)
        else:
            self._give_next(mach, number)

    @answered(space.SPACE_END)
    def _given(self, mach: Mach, answer: Answer, number: U32) -> None:
        """Where the other node has not heard of it, that is to be said again."""
        caller = self.going[number].caller
        if not answer.code:
            self._keep(mach, number)
        mach.answer(caller, space.SPACE_GIVE, answer.code)

    # Memory that comes

    @serves(space.SPACE_MAP)
    def _set_map(
        self, mach: Mach, request: Message, first: Any, made: Any, words: OutOfLine, ids: OutOfLine, managers: Sequence[Any]
    ) -> None:
        node_tasks.check(mach, (first, made))
        numbers = _read_words(mach, ids)
        if numbers is None or len(numbers) != len(managers):
            raise KernError(KERN_RESOURCE_SHORTAGE if numbers is None else KERN_INVALID_ARGUMENT)
        mach.free(_regions(ids))
        if first not in self.coming:
            self.coming[mach.copy_send(first)] = Coming()
            mach.notify(first, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        coming = self.coming[first]
        coming.dead |= {id_: None for own, id_ in zip(managers, numbers, strict=True) if own is PORT_DEAD}
        rights = [
            living(own) or self._object(mach, coming, name_of(first), id_) for own, id_ in zip(managers, numbers, strict=True)
        ]
        values = (made, words, rights)
        self.ask(mach, self._has_map, mach.given("host-port"), values, request.caller, first)

    def _object(self, mach: Mach, coming: Coming, first: int, id_: int) -> int:
        """A send right to a memory object."""
        if id_ not in coming.objects:
            port = self.new_port(mach)
            coming.objects[id_] = port
            self.objects[port] = first, id_
        return mach.make_send(coming.objects[id_])

    @answered(VM_MAP_SET)
    def _has_map(self, mach: Mach, answer: Answer, caller: Caller, first: SendRight) -> None:
        coming = self.coming.get(first)
        if coming is None or answer.code:  # none where the task has ended meanwhile
            if coming is not None:
                self._give_up(mach, first)
            mach.answer(caller, space.SPACE_MAP, answer.code or KERN_INVALID_ARGUMENT)
        else:
            coming.mapping = caller
            self._answer_map(mach, coming)
        mach.deallocate(first)

    def _answer_map(self, mach: Mach, coming: Coming) -> None:
        """Once the kernel has said of each object how it is commanded."""
        if coming.mapping is not None and len(coming.controls) == len(coming.objects):
            caller, coming.mapping = coming.mapping, None
            mach.answer(caller, space.SPACE_MAP, 0)

    @serves(MEMORY_OBJECT_INIT, at="objects")
    def _begins(self, mach: Mach, request: Message, control: Any, name: Any, page_size: int) -> None:
        first, id_ = self.objects[request.header.local]
        coming = self.coming[first]
        coming.controls[id_] = name_of(control)
        mach.deallocate(name_of(name))
        mach.request(MEMORY_OBJECT_READY, name_of(control), (False, COPY_TEMPORARY))
        self._answer_map(mach, coming)

    @serves(space.SPACE_SUPPLY)
    def _supply(self, mach: Mach, request: Message, first: Any, id_: int, offsets: OutOfLine, data: OutOfLine) -> tuple[Any, ...]:
        coming, numbers = self._coming(first), _read_words(mach, offsets)
        region = data.copy
        (page_size, *_) = mach.call(VM_STATISTICS, mach.task_self())[0]
        if numbers is None or id_ not in coming.controls or not isinstance(region, Region):
            raise KernError(KERN_INVALID_ARGUMENT)
        if region.size != page_size * len(numbers):
            raise KernError(KERN_INVALID_ARGUMENT)
        mach.free(_regions(offsets))
        at = region.address
        for offset, size in _runs(numbers, page_size):
            piece = OutOfLine(Region(at, size), size)
            values = (offset, piece, 0, False, PolyPort(None, MOVE_SEND_ONCE))
            mach.request(MEMORY_OBJECT_DATA_SUPPLY, coming.controls[id_], values)
            at += size
        mach.deallocate(name_of(first))
        return ()

    @serves(space.SPACE_ADOPT)
    def _take_over(
        self, mach: Mach, request: Message, first: Any, made: Any, address: int, id_: int, words: OutOfLine, pages: OutOfLine,
        *rights: Any,
    ) -> None:  # fmt: skip
        """The object is another's from now on. Whatever becomes of it, the rights are used up."""
        coming = self._coming(first)
        told, data = (_read_memory(mach, each) for each in (words, pages))
        code = KERN_RESOURCE_SHORTAGE
        if told is not None and data is not None:
            try:
                _adopt(mach, name_of(made), Managed(0, address, id_, told, data, *map(living, rights)))
                code = self._forget(mach, coming, id_)
            except KernError as error:
                code = error.code
        mach.free(_regions(words, pages))
        mach.give_up(((name_of(first), MOVE_SEND), (name_of(made), MOVE_SEND)))
        mach.reply(request, space.SPACE_ADOPT, code)

    def _forget(self, mach: Mach, coming: Coming, id_: int) -> int:
        """Gives up a memory object that is another's now. KERN_SUCCESS."""
        mach.deallocate(coming.controls.pop(id_))
        port = coming.objects.pop(id_)
        del self.objects[port]
        mach.destroy_receive(port)
        return KERN_SUCCESS

    def _coming(self, first: Any) -> Coming:
        if living(first) not in self.coming:
            raise KernError(KERN_INVALID_ARGUMENT)
        return self.coming[first]

    @serves(space.SPACE_END)
    def _has_come(self, mach: Mach, request: Message, first: Any) -> tuple[Any, ...]:
        """The kernel forgets the memory objects, and keeps their pages; if that has not been said already."""
        if living(first) and first not in self.coming:
            mach.deallocate(first)
            return ()
        coming = self._coming(first)
        for id_, control in coming.controls.items():
            if id_ not in coming.dead:
                mach.call(MEMORY_OBJECT_INTERNALIZE, control)
        self._give_up(mach, name_of(first))
        mach.deallocate(name_of(first))
        return ()

    def died(self, mach: Mach, name: PortName) -> None:
        if name in self.coming:
            self._give_up(mach, name, False)

    def _give_up(self, mach: Mach, first: int, is_alive: bool = True) -> None:
        """Gives up the memory objects of tasks that come; what shows them is anonymous, or fails."""
        coming = self.coming.pop(first)
        if is_alive:
            mach.notify(first, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
        mach.deallocate(first)
        mach.give_up((control, MOVE_SEND) for control in coming.controls.values())
        for port in coming.objects.values():
            del self.objects[port]
            mach.destroy_receive(port)


GOING_MAX: Final = 1 << 31


def _copied(right: int) -> PolyPort:
    return PolyPort(right, COPY_SEND)


def _regions(*held: OutOfLine) -> list[Region]:
    return [each.copy for each in held if isinstance(each.copy, Region)]


def _adopt(mach: Mach, task: int, what: Managed) -> None:
    """An object that a task shows gets its manager again, here or there."""
    data = (OutOfLine(part, len(part)) for part in (what.words, what.pages))
    rights = what.memory_object, what.control, what.name
    mach.call(MEMORY_OBJECT_ADOPT, mach.given("host-port"), _copied(task), what.address, *data, *rights)


def _read_memory(mach: Mach, memory: OutOfLine) -> bytes | None:
    """The bytes of memory that has come; None where they cannot be read without waiting."""
    if not isinstance(memory.copy, Region):
        return b""
    return mach.read(*memory.copy) if mach.ready(*memory.copy, False) else None


def _read_words(mach: Mach, words: OutOfLine) -> tuple[int, ...] | None:
    """The words of an array, as `_read_memory`."""
    data = _read_memory(mach, words)
    return None if data is None else numbers_of(mach.order, OutOfLine(data, len(data)))


def _runs(offsets: Sequence[int], page_size: int) -> Iterator[tuple[int, int]]:
    """(offset, bytes) of pages that follow each other."""
    start = end = offsets[0] if offsets else 0
    for offset in offsets:
        if offset != end:
            yield start, end - start
            start = offset
        end = offset + page_size
    if end != start:
        yield start, end - start
