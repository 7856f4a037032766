"""Subsystem notify (64): what the kernel asked to be told about ports of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MIG_BAD_ID
from machemu.abi.message import PORT_SEND_ONCE
from machemu.core import proxies
from machemu.core.proxies import Proxy
from machemu.device import io_perm
from machemu.device.io_perm import IoPerm
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def mach_notify_no_senders(kernel: Kernel, request: Kmsg, count: int) -> tuple[()]:
    """Only the kernel has send-once rights to its ports: what comes by a send right is a task's invention."""
    target = request.remote
    if request.remote_type != PORT_SEND_ONCE or not isinstance(target, Port):
        raise KernError(MIG_BAD_ID)
    match target.kobject:
        case IoPerm() as perm:
            io_perm.no_senders(kernel.ipc, perm)
        case Proxy() as proxy:
            proxies.unused(kernel.ipc, proxy)
        case _:
            kernel.devices.no_senders(target)
    return ()
