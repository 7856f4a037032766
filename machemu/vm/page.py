"""Resident pages (Mach's vm_page.h), and the queues out of which pages are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from machemu.abi.errors import InvariantError, MustWait
from machemu.abi.types import Frame
from machemu.abi.vm import VM_PROT_NONE
from machemu.sim.state import U3, Natural, Range, state
from machemu.vm.event import WaitEvent

if TYPE_CHECKING:
    from machemu.vm.object import VmObject

NO_QUEUE: Final = -1
ACTIVE: Final = 0
INACTIVE: Final = 2
EXTERNAL: Final = 1
"""Added to ACTIVE or INACTIVE for pages of an external memory manager's objects."""


class PageShortage(MustWait):
    """No frame is free."""


@state
class VmPage:
    """A frame that holds one page of an object."""

    __slots__ = (
        "object", "offset", "frame", "wire_count", "queue", "dirty", "precious", "lock", "unlock_request", "laundry", "event",
    )  # fmt: skip
    # `object.pages[offset]` is this page:
    object: VmObject
    offset: int
    frame: Frame  # owned by this page alone
    event: WaitEvent | None  # for those who wait for its lock or its wiring to change, None where nobody ever did

    # Replacement's:
    wire_count: Natural  # how many wired map entries hold it in memory
    queue: Annotated[int, Range(-1, 3)]  # which of PageQueues it is in, NO_QUEUE for none
    laundry: bool  # on its way to the default memory manager

    # Its memory manager's:
    dirty: bool  # it differs from what the manager has; so it does where the page tables say modified
    precious: bool  # the manager has no copy of its own
    lock: U3  # accesses (VM_PROT_*) that the manager forbids
    unlock_request: U3  # those that it was asked to allow

    def __init__(self, obj: VmObject, offset: int, frame: Frame) -> None:
        self.object = obj
        self.offset = offset
        self.frame = frame
        self.wire_count = 0
        self.queue = NO_QUEUE
        self.dirty = False
        self.precious = False
        self.lock = VM_PROT_NONE
        self.unlock_request = VM_PROT_NONE
        self.laundry = False
        self.event = None

    def wait(self) -> MustWait:
        """What to raise in order to wait for this page."""
        if self.event is None:
            self.event = WaitEvent()
        return MustWait(self.event)


@state
class PageQueues:
    """Pages that may be replaced, each queue in the order in which they came: by frame, in dicts for their order.

    A page that is wired, or on its way out, is in none.
    """

    __slots__ = ("queues",)
    queues: list[dict[Frame, VmPage]]

    def __init__(self) -> None:
        self.queues = [{}, {}, {}, {}]

    def remove(self, page: VmPage) -> None:
        if page.queue != NO_QUEUE:
            del self.queues[page.queue][page.frame]
            page.queue = NO_QUEUE

    def activate(self, page: VmPage) -> None:
        """vm_page_activate: the page was just used."""
        self._put(page, ACTIVE)

    def deactivate(self, page: VmPage) -> None:
        """vm_page_deactivate: the page may go soon."""
        self._put(page, INACTIVE)

    def _put(self, page: VmPage, kind: int) -> None:
        self.remove(page)
        if not page.wire_count and not page.laundry:
            page.queue = kind + (EXTERNAL if page.object.external else 0)
            self.queues[page.queue][page.frame] = page

    def first(self, *kinds: int) -> VmPage | None:
        """The page that is longest in the first of these queues that is not empty."""
        for kind in kinds:
            for page in self.queues[kind].values():
                return page
        return None

    def count(self, kind: int) -> int:
        """How many pages are ACTIVE or INACTIVE."""
        return len(self.queues[kind]) + len(self.queues[kind + EXTERNAL])

    def check_invariants(self) -> None:
        for kind, queue in enumerate(self.queues):
            for frame, page in queue.items():
                if page.queue != kind or page.frame != frame or page.wire_count or page.laundry:
                    raise InvariantError(f"the page in frame {frame} is in a queue where it may not be")
