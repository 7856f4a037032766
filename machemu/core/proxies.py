"""Proxies of memory objects: ports that stand for a part of one, with less access (GNU Mach's memory_object_proxy.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_NAME
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.sim.state import Natural, Signed, state

if TYPE_CHECKING:
    from machemu.ipc.subsystem import Ipc

WORD: Final = 0xFFFFFFFF


@state
class Proxy:
    """What a proxy's port stands for: `length` bytes from `start` on of `object`, a send right to a memory object or a proxy.

    port: its own port, which goes with its last send right.
    """

    __slots__ = ("length", "max_protection", "object", "port", "start")
    length: Natural
    max_protection: Signed
    object: Any
    port: Port
    start: Natural

    def __init__(self, obj: object, max_protection: int, start: int, length: int, port: Port) -> None:
        self.object = obj
        self.max_protection = max_protection
        self.start = start
        self.length = length
        self.port = port


def create(ipc: Ipc, obj: object, max_protection: int, start: int, length: int) -> Port:
    """A send right to a new proxy. Consumes the right to the memory object, but not where it fails."""
    if not isinstance(obj, Port) or not obj.active:
        raise KernError(KERN_INVALID_NAME)
    if start + length & WORD < start:
        raise KernError(KERN_INVALID_ARGUMENT)
    port = ipc.make_kernel_port(None)
    port.kobject = Proxy(obj, max_protection, start, length, port)
    right = ports.make_send(ipc, port)
    port.nsrequest = ports.make_sonce(ipc, port)
    return right


def unused(ipc: Ipc, proxy: Proxy) -> None:
    """Nobody holds the proxy any more."""
    ports.release_send(ipc, proxy.object)
    ports.dealloc_kernel(ipc, proxy.port)


def resolve(right: object) -> tuple[object, int, int, int] | None:
    """What a proxy stands for in the end: the memory object, the access allowed (the outermost proxy's), and start and length of
    the part; None for what is no proxy."""
    if not isinstance(right, Port) or not isinstance(right.kobject, Proxy):
        return None
    protection = right.kobject.max_protection
    start, length = 0, WORD
    target: object = right
    while isinstance(target, Port) and isinstance(target.kobject, Proxy):
        proxy = target.kobject
        target = proxy.object
        length = min(length, max(proxy.length - start, 0))
        start += proxy.start
    return target, protection, start, length
