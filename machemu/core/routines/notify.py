"""Notifications (64) that come to ports of the kernel's own (Mach's ipc_kobject_notify, ds_notify)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from machemu.abi.kern_return import MIG_BAD_ID, MIG_NO_REPLY
from machemu.abi.message import PORT_SEND_ONCE
from machemu.core import printers, proxies
from machemu.core.proxies import Proxy
from machemu.device import io_perm
from machemu.device.ds_routines import Device
from machemu.device.io_perm import IoPerm
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, kernel_address
from machemu.kern import task_control
from machemu.kern.host import PrinterPort
from machemu.kern.task import Task
from machemu.mig.interfaces import notify

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

NO_SENDERS: Final = notify.MACH_NOTIFY_NO_SENDERS.request.id
COUNT: Final = 4
"""Where in its body a no-senders notification has its make-send count."""


def told(kernel: Kernel, request: Kmsg) -> int:
    """The code that is answered: MIG_NO_REPLY for none.

    Only the kernel has send-once rights to its ports: what comes by a send right is a task's invention. A device's driver says so
    on the console; of its other ports nobody listens.
    """
    target = request.remote
    assert isinstance(target, Port)
    invented = request.remote_type != PORT_SEND_ONCE
    match target.kobject:
        case Device() if invented:
            return _invented(kernel, request, target)
        case IoPerm() if invented and request.id != NO_SENDERS:
            return _invented(kernel, request, target)
        case _ if invented or request.id != NO_SENDERS:
            return MIG_BAD_ID
        case IoPerm() as perm:
            io_perm.no_senders(kernel.ipc, perm)
        case Proxy() as proxy:
            proxies.unused(kernel.ipc, proxy)
        case PrinterPort():
            printers.unused(kernel, target)
        case Task() as task:
            if task.frozen and task.active:
                task_control.terminate(kernel.kern, task, is_loader=True)
        case _:
            kernel.devices.no_senders(target)
    return MIG_NO_REPLY


def _invented(kernel: Kernel, request: Kmsg, target: Port) -> int:
    if request.id != NO_SENDERS:
        kernel.print(f"ds_notify: strange notification {request.id}\n".encode("ascii"))
        return MIG_BAD_ID
    count = struct.unpack_from(f"{kernel.ipc.order.prefix}i", request.body.ljust(COUNT + 4, b"\0"), COUNT)[0]
    address = (1 << 32) - int(kernel_address(target.number), 16)
    kernel.print(f"ds_no_senders called! device_port=0x-{address:x}x count={count}\n".encode("ascii"))
    return MIG_NO_REPLY
