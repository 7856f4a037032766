"""A memory manager's side of an object (the pager fields of Mach's vm_object): what it was asked for and what it has answered."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Any, Final

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_MEMORY_ERROR
from machemu.sim.state import Natural, Range, state
from machemu.vm.event import WaitEvent

if TYPE_CHECKING:
    from machemu.vm.object import VmObject

ABSENT_MAX: Final = 50
"""vm_object_absent_max: requests of one object that may be under way."""
SMALL_MAP, LARGE_MAP = 128, 8192
"""Pages that an existence map tells of."""
COPY_NONE, COPY_CALL, COPY_DELAY, COPY_TEMPORARY = range(4)


@state
class Answer(Enum):
    """What became of a request for a page that is not there."""

    WAITED_FOR = auto()
    UNAVAILABLE = auto()
    """The manager has no data: the next object in the shadow chain may have, or the page is zero."""
    ERROR = auto()


@state
class Request:
    """A page that the manager was asked for (Mach's absent page)."""

    __slots__ = ("answer", "event")
    answer: Answer
    event: WaitEvent

    def __init__(self) -> None:
        self.answer = Answer.WAITED_FOR
        self.event = WaitEvent()


@state
class Pager:
    """What ties an object to its memory manager."""

    __slots__ = (
        "number", "object", "paging_offset", "memory_object", "control", "ready", "internal", "may_cache",
        "copy_strategy", "temporary", "requests", "event", "known_size", "paged_out",
    )  # fmt: skip
    number: Natural  # the node's own count
    object: VmObject  # the object that it serves
    paging_offset: Natural  # the offset in the memory object of that object's offset 0

    # Its ports:
    # A send right to the manager's port, None once the object was destroyed or the manager died; every fault that needs the
    # manager then is KERN_MEMORY_ERROR.
    memory_object: Any
    control: Any  # the kernel's port for the manager's answers, None likewise

    # What its manager said of it:
    ready: bool  # memory_object_ready came
    internal: bool  # anonymous memory, paged out to the default memory manager
    may_cache: bool  # the object outlives its last mapping
    copy_strategy: Annotated[int, Range(0, 3)]  # how it is copied (COPY_NONE, CALL, DELAY)
    temporary: bool  # the manager does not want changes back

    # What is under way:
    requests: dict[int, Request]  # by offset in the object
    event: WaitEvent  # for those who wait until it is ready, or has fewer requests

    # What its manager has (Mach's existence map):
    # In the first so many bytes of the memory object the manager has just the pages in `paged_out`, and is not asked for others.
    # So it is with an internal one, and with an external one whose manager has said that nothing exists. 0: nothing is known.
    known_size: Natural
    paged_out: dict[int, None]  # the offsets in the memory object of pages that were returned

    def __init__(self, number: int, obj: VmObject, internal: bool) -> None:
        self.number = number
        self.object = obj
        self.paging_offset = 0
        self.memory_object = None
        self.control = None
        self.ready = internal
        self.internal = internal
        self.may_cache = False
        self.copy_strategy = COPY_NONE
        self.temporary = internal
        self.requests = {}
        self.event = WaitEvent()
        self.known_size = 0
        if internal:
            step = obj.vm.page_size
            self.known_size = step * (SMALL_MAP if obj.size <= SMALL_MAP * step else LARGE_MAP)
        self.paged_out = {}

    @property
    def waiting(self) -> bool:
        """Whether a request is not answered yet."""
        return any(request.answer is Answer.WAITED_FOR for request in self.requests.values())

    @property
    def strategy(self) -> int:
        """How the object is copied now: COPY_NONE, COPY_CALL or COPY_DELAY."""
        if self.temporary:
            return COPY_DELAY
        if self.memory_object is None and self.copy_strategy == COPY_CALL:
            return COPY_NONE
        return self.copy_strategy

    def may_have(self, offset: int) -> bool:
        """Whether the manager could have the page at `offset` of the object."""
        place = offset + self.paging_offset
        return place >= self.known_size or place in self.paged_out

    def may_have_in(self, start: int, end: int) -> list[int]:
        """The offsets in [start, end), from `start` on page by page, of the pages that the manager could have."""
        step = self.object.vm.page_size
        known = [place - self.paging_offset for place in self.paged_out if place < self.known_size]
        first = start + max(0, -(-(self.known_size - self.paging_offset - start) // step)) * step
        return [at for at in known if start <= at < end] + [*range(first, end, step)]

    def check_ready(self) -> None:
        """Raises MustWait until memory_object_ready has come."""
        if not self.ready:
            raise MustWait(self.event)

    def has(self, offset: int) -> bool:
        """Whether the manager got the page at `offset` of the object back."""
        return offset + self.paging_offset in self.paged_out

    def await_answer(self, offset: int) -> None:
        """Raises MustWait where the manager is not ready, or has been asked for the page at `offset` and has not answered."""
        self.check_ready()
        request = self.requests.get(offset)
        if request is not None and request.answer is Answer.WAITED_FOR:
            raise MustWait(request.event)

    def ask(self, offset: int, access: int) -> bool:
        """Sees to a page that is not resident: False where the manager has none, and True where it has just said so or given it.

        Raises MustWait until it answers, having asked it once; KERN_MEMORY_ERROR where it says so or cannot be asked.
        """
        request = self.requests.get(offset)
        if request is None:
            if not self.may_have(offset):
                return False
            if len(self.requests) > ABSENT_MAX:
                raise MustWait(self.event)
            self.check_ready()
            if self.memory_object is None:
                raise KernError(KERN_MEMORY_ERROR)
            request = self.requests[offset] = Request()
            self.object.last_alloc = offset
            vm = self.object.vm
            vm.pageins += 1
            vm.managers.data_request(self, offset + self.paging_offset, vm.page_size, access)
            if offset not in self.requests:
                return True
        if request.answer is Answer.ERROR:
            del self.requests[offset]
            raise KernError(KERN_MEMORY_ERROR)
        if request.answer is Answer.WAITED_FOR:
            raise MustWait(request.event)
        return True

    def answer(self, offset: int, answer: Answer | None) -> bool:
        """Notes what the manager says of a page; None: the data is there. False where the page was not waited for."""
        request = self.requests.get(offset)
        if request is None or request.answer is not Answer.WAITED_FOR:
            return False
        if answer is None:
            del self.requests[offset]
        else:
            request.answer = answer
        self._wake(request.event)
        self._wake(self.event)
        return True

    def abort(self) -> None:
        """vm_object_abort_activity: nobody will answer any more; who waits tries again."""
        self.ready = True
        for page in self.object.pages.values():
            page.unlock_request = 0
            if page.event is not None:
                self._wake(page.event)
        requests, self.requests = self.requests, {}
        for request in requests.values():
            self._wake(request.event)
        self._wake(self.event)

    def become_ready(self) -> None:
        """memory_object_ready."""
        self.ready = True
        self._wake(self.event)

    def _wake(self, event: WaitEvent) -> None:
        if event.threads:
            event.wake(self.object.vm.managers.wake)
