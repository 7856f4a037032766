"""Notifications (64) to the kernel's own ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MigReturn
from machemu.core import proxies
from machemu.device import io_perm
from machemu.device.io_perm import IoPerm
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

BAD_ID: Final = int(MigReturn.MIG_BAD_ID)


def mach_notify_no_senders(kernel: Kernel, request: Kmsg, count: int) -> tuple[()]:
    """Believed only where it is true: anybody who holds a right can send the message."""
    target = request.remote
    if isinstance(target, Port) and isinstance(target.kobject, IoPerm):
        if not target.srights:
            io_perm.no_senders(kernel.ipc, target.kobject)
    elif not proxies.unused(kernel.ipc, target):
        raise KernError(BAD_ID)
    return ()
