"""Subsystem device (2800)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.device import D_INVALID_OPERATION, D_INVALID_SIZE, D_NO_MEMORY
from machemu.abi.errors import KernError
from machemu.abi.kern_return import MIG_NO_REPLY
from machemu.core.routines.targets import device_target, stands_for_io_ports
from machemu.device.io import IoOp, IoRequest
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

WRITE_MAX: Final = 16 << 20
"""Bytes of out-of-line data that one device_write looks at; the rest is not written, and the reply says so."""
COPY_MAX: Final = 64 << 20
"""Bytes out of line beyond which a device_write is refused with D_NO_MEMORY."""


def _asked(request: Kmsg, op: IoOp, mode: int, recnum: int = 0, count: int = 0, data: bytes = b"") -> IoRequest:
    """The request as drivers see it; while they have it, its reply right is theirs."""
    signed = recnum - (1 << 32) if recnum >> 31 else recnum
    return IoRequest(op, mode, signed, count, data, request.local, request.local_type)


def _later(request: Kmsg) -> KernError:
    """No reply is sent now: the reply right has gone to the device."""
    request.local = None
    return KernError(MIG_NO_REPLY)


def device_open(kernel: Kernel, request: Kmsg, mode: int, name: bytes) -> tuple[Port]:
    devices = kernel.devices
    if request.remote is not devices.master_port:
        raise KernError(D_INVALID_OPERATION)
    if not isinstance(request.local, Port):
        raise KernError(MIG_NO_REPLY)
    right = devices.open(name.split(b"\0", 1)[0].decode("latin-1"), _asked(request, IoOp.OPEN, mode))
    if right is None:
        raise _later(request)
    return (right,)


def device_close(kernel: Kernel, request: Kmsg) -> tuple[()]:
    if not stands_for_io_ports(request):
        kernel.devices.close(device_target(request))
    return ()


def device_write_inband(kernel: Kernel, request: Kmsg, mode: int, recnum: int, data: bytes) -> tuple[int]:
    return (_write(request, _asked(request, IoOp.WRITE_INBAND, mode, recnum, len(data), data)),)


def device_write(kernel: Kernel, request: Kmsg, mode: int, recnum: int, data: OutOfLine) -> tuple[int]:
    if not stands_for_io_ports(request):
        device_target(request)
    copy = data.copy
    if not isinstance(copy, VmMapCopy):
        raise KernError(D_INVALID_SIZE)
    if data.size > COPY_MAX:
        raise KernError(D_NO_MEMORY)
    asked = _asked(request, IoOp.WRITE, mode, recnum, data.size, copy.to_bytes()[:WRITE_MAX])
    try:
        written = _write(request, asked)
    except KernError as error:
        if error.code == MIG_NO_REPLY:
            copy.discard()
        raise
    copy.discard()
    return (written,)


def _write(request: Kmsg, asked: IoRequest) -> int:
    device = device_target(request)
    written = device.driver.write(device.minor, asked)
    if written is None:
        raise _later(request)
    return written


def device_read_inband(kernel: Kernel, request: Kmsg, mode: int, recnum: int, count: int) -> tuple[bytes]:
    return (_read(request, _asked(request, IoOp.READ_INBAND, mode, recnum, count)),)


def device_read(kernel: Kernel, request: Kmsg, mode: int, recnum: int, count: int) -> tuple[OutOfLine]:
    data = _read(request, _asked(request, IoOp.READ, mode, recnum, count))
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data) if data else None, len(data)),)


def _read(request: Kmsg, asked: IoRequest) -> bytes:
    device = device_target(request)
    if asked.reply_port is None:
        raise KernError(MIG_NO_REPLY)
    data = device.driver.read(device.minor, asked)
    if data is None:
        raise _later(request)
    return data


def device_set_status(kernel: Kernel, request: Kmsg, flavor: int, words: tuple[int, ...]) -> tuple[()]:
    device = device_target(request)
    device.driver.set_status(device.minor, flavor, words)
    return ()


def device_get_status(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    """Some give more words than the caller has room for, which its stub then refuses."""
    device = device_target(request)
    return (device.driver.get_status(device.minor, flavor, room),)


def device_set_filter(kernel: Kernel, request: Kmsg, receive_port: Right, priority: int, words: tuple[int, ...]) -> tuple[()]:
    device = device_target(request)
    port = _port(receive_port)
    device.driver.set_filter(device.minor, port, priority, tuple(word & 0xFFFF for word in words))
    return ()


def device_map(kernel: Kernel, request: Kmsg, protection: int, offset: int, size: int, unmap: int) -> tuple[object]:
    return (kernel.devices.map(device_target(request), protection, offset, size),)


def device_intr_register(kernel: Kernel, request: Kmsg, irq: int, flags: int, receive_port: Right) -> tuple[()]:
    device = device_target(request)
    if flags:
        raise KernError(D_INVALID_OPERATION)
    device.driver.intr_register(device.minor, irq, _port(receive_port))
    return ()


def device_intr_ack(kernel: Kernel, request: Kmsg, receive_port: Right) -> tuple[()]:
    """No interrupt of this machine is ever left to acknowledge, so that this always fails."""
    device = device_target(request)
    device.driver.intr_ack(device.minor, receive_port)
    return ()


def _port(receive_port: Right) -> Port:
    """A send right to a live port, as far as the kernel can tell. The real kernel dies of a null one."""
    if not isinstance(receive_port, Port):
        raise KernError(D_INVALID_OPERATION)
    return receive_port
