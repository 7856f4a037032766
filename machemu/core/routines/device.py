"""Subsystem device (2800)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MigReturn
from machemu.core.routines.targets import device_target
from machemu.device import ds_routines
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

WRITE_MAX: Final = 1 << 20
"""The most that one device_write takes."""
NO_REPLY: Final = int(MigReturn.MIG_NO_REPLY)


def device_open(kernel: Kernel, request: Kmsg, mode: int, name: bytes) -> tuple[object]:
    if request.remote is kernel.devices.master_port and not isinstance(request.local, Port):
        raise KernError(NO_REPLY)
    return (ds_routines.device_open(kernel.ipc, kernel.devices, request.remote, name),)


def device_close(kernel: Kernel, request: Kmsg) -> tuple[()]:
    ds_routines.device_close(kernel.ipc, kernel.devices, device_target(request))
    return ()


def device_write_inband(kernel: Kernel, request: Kmsg, mode: int, recnum: int, data: bytes) -> tuple[int]:
    return (kernel.write_device(device_target(request), data),)


def device_write(kernel: Kernel, request: Kmsg, mode: int, recnum: int, data: OutOfLine) -> tuple[int]:
    copy = data.copy
    if not isinstance(copy, VmMapCopy):
        raise KernError(ds_routines.D_INVALID_SIZE)
    if data.size > WRITE_MAX:
        raise KernError(ds_routines.D_INVALID_SIZE)
    written = kernel.write_device(device_target(request), copy.to_bytes())
    copy.discard()
    return (written,)


def device_read_inband(kernel: Kernel, request: Kmsg, mode: int, recnum: int, count: int) -> tuple[bytes]:
    return (_read(request, count, True),)


def device_read(kernel: Kernel, request: Kmsg, mode: int, recnum: int, count: int) -> tuple[OutOfLine]:
    data = _read(request, count, False)
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data)),)


def _read(request: Kmsg, count: int, inband: bool) -> bytes:
    """Input that is there. Where the reply comes later the request's reply right is the device's, and none is sent now."""
    data = ds_routines.device_read(device_target(request), request.local, request.local_type, count, inband)
    if data is None:
        request.local = None
        raise KernError(NO_REPLY)
    return data


def device_set_status(kernel: Kernel, request: Kmsg, flavor: int, words: tuple[int, ...]) -> tuple[()]:
    ds_routines.set_status(device_target(request), flavor, words)
    return ()


def device_get_status(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    return (ds_routines.get_status(device_target(request), flavor, room),)


def device_map(kernel: Kernel, request: Kmsg, *arguments: int) -> tuple[object]:
    """The console cannot be mapped."""
    device_target(request)
    raise KernError(ds_routines.D_INVALID_OPERATION)
