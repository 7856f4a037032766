"""What a node keeps of another one."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.sim.state import U64, state
from masix.net.ip import NodeNumber
from masix.transport.conversation import Conversation
from masix.transport.events import Unverified
from masix.transport.session import Nonce, ReplayWindow, Session

UNVERIFIED_MAX: Final = 8
"""Messages to all that wait until their sender has proved to be alive."""


@state
class Handshake:
    """A hello of ours waits for its answer; or a finish does (pending is its session, finish the packet's text).

    began: when; due: when it is sent again; tries: how often it was.
    """

    __slots__ = ("nonce", "began", "due", "tries", "pending", "finish")
    nonce: Nonce
    began: int
    due: int
    tries: int
    pending: Session | None
    finish: bytes

    def __init__(self, nonce: bytes, now: int) -> None:
        self.nonce = nonce
        self.began = now
        self.due = now
        self.tries = 0
        self.pending = None
        self.finish = b""


@state
class Peer:
    """Another node, as far as it is known."""

    __slots__ = ("node", "incarnation", "generation", "window", "unverified", "asked_at", "handshake", "conversation", "held")
    node: NodeNumber
    incarnation: U64  # the last that proved to be alive, 0 for none
    generation: int  # counts sessions and new incarnations; answers to hellos from before are worth nothing

    # Multicasts:
    window: ReplayWindow  # of this incarnation's
    unverified: list[Unverified]  # of incarnations whose handshake is under way

    # Its session:
    asked_at: int | None  # when it was last asked only to see who it is, None if never
    handshake: Handshake | None
    conversation: Conversation | None
    held: dict[int, deque[bytes]]  # the streams of which the owner takes no messages now, and those that came

    def __init__(self, node: int) -> None:
        self.node = node
        self.incarnation = 0
        self.generation = 0
        self.window = ReplayWindow()
        self.unverified = []
        self.asked_at = None
        self.handshake = None
        self.conversation = None
        self.held = {}

    def session(self) -> Session | None:
        """The session that is open with it."""
        return None if self.conversation is None else self.conversation.session

    def waits(self) -> bool:
        """Whether there is something to say to it once there is a session."""
        return self.conversation is not None and self.conversation.session is None

    def pending(self) -> Session | None:
        """The session that we finish with it."""
        return None if self.handshake is None else self.handshake.pending

    def is_stranger(self) -> bool:
        """Whether nothing is known of it."""
        return not (self.incarnation or self.generation or self.handshake or self.conversation or self.held)

    def due(self) -> int | None:
        """When its transport has something to do for it."""
        times = [] if self.handshake is None else [self.handshake.due]
        if self.session() is not None and self.conversation is not None and (due := self.conversation.due()) is not None:
            times.append(due)
        return min(times) if times else None
