"""The `irq` device: interrupts for drivers outside the kernel (GNU Mach's device/intr.c)."""

from __future__ import annotations

from collections.abc import Iterable

from machemu.abi.device import D_ALREADY_OPEN, D_INVALID_OPERATION, D_NO_MEMORY
from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import PORT_SEND
from machemu.device.driver import Minor
from machemu.device.null import NullDriver
from machemu.ipc.port import Port, Right
from machemu.sim.state import state

IRQS = 16


@state
class IrqDriver(NullDriver):
    """ports: send rights of those who registered, by whom each interrupt line is shared. A port registers once, and for ever.

    This machine's own devices interrupt nobody, so that no interrupt is ever left to acknowledge.
    """

    __slots__ = ("ports",)
    ports: list[tuple[int, Port]]

    def __init__(self) -> None:
        super().__init__("irq")
        self.ports = []

    def intr_register(self, minor: Minor, irq: int, port: Port) -> None:
        self.ports = [entry for entry in self.ports if entry[1].active]
        if any(entry[1] is port for entry in self.ports):
            raise KernError(D_NO_MEMORY)
        if not 0 <= irq < IRQS:
            raise KernError(D_ALREADY_OPEN)
        self.ports.append((irq, port))

    def intr_ack(self, minor: Minor, port: object) -> None:
        if not any(entry[1] is port for entry in self.ports):
            raise KernError(KERN_INVALID_ARGUMENT)
        raise KernError(D_INVALID_OPERATION)

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(port, PORT_SEND) for _, port in self.ports]
