"""The seam between the device interface and what is behind it: a driver (Mach's struct dev_ops)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol

from machemu.abi.device import D_INVALID_OPERATION
from machemu.abi.errors import InvariantError, KernError
from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.device.io import IoRequest
    from machemu.device.memory import DeviceMemory
    from machemu.ipc.port import Port, Right
    from machemu.machine.seams import Disk


Minor = tuple[int | str, ...]
"""What a driver tells its devices apart by. Equal ones are one device with one port."""


class PageProvider(Protocol):
    """What a device's memory object shows (Mach's d_mmap)."""

    def page(self, offset: int, protection: int) -> bytes | None:
        """One page's bytes as they are now, for an access that needs `protection`; None is a memory error. It may differ
        from one clock tick to the next: whoever maps it brings the frame up to date."""


@state
class Driver:
    """A driver and what it answers for what it does not do, D_INVALID_OPERATION. Drivers override what they have.

    read and write give their result, or None: then the request is the driver's, with its reply right, until the driver answers
    it by DeviceIo. Where they raise, the request stays the caller's.

    closable: whether the last device_close closes a device. closed_without_senders: whether it is closed when the last send right
    to its port is gone. checks_protection: whether device_map looks at the protection first. takes_traps: whether it can be
    written by device_write_request.
    """

    __slots__ = ()
    closable: ClassVar[bool] = True
    closed_without_senders: ClassVar[bool] = False
    checks_protection: ClassVar[bool] = True
    takes_traps: ClassVar[bool] = False

    def identify(self, name: str, mode: int) -> Minor | None:
        """The device that `name` opens in `mode`, or None where the driver has none of the name. The first part is its name.

        Raises KernError where it has one that cannot be opened so.
        """
        raise NotImplementedError

    def open(self, minor: Minor) -> int:
        """The first opening; how many nanoseconds it takes until the reply. Raises KernError."""
        return 0

    def close(self, minor: Minor) -> None:
        """The last closing. Work under way goes on."""

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        raise KernError(D_INVALID_OPERATION)

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        raise KernError(D_INVALID_OPERATION)

    def write_trap(self, minor: Minor, recnum: int, data: bytes) -> None:
        """device_write_request: nobody waits for an answer."""
        raise KernError(D_INVALID_OPERATION)

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        """The flavor's words; more than `room` of them are the stub's error."""
        raise KernError(D_INVALID_OPERATION)

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        raise KernError(D_INVALID_OPERATION)

    def map(self, minor: Minor) -> PageProvider:
        raise KernError(D_INVALID_OPERATION)

    def set_filter(self, minor: Minor, port: Port, priority: int, program: tuple[int, ...]) -> None:
        """Consumes a send right to `port` on success."""
        raise KernError(D_INVALID_OPERATION)

    def intr_register(self, minor: Minor, irq: int, port: Port) -> None:
        """Consumes a send right to `port` on success."""
        raise KernError(D_INVALID_OPERATION)

    def intr_ack(self, minor: Minor, port: object) -> None:
        raise KernError(D_INVALID_OPERATION)

    def event_due(self, kind: Enum, *args: object) -> None:
        """What it asked for by DeviceIo.after has come."""
        raise InvariantError(f"{type(self).__name__} waits for no {kind}")

    def awaits(self) -> Iterable[Enum]:
        """The kinds of the events that it waits for, one of each."""
        return ()

    def held(self) -> Iterable[tuple[Right, int]]:
        """The rights that it holds, with their dispositions."""
        return ()

    def memories(self) -> Iterable[DeviceMemory]:
        """The memory that it shares with tasks."""
        return ()

    def check_invariants(self) -> None:
        """InvariantError where its work under way is not as it must be."""

    def attach(self, disks: Mapping[str, Disk]) -> None:
        """Finds the host's side again after a load. disks: images of disks, by name. Raises UserError."""

    def take_over(self, old: Driver) -> None:
        """After a restore: the host's side of `old`, this driver before, is this one's."""

    def detach(self) -> None:
        """Gives the host's resources back."""


def unit_of(name: str, prefix: str) -> int | None:
    """The unit in a character device's name, 0 without one; None for another device (dev_name_lookup).

    What stands before the first digit is the device; what follows the digits is ignored.
    """
    digits = next((at for at, c in enumerate(name) if "0" <= c <= "9"), len(name))
    if name[:digits] != prefix:
        return None
    unit = 0
    for c in name[digits:]:
        if not "0" <= c <= "9":
            break
        unit = unit * 10 + int(c) & 0xFFFFFFFF
    return unit
