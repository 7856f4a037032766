"""The host: the ports that stand for the node as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.ipc.port import Port


@state
class HostPort:
    """What the name port of the host stands for (Mach's IKOT_HOST)."""

    __slots__ = ()


@state
class HostPrivPort:
    """What the privileged port of the host stands for (IKOT_HOST_PRIV)."""

    __slots__ = ()


@state
class Host:
    """The node's two host ports; the kernel holds their receive rights."""

    __slots__ = ("host_self", "host_priv_self")

    def __init__(self, host_self: Port, host_priv_self: Port) -> None:
        self.host_self = host_self
        self.host_priv_self = host_priv_self
