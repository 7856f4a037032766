"""What a cluster and its nodes say to each other: messages of plain data, so that a node may run in this process or in another.

All times are the cluster's virtual nanoseconds, FOREVER for never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from machemu.cluster.faults import Action
from machemu.sim.saved import Part
from machemu.sim.state import Time, state


@state
class Arrival(NamedTuple):
    """A frame that the node's interface hears at `time`. serial: its order among all."""

    time: Time
    serial: int
    interface: int
    frame: bytes


class Sent(NamedTuple):
    """A frame that a node has sent, or will have by `time`. serial: the node's own count."""

    time: int
    serial: int
    interface: int
    frame: bytes


class Status(NamedTuple):
    """How a node stands once a message has been dealt with."""

    powered: bool
    reboots: bool
    """Its kernel has ended, and wants to be booted anew."""
    now: int
    """Its clock; 0 without power."""
    next: int
    """When it does something next."""
    send: int
    """Before when it sends nothing; never more than its slack after `next`."""
    sent: Sequence[Sent]
    """What it sent and no earlier status told of."""


class NodeLink(Protocol):
    """A node as its cluster knows it. Messages are answered one after the other; only `stop` may come before an answer.

    UserError, which does not name the node, for a mistake of the user's: in what it boots, in its servers.
    """

    def status(self) -> Status: ...

    def power_on(self, time: int, seed: int) -> Status:
        """Boots it, with disks as they were left; what it held is lost where it has power. seed: for its servers."""
        ...

    def crash(self) -> Status:
        """It loses its power, and what is on the way to it."""
        ...

    def pause(self) -> Status:
        """It stands still, where it has power."""
        ...

    def resume(self, time: int) -> Status:
        """It goes on, where it has power, and finds that it is `time`."""
        ...

    def act(self, action: Action, seed: int) -> tuple[Status, str]:
        """Something is done to it at the action's time; and why it could not be, "" where it was. seed: for a server."""
        ...

    def run(self, horizon: int) -> Status:
        """It runs from its next time until `horizon`, or until it is idle, has ended or has sent a frame."""
        ...

    def stop(self) -> None:
        """Makes a run that is under way come back."""
        ...

    def hear(self, arrival: Arrival, sent: int) -> Status | str | None:
        """A frame, sent at `sent`, is on its way to it. None where that leaves its times as they were.

        Where it does not take the frame: why, as in trace.events.FrameLost; its times are as they were.
        """
        ...

    def forget(self, time: int) -> None:
        """Nothing will reach it before `time` but what it has heard of."""
        ...

    def digest(self) -> str:
        """SHA-256 over the node and its memory."""
        ...

    def save(self) -> Part:
        """The node, to be written to a file before the next message."""
        ...

    def close(self) -> None:
        """Gives the host's resources back."""
        ...
