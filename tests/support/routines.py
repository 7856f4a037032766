"""The kernel's routines called by a test in nobody's name."""

from __future__ import annotations

from typing import Any

from machemu.abi.errors import MustWait
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE
from machemu.core.kernel import Kernel
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Right
from machemu.mig.runtime import Routine


def call(kernel: Kernel, routine: Routine, target: Right, *values: Any) -> tuple[Any, ...]:
    """What the kernel answers to a request by a copy of a send right: the results. Raises KernError, and MustWait, where the
    request is given up."""
    ipc = kernel.ipc
    reply_port = ipc.make_kernel_port(None, reply=True)
    body, carried = routine.request.pack(ipc.order, values)
    sonce = ports.make_sonce(ipc, reply_port)
    assert isinstance(target, ports.Port)
    right = ports.make_send(ipc, target)
    request = kmsgs.make(ipc, right, PORT_SEND, sonce, PORT_SEND_ONCE, routine.request.id, body, carried)
    try:
        reply = kernel.serve(request)
    except MustWait:
        kmsgs.destroy(ipc, request)
        ports.dealloc_kernel(ipc, reply_port)
        raise
    assert reply is not None
    try:
        return routine.unpack_reply(ipc.order, bytes(reply.body), reply.carried, reply.complex)
    finally:
        ports.release_sonce(ipc, reply_port)
        kmsgs.consume(ipc, reply)
        ports.dealloc_kernel(ipc, reply_port)


def send_right(kernel: Kernel, port: Right) -> Right:
    """A send right to a kernel port."""
    assert isinstance(port, ports.Port)
    return ports.make_send(kernel.ipc, port)
