"""Traces in others' formats: JSON Lines and Perfetto say the same, of a cluster's run and of events that are hard to say."""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from machemu.abi.errors import UserError
from machemu.export.json_lines import JsonLines
from machemu.export.perfetto import Perfetto
from machemu.trace.events import (
    Ended,
    Faulted,
    MemoryRef,
    MessageMoved,
    Noted,
    Redirected,
    RightRef,
    RightsRef,
    TraceEvent,
    TrapEntered,
    TrapLeft,
)
from machemu.trace.ports import PortKind, PortRef
from tests.support.commands import run

BEGIN, END, INSTANT = TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END, TrackEvent.TYPE_INSTANT
NULL = PortRef(0, PortKind.NULL)


class Read:
    """A Perfetto file, read back. tracks: by number, what they are called. events: of each its track's name and itself."""

    def __init__(self, data: bytes) -> None:
        trace: Any = Trace.FromString(data)
        assert trace.SerializeToString() == data, "what the definitions do not know is lost when it is written again"
        processes: dict[int, str] = {}
        self.tracks: dict[int, str] = {}
        self.events: list[tuple[str, int, Any]] = []
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id == 1
            if packet.HasField("track_descriptor"):
                descriptor = packet.track_descriptor
                assert descriptor.uuid not in self.tracks
                if descriptor.HasField("process"):
                    processes[descriptor.process.pid] = descriptor.process.process_name
                    self.tracks[descriptor.uuid] = descriptor.process.process_name
                elif descriptor.HasField("thread"):
                    self.tracks[descriptor.uuid] = f"{processes[descriptor.thread.pid]} {descriptor.thread.thread_name}"
                else:
                    self.tracks[descriptor.uuid] = f"{self.tracks[descriptor.parent_uuid]} {descriptor.name}"
            else:
                self.events.append((self.tracks[packet.track_event.track_uuid], packet.timestamp, packet.track_event))

    def flows(self) -> dict[int, list[tuple[str, int, str]]]:
        """By flow, the events that it joins: track, time, name."""
        found: dict[int, list[tuple[str, int, str]]] = {}
        for track, time, event in self.events:
            for flow in event.flow_ids:
                found.setdefault(flow, []).append((track, time, event.name))
        return found


def said(event: Any) -> dict[str, Any]:
    """An event's annotations."""
    return {each.name: each.int_value if each.HasField("int_value") else each.string_value for each in event.debug_annotations}


def track_of(line: dict[str, Any]) -> str:
    if not line["task"]:
        return f"{line['node']}: kernel kernel"
    return f"{line['node']}: task {line['task']} ({line['task_name'].rpartition('/')[2].strip('()')}) thread {line['thread']}"


@pytest.fixture(scope="module")
def greeted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Read]:
    return traced("images/greet.toml", tmp_path_factory.mktemp("greet"))


def traced(file: str, folder: Path) -> tuple[list[dict[str, Any]], Read]:
    """A run of a cluster, as JSON and as Perfetto has it."""
    for name in ("json", "perfetto"):
        done = run("cluster", file, "--trace-format", name, "--trace-file", folder / name)
        assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "json").read_text().splitlines()], Read((folder / "perfetto").read_bytes())


def of_kind(lines: list[dict[str, Any]], *kinds: str) -> Iterator[dict[str, Any]]:
    return (line for line in lines if line["event"] in kinds)


@pytest.mark.slow
def test_every_trap_of_a_cluster_is_a_slice(greeted: tuple[list[dict[str, Any]], Read]) -> None:
    lines, read = greeted
    entered = Counter((track_of(line), line["time"], line["trap"]) for line in of_kind(lines, "TrapEntered"))
    left = Counter((track_of(line), line["time"]) for line in of_kind(lines, "TrapLeft"))
    threads = [(track, time, event) for track, time, event in read.events if " thread " in track]
    assert entered == Counter((track, time, event.name) for track, time, event in threads if event.type == BEGIN)
    assert left == Counter((track, time) for track, time, event in threads if event.type == END)
    assert len(entered) > 100


def test_every_message_of_a_cluster_is_an_instant(greeted: tuple[list[dict[str, Any]], Read]) -> None:
    lines, read = greeted
    messages = Counter(
        (track_of(line), line["time"], "send" if line["is_sent"] else "receive", line["message_id"], line["number"], line["size"])
        for line in of_kind(lines, "MessageMoved")
    )
    found: Counter[tuple[Any, ...]] = Counter()
    for track, time, event in read.events:
        values = said(event)
        if event.type == INSTANT and "message_id" in values:
            found[track, time, event.name.split()[0], values["message_id"], values["number"], values["size"]] += 1
    assert messages == found
    assert len(messages) > 100
    notes = Counter((track_of(line), line["time"], line["text"]) for line in of_kind(lines, "Noted"))
    assert notes <= Counter((track, time, event.name) for track, time, event in read.events)


def test_every_message_that_is_sent_and_received_is_a_flow(greeted: tuple[list[dict[str, Any]], Read]) -> None:
    lines, read = greeted
    ends: dict[tuple[str, int, int], list[tuple[str, int]]] = {}
    for line in of_kind(lines, "MessageMoved"):
        if line["number"]:  # what was sent before anybody watched has none
            ends.setdefault((line["node"], line["boot"], line["number"]), []).append((track_of(line), line["time"]))
    pairs = Counter(tuple(places) for places in ends.values() if len(places) > 1)
    arrows = Counter(
        tuple((track, time) for track, time, name in places if name.startswith(("send ", "receive ")))
        for places in read.flows().values()
    )
    assert sum(pairs.values()) > 50
    assert pairs <= arrows


def test_every_frame_is_a_slice_and_leads_from_what_asked_for_it_to_what_it_became(
    greeted: tuple[list[dict[str, Any]], Read],
) -> None:
    lines, read = greeted
    sent = Counter((line["begin"], line["frame"]["hex"]) for line in of_kind(lines, "FrameSent"))
    slices = [(time, event) for track, time, event in read.events if track == "segments lan" and event.type == BEGIN]
    assert sent == Counter((time, said(event)["frame"]) for time, event in slices)
    ends = sorted(time for track, time, event in read.events if track == "segments lan" and event.type == END)
    assert ends == sorted(line["end"] for line in of_kind(lines, "FrameSent"))
    heard = Counter((f"{line['node']}: kernel {line['interface']}", line["time"]) for line in of_kind(lines, "FrameHeard"))
    assert heard == Counter((track, time) for track, time, event in read.events if track.endswith("kernel eth0"))
    assert sum(heard.values()) == sum(sent.values()) > 10
    flows = read.flows()
    for _, event in slices:
        number = event.name
        asked, way = sorted((flows[flow] for flow in event.flow_ids), key=lambda places: places[0][2] == number)
        assert [name for _, _, name in asked][:1] == ["send device_write"]
        names = [name for _, _, name in way]
        assert names in ([number, number, "send net_rcv_msg"], [number, number]), "a frame that no filter takes becomes nothing"
        assert len({track.partition(":")[0] for track, _, _ in (asked[0], *way[1:])}) == 2, "from one node to another"
    became = [places for places in flows.values() if places[-1][2] == "send net_rcv_msg"]
    assert len(became) == sum(line["routine"] == "net_rcv_msg" and line["is_sent"] for line in of_kind(lines, "MessageMoved")) > 5


@pytest.mark.slow
def test_faults_and_lost_frames_are_in_both(tmp_path: Path) -> None:
    lines, read = traced("images/two.toml", tmp_path)
    faults = [(line["kind"], line["node"], line["time"]) for line in of_kind(lines, "Befell")]
    assert faults == [("crash", "sun", 102_000_000), ("restart", "sun", 250_000_000)]
    lost = [(line["number"], line["node"], line["reason"], line["time"]) for line in of_kind(lines, "FrameLost")]
    assert {reason for _, _, reason, _ in lost} == {"loss", "no power"}
    assert faults == [(event.name, "sun", time) for track, time, event in read.events if event.name in ("crash", "restart")]
    for number, node, reason, time in lost:
        [event] = [event for _, when, event in read.events if when == time and event.name == f"frame {number} lost"]
        assert said(event) == {"number": number, "node": node, "interface": "eth0", "reason": reason}
    assert {line["boot"] for line in lines if line.get("node") == "sun" and "boot" in line} == {1, 2}
    assert sum(name == "sun: task 1 (ether.elf)" for name in read.tracks.values()) == 2, "each boot has its own tasks"


HARD: list[TraceEvent] = [
    TrapLeft(1, 1, "late", 1, "mach_msg", 0x10004003, "code", None),
    TrapEntered(2, 1, "x", 1, "mach_msg", (("option", 3), ("rcv_name", PortRef(1, PortKind.PORT, 2, "", True)))),
    MessageMoved(
        3, 1, "x", 1, True, 4, "", 24, 0, PortRef(0xFFFFFFFF, PortKind.DEAD), NULL,
        (("", RightRef(17, NULL)), ("", RightsRef(18, 3)), ("", MemoryRef(1 << 32))),
    ),
    MessageMoved(3, 0, "", 0, True, 2121, "vm_allocate reply", 40, 16, NULL, NULL, (("RetCode", -301), ("data", b"\0\xff")), 7),
    TrapEntered(4, 1, "x", 1, "trap 99", ()),
    TrapEntered(5, 2, 'q"\u2028\n', 2, "mach_print", (("string", 0xFFFFFFFF),)),
    Redirected(5, 2, 'q"\u2028\n', 2, "trap 7", 0x1000),
    Faulted(6, 2, 'q"\u2028\n', 2, 1, 1, 0xFFFFFFFF),
    Noted(6, 2, 'q"\u2028\n', 2, "says\n\udc80"),
    Ended(7, 2, 'q"\u2028\n', 2),
    TrapEntered(1 << 70, 1, "x", 1, "mach_msg", ()),
]  # fmt: skip


class Bytes:
    """Keeps what is written, or with `keep` False only how much."""

    def __init__(self, keep: bool = True) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.keep = keep

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.keep:
            self.parts.append(data)


def test_events_that_are_hard_to_say_are_said() -> None:
    plain, packets = Bytes(), Bytes()
    one, other = JsonLines(plain), Perfetto(packets)
    for event in HARD:
        one.write("", 1, event)
        other.write("", 1, event)
    lines = [json.loads(line) for line in b"".join(plain.parts).splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__ for event in HARD]
    assert lines[2]["arguments"] == [
        {"disposition": 17, "port": {"name": 0, "kind": "NULL"}}, {"disposition": 18, "count": 3}, {"size": 1 << 32},
    ]  # fmt: skip
    assert lines[3]["arguments"] == {"RetCode": -301, "data": {"hex": "00ff"}}
    assert (lines[-1]["time"], lines[5]["task_name"]) == (1 << 70, 'q"\u2028\n')
    read = Read(b"".join(packets.parts))
    kinds = [(track.split()[1], event.type) for track, _, event in read.events]
    assert kinds.count(("1", BEGIN)) == 3 and kinds.count(("1", END)) == 2, "the last trap never ends"
    assert kinds.count(("2", BEGIN)) == kinds.count(("2", END)) == 1
    assert read.events[-1][1] == (1 << 63) - 1


def many(count: int) -> Iterator[TraceEvent]:
    port = PortRef(7, PortKind.PORT, 13)
    for n in range(count // 4):
        yield TrapEntered(8 * n, 1, "images/i386/pingpong.elf", 1, "mach_msg", (("option", 3), ("rcv_name", port)))
        yield MessageMoved(8 * n + 1, 1, "images/i386/pingpong.elf", 1, True, 1000, "", 32, 8, port, NULL, (), n + 1)
        yield MessageMoved(8 * n + 2, 2, "images/i386/pingpong.elf", 2, False, 1000, "", 32, 8, port, NULL, (), n + 1)
        yield TrapLeft(8 * n + 3, 1, "images/i386/pingpong.elf", 1, "mach_msg", 0, "code", None)


@pytest.mark.parametrize("form", [JsonLines, Perfetto])
def test_a_long_trace_takes_no_more_memory_than_a_short_one(form: type[JsonLines] | type[Perfetto]) -> None:
    """1,000,000 events take as much: what grows would show in these."""
    out = Bytes(keep=False)
    writer = form(out)
    for event in many(4_000):
        writer.write("", 1, event)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for event in many(40_000):
        writer.write("", 1, event)
    assert out.size > 4_000_000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 2 << 20


def test_without_the_package_perfetto_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "perfetto.trace_builder.proto_builder", None)
    with pytest.raises(UserError, match=r"^--trace-format perfetto: .*pip install 'machemu\[perfetto\]'$"):
        Perfetto(Bytes())


def test_without_the_package_no_file_is_touched(tmp_path: Path) -> None:
    kept = tmp_path / "trace"
    kept.write_bytes(b"kept")
    plant = "sys.modules['perfetto'] = None"
    done = run("boot", "images/i386/hello.elf", "--trace-format", "perfetto", "--trace-file", kept, plant=plant)
    assert done.returncode == 2
    assert done.stderr.startswith("machemu: --trace-format perfetto: needs the Python package perfetto")
    assert kept.read_bytes() == b"kept"
