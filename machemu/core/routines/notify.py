"""Subsystem notify (64): what the kernel asked to be told about ports of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MigReturn
from machemu.abi.message import PORT_SEND_ONCE
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

BAD_ID: Final = int(MigReturn.MIG_BAD_ID)


def mach_notify_no_senders(kernel: Kernel, request: Kmsg, count: int) -> tuple[()]:
    """Only the kernel has send-once rights to its ports: what comes by a send right is a task's invention."""
    if request.remote_type != PORT_SEND_ONCE or not isinstance(request.remote, Port):
        raise KernError(BAD_ID)
    kernel.devices.no_senders(request.remote)
    return ()
