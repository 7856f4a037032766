"""Permissions to use I/O ports, which a port stands for (GNU Mach's i386/io_perm.c)."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_PROTECTION_FAILURE
from machemu.ipc import port
from machemu.ipc.port import Port
from machemu.ipc.subsystem import Ipc
from machemu.sim.state import U16, state

PCI_CONFIGURATION: Final = range(0xCF8, 0xD00)
"""The ports by which the PCI bus is configured: one holder at a time."""


@state
class IoPerm:
    """The ports `first` to `last`, both included. port: its kernel port, which itself is told when it has no more senders."""

    __slots__ = ("first", "last", "port")
    first: U16
    last: U16
    port: Port

    def __init__(self, first: int, last: int, kernel_port: Port) -> None:
        self.first = first
        self.last = last
        self.port = kernel_port

    @property
    def configures(self) -> bool:
        return self.first <= PCI_CONFIGURATION[-1] and self.last >= PCI_CONFIGURATION[0]


@state
class IoPerms:
    """configuration_taken: somebody was given the configuration ports and has not used the permission since."""

    __slots__ = ("configuration_taken",)
    configuration_taken: bool

    def __init__(self) -> None:
        self.configuration_taken = False

    def create(self, ipc: Ipc, first: int, last: int) -> Port:
        """i386_io_perm_create: a send right to a new permission's port."""
        if first > last:
            raise KernError(KERN_INVALID_ARGUMENT)
        kernel_port = ipc.make_kernel_port(None)
        perm = IoPerm(first, last, kernel_port)
        if perm.configures and self.configuration_taken:
            port.dealloc_kernel(ipc, kernel_port)
            raise KernError(KERN_PROTECTION_FAILURE)
        self.configuration_taken = self.configuration_taken or perm.configures
        kernel_port.kobject = perm
        right = port.make_send(ipc, kernel_port)
        kernel_port.nsrequest = port.make_sonce(ipc, kernel_port)
        return right

    def used(self, perm: IoPerm) -> None:
        """The real kernel takes the end of each use of a permission for the end of the permission."""
        if perm.configures:
            self.configuration_taken = False


def no_senders(ipc: Ipc, perm: IoPerm) -> None:
    """Nobody holds the permission any more; what it opened stays open."""
    port.dealloc_kernel(ipc, perm.port)
