"""The `irq` device: interrupts for drivers outside the kernel (GNU Mach's device/intr.c)."""

from __future__ import annotations

from collections.abc import Iterable

from machemu.abi.device import D_ALREADY_OPEN, D_INVALID_OPERATION, D_NO_MEMORY
from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import PORT_SEND
from machemu.device.driver import Minor
from machemu.device.io import DeviceIo
from machemu.device.null import NullDriver
from machemu.ipc.port import Port, Right, copy_send, kernel_address
from machemu.sim.state import state

FREE = (2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14)
"""The interrupt lines that the real kernel's own drivers have not taken on a PC."""


@state
class IrqDriver(NullDriver):
    """ports: send rights of those who registered, by whom each interrupt line is shared. A port registers once, and for ever,
    also where the line is refused.

    This machine's own devices interrupt nobody, so that no interrupt is ever left to acknowledge.
    """

    __slots__ = ("io", "ports")
    io: DeviceIo
    ports: list[tuple[int, Port]]

    def __init__(self, io: DeviceIo) -> None:
        super().__init__("irq")
        self.io = io
        self.ports = []

    def intr_register(self, minor: Minor, irq: int, port: Port) -> None:
        self.ports = [entry for entry in self.ports if entry[1].active]
        address = kernel_address(port.number)
        if any(entry[1] is port for entry in self.ports):
            self._say(f"the interrupt entry for irq[{irq}] and port {address} has already been inserted")
            raise KernError(D_NO_MEMORY)
        self._say(f"irq handler [{irq}]: new delivery port {address} entry {address}")
        self.ports.append((irq, port))
        if irq not in FREE:
            # The request keeps its own right.
            copy_send(self.io.ipc, port)
            raise KernError(D_ALREADY_OPEN)

    def intr_ack(self, minor: Minor, port: object) -> None:
        if not any(entry[1] is port for entry in self.ports):
            self._say("didn't find user intr for interrupt !?")
            raise KernError(KERN_INVALID_ARGUMENT)
        raise KernError(D_INVALID_OPERATION)

    def _say(self, line: str) -> None:
        self.io.print(line.encode() + b"\n")

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(port, PORT_SEND) for _, port in self.ports]
