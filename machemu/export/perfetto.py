"""A trace for Perfetto (ui.perfetto.dev): its TracePacket messages, one after the other.

A task of a node is a process, its threads are threads; a trap is a slice. Messages, exceptions and what servers say of
themselves are instants. A flow, which Perfetto draws as an arrow, joins a message's sending and receipt, and a frame's way over
its segment, from the message that asks for it to those that it becomes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from machemu.abi.device import NET_RCV_MSG_ID
from machemu.abi.errors import UserError
from machemu.export.json_lines import Sink
from machemu.trace.events import (
    Befell,
    ClusterEvent,
    Ended,
    Faulted,
    FrameHeard,
    FrameLost,
    FrameSent,
    MemoryRef,
    MessageMoved,
    Noted,
    Redirected,
    TraceEvent,
    TrapEntered,
    TrapLeft,
)
from machemu.trace.ports import PortKind, PortRef, port_text
from machemu.trace.words import (
    contents,
    detail_text,
    exception_text,
    result_text,
    task_text,
    what_text,
)

BEGIN, END, INSTANT = 1, 2, 3
"""TrackEvent's types."""
SEQUENCE: Final = 1
TIME_MAX: Final = (1 << 63) - 1
WORLD_SHIFT: Final = 40
"""A flow's number is its message's or frame's in the low bits, and above it that of its world."""
FRAME_MIN: Final = 60
HEADER_SIZE: Final = 14
PACKET_HEADER_SIZE: Final = 4
FRAMES_MAX: Final = 1024
"""Frames of late that are looked through for what a message was, or became."""


def require() -> Any:
    """What writes packets. UserError where the package `perfetto` is not installed."""
    try:
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
    except ImportError:
        raise UserError("--trace-format perfetto: needs the Python package perfetto: pip install 'machemu[perfetto]'") from None
    return StreamingTraceProtoBuilder


class World:
    """One boot of a node, one segment, or what is above them all.

    number: for its flows. processes, tracks: by their keys. open: threads whose trap has not ended. asked: by interface the sizes
    of frames that messages have asked for, with the messages' flows. heard: frames of late, with theirs.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.processes: dict[int, int] = {}
        self.tracks: dict[int | str, int] = {}
        self.open: set[int] = set()
        self.asked: dict[str, deque[tuple[int, int]]] = {}
        self.heard: deque[tuple[bytes, int]] = deque(maxlen=FRAMES_MAX)

    def flow(self, number: int) -> int:
        return self.number << WORLD_SHIFT | number


class Perfetto:
    """Writes each event to `out`. UserError where the package `perfetto` is not installed."""

    def __init__(self, out: Sink) -> None:
        self.builder: Any = require()(out)
        self.numbers = count(1)
        self.boots: dict[str, int] = {}
        self.worlds: dict[tuple[str, int], World] = {}
        self.segments: dict[str, World] = {}
        self.cluster = 0
        self.frames: OrderedDict[int, bytes] = OrderedDict()

    def write(self, node: str, boot: int, event: TraceEvent | ClusterEvent) -> None:
        """node, boot: as in `JsonLines.write`."""
        if isinstance(event, FrameSent | FrameHeard | FrameLost | Befell):
            self._between(event)
            return
        if self.boots.get(node) != boot:
            self.worlds.pop((node, self.boots.get(node, 0)), None)
            self.boots[node] = boot
        world = self._world(node)
        if isinstance(event, MessageMoved):
            self._message(world, event)
            return
        track = self._thread(world, event)
        match event:
            case TrapEntered():
                self._close(world, event)
                world.open.add(event.thread)
                said = [(name, port_text(value) if isinstance(value, PortRef) else value) for name, value in event.arguments]
                self._put(event.time, BEGIN, track, event.trap, said)
            case TrapLeft():
                said = [("result", result_text(event))]
                if event.thread in world.open:
                    world.open.discard(event.thread)
                    self._put(event.time, END, track, "", said)
                else:
                    self._put(event.time, INSTANT, track, f"{event.trap} resumed", said)
            case Ended():
                self._close(world, event)
                self._put(event.time, INSTANT, track, "ended")
            case Faulted():
                self._put(event.time, INSTANT, track, exception_text(event.exception, event.code, event.subcode))
            case Redirected():
                self._put(event.time, INSTANT, track, f"{event.trap} redirected", [("handler", event.handler)])
            case Noted():
                self._put(event.time, INSTANT, track, event.text)

    def _close(self, world: World, event: TrapEntered | Ended) -> None:
        """A trap that never came back ends where its thread does something else."""
        if event.thread in world.open:
            world.open.discard(event.thread)
            self._put(event.time, END, self._thread(world, event), "")

    def _message(self, world: World, event: MessageMoved) -> None:
        flows = [world.flow(event.number)] if event.number else []
        if event.is_sent:
            self._ask(world, event, flows)
            if event.message_id == NET_RCV_MSG_ID and not event.thread:
                flows += heard_as(world, event)
        said: list[tuple[str, int | str]] = [
            ("message_id", event.message_id), ("number", event.number), ("size", event.size), ("remote", port_text(event.remote)),
            ("local", port_text(event.local)), ("contents", ", ".join(contents(event))),
        ]  # fmt: skip
        name = f"{'send' if event.is_sent else 'receive'} {what_text(event)}"
        self._put(event.time, INSTANT, self._thread(world, event), name, said, flows)

    def _ask(self, world: World, event: MessageMoved, flows: list[int]) -> None:
        """A message may ask an interface to send a frame."""
        if event.routine == "device_write" and event.remote.kind is PortKind.DEVICE:
            size = next((value.size for _, value in event.arguments if isinstance(value, MemoryRef)), 0)
            asked = world.asked.setdefault(event.remote.label, deque(maxlen=FRAMES_MAX))
            asked.extend((size, flow) for flow in flows)

    # Between nodes

    def _between(self, event: ClusterEvent) -> None:
        if isinstance(event, Befell):
            world = self._world(event.node) if event.node else self._segment(event.segment)
            track = self._thread_of(world, 0, "", 0) if event.node else world.tracks[""]
            self._put(event.time, INSTANT, track, event.kind, [("detail", detail_text(event))])
            return
        segment = self._segment(event.segment)
        flow = segment.flow(event.number)
        said: list[tuple[str, int | str]] = [("number", event.number), ("node", event.node), ("interface", event.interface)]
        if isinstance(event, FrameSent):
            self.frames[flow] = event.frame
            if len(self.frames) > FRAMES_MAX:
                self.frames.popitem(last=False)
            flows = [flow, *asked_by(self._world(event.node), event)]
            said += [("size", len(event.frame)), ("frame", event.frame.hex())]
            self._put(event.begin, BEGIN, segment.tracks[""], f"frame {event.number}", said, flows)
            self._put(event.end, END, segment.tracks[""], "")
        elif isinstance(event, FrameHeard):
            world = self._world(event.node)
            if flow in self.frames:
                world.heard.append((self.frames[flow], flow))
            self._put(event.time, INSTANT, self._interface(world, event.interface), f"frame {event.number}", said, [flow])
        else:
            said.append(("reason", event.reason))
            self._put(event.time, INSTANT, segment.tracks[""], f"frame {event.number} lost", said, [flow])

    # Tracks

    def _world(self, node: str) -> World:
        """A node's, as it was booted last."""
        key = node, self.boots.setdefault(node, 1)
        world = self.worlds.get(key)
        if world is None:
            world = self.worlds[key] = World(next(self.numbers), f"{node}: " if node else "")
        return world

    def _segment(self, name: str) -> World:
        world = self.segments.get(name)
        if world is None:
            if not self.cluster:
                self.cluster = self._process("segments")
            world = self.segments[name] = World(next(self.numbers), name)
            world.tracks[""] = self._track(name, self.cluster)
        return world

    def _interface(self, world: World, name: str) -> int:
        if name not in world.tracks:
            self._thread_of(world, 0, "", 0)
            world.tracks[name] = self._track(name, world.processes[0])
        return world.tracks[name]

    def _thread(self, world: World, event: TraceEvent) -> int:
        return world.tracks.get(event.thread) or self._thread_of(world, event.task, event.task_name, event.thread)

    def _thread_of(self, world: World, task: int, name: str, thread: int) -> int:
        if thread not in world.tracks:
            if task not in world.processes:
                world.processes[task] = self._process(world.name + (task_text(task, name) if task else "kernel"))
            descriptor = self._descriptor()
            descriptor.thread.pid = world.processes[task]
            descriptor.thread.tid = descriptor.uuid
            descriptor.thread.thread_name = f"thread {thread}" if thread else "kernel"
            world.tracks[thread] = self._write_descriptor(descriptor)
        return world.tracks[thread]

    def _process(self, name: str) -> int:
        """A process, whose number its track has, too."""
        descriptor = self._descriptor()
        descriptor.process.pid = descriptor.uuid
        descriptor.process.process_name = clean(name)
        return self._write_descriptor(descriptor)

    def _track(self, name: str, parent: int) -> int:
        descriptor = self._descriptor()
        descriptor.name = name
        descriptor.parent_uuid = parent
        return self._write_descriptor(descriptor)

    # Packets

    def _descriptor(self) -> Any:
        self.packet = self.builder.create_packet()
        self.packet.trusted_packet_sequence_id = SEQUENCE
        self.packet.track_descriptor.uuid = next(self.numbers)
        return self.packet.track_descriptor

    def _write_descriptor(self, descriptor: Any) -> int:
        self.builder.write_packet(self.packet)
        return int(descriptor.uuid)

    def _put(
        self, time: int, kind: int, track: int, name: str, said: Iterable[tuple[str, int | str]] = (), flows: Iterable[int] = ()
    ) -> None:
        packet = self.builder.create_packet()
        packet.timestamp = min(time, TIME_MAX)
        packet.trusted_packet_sequence_id = SEQUENCE
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        if name:
            event.name = clean(name)
        event.flow_ids.extend(flows)
        for label, value in said:
            annotation = event.debug_annotations.add(name=label)
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = clean(value)
        self.builder.write_packet(packet)


def clean(text: str) -> str:
    """A text without what is no character; a name of a file may hold such."""
    return text.encode(errors="backslashreplace").decode()


def asked_by(world: World, event: FrameSent) -> list[int]:
    """The flow of the message that asked for a frame: an interface sends frames in the order in which they are asked for."""
    asked = world.asked.get(event.interface, ())
    while asked:
        size, flow = asked.popleft()
        if max(size, FRAME_MIN) == len(event.frame):
            return [flow]
    return []


def heard_as(world: World, event: MessageMoved) -> list[int]:
    """The flow of the frame that a message brings, or as much of it as a filter has let through."""
    held = dict(event.arguments)
    header, packet = held.get("header"), held.get("packet")
    if isinstance(header, bytes) and isinstance(packet, bytes):
        start = header[:HEADER_SIZE] + packet[PACKET_HEADER_SIZE:]
        return [flow for frame, flow in reversed(world.heard) if frame.startswith(start)][:1]
    return []
