"""Proxies of memory objects: ports that stand for a part of one, with less access (GNU Mach's memory_object_proxy.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.ipc.subsystem import Ipc

INVALID_ARGUMENT: Final = int(KernReturn.KERN_INVALID_ARGUMENT)
INVALID_NAME: Final = int(KernReturn.KERN_INVALID_NAME)
WORD: Final = 0xFFFFFFFF


@state
class Proxy:
    """What a proxy's port stands for: `length` bytes from `start` on of `object`, a send right to a memory object or a proxy.

    port: its own port, which goes with its last send right. notify: the kernel's port that is told so.
    """

    __slots__ = ("length", "max_protection", "notify", "object", "port", "start")

    def __init__(self, obj: object, max_protection: int, start: int, length: int) -> None:
        self.object = obj
        self.max_protection = max_protection
        self.start = start
        self.length = length
        self.port: Port | None = None
        self.notify: Port | None = None


@state
class ProxyNotify:
    """What a proxy's notification port stands for."""

    __slots__ = ("proxy",)

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy


def create(ipc: Ipc, obj: object, max_protection: int, start: int, length: int) -> Port:
    """A send right to a new proxy. Consumes the right to the memory object, but not where it fails."""
    if not isinstance(obj, Port) or not obj.active:
        raise KernError(INVALID_NAME)
    if start + length & WORD < start:
        raise KernError(INVALID_ARGUMENT)
    proxy = Proxy(obj, max_protection, start, length)
    port = proxy.port = ipc.make_kernel_port(proxy)
    notify = proxy.notify = ipc.make_kernel_port(ProxyNotify(proxy))
    ports.nsrequest(ipc, port, 1, ports.make_sonce(ipc, notify))
    return ports.make_send(ipc, port)


def unused(ipc: Ipc, target: object) -> bool:
    """A no-senders notification came to a port of the kernel's: the proxy that it tells of goes. False where it tells of none."""
    if not isinstance(target, Port) or not isinstance(target.kobject, ProxyNotify):
        return False
    proxy = target.kobject.proxy
    ports.release_send(ipc, proxy.object)
    for port in (proxy.port, proxy.notify):
        if port is not None:
            ports.dealloc_kernel(ipc, port)
    return True


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
