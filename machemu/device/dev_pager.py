"""Devices as memory objects (Mach's dev_pager.c): the ports that device_map gives, and what stands behind each.

Whoever maps such a port finds a DevicePager as its kernel object, and gets pages from its `provider`.
"""

from __future__ import annotations

from machemu.device.driver import Minor, PageProvider
from machemu.ipc.port import Port
from machemu.sim.state import Natural, Signed, state
from machemu.vm.pager import Pager


@state
class DevicePager:
    """One offset of a mappable device."""

    __slots__ = ("minor", "offset", "protection", "size", "provider", "port", "pager", "whole")
    minor: Minor
    offset: Natural
    provider: PageProvider

    # What the first caller asked for:
    protection: Signed
    size: Natural  # in whole pages

    # The memory object:
    port: Port  # its receive right is the kernel's
    pager: Pager | None  # what maps it, None while nobody does
    # The memory object that it is a window of, where its device shares its memory: then nothing maps this one itself.
    whole: DevicePager | None

    def __init__(
        self,
        minor: Minor,
        offset: int,
        protection: int,
        size: int,
        provider: PageProvider,
        port: Port,
        whole: DevicePager | None = None,
    ) -> None:
        self.minor = minor
        self.offset = offset
        self.protection = protection
        self.size = size
        self.provider = provider
        self.port = port
        self.pager = None
        self.whole = whole

    def page(self, offset: int, protection: int) -> bytes | None:
        """The page at `offset` in the memory object, for an access that needs `protection`; None is a memory error."""
        return self.provider.page(self.offset + offset, protection)
