"""Resident pages (Mach's vm_page.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.types import Frame
from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.vm.object import VmObject


class PageShortage(Exception):
    """No frame is free. What was to be done can be tried again as it was: nothing is half done."""


@state
class VmPage:
    """A frame that holds one page of an object.

    object, offset: which page; `object.pages[offset]` is this page. frame: owned by this page alone.
    wire_count: how many wired map entries hold it in memory.
    """

    __slots__ = ("object", "offset", "frame", "wire_count")

    def __init__(self, obj: VmObject, offset: int, frame: Frame) -> None:
        self.object = obj
        self.offset = offset
        self.frame = frame
        self.wire_count = 0
