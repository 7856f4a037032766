"""Captures: every frame of every segment, as other programs read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.pcap import Capture
from machemu.sim.output import Output
from machemu.trace.events import Befell, ClusterEvent, FrameLost, FrameSent
from tests.support.clusters import SECOND, World, node
from tests.support.pcapng import Frame, read_pcapng


def capture(path: Path) -> list[Frame]:
    """Captures a run; the frames that there were."""
    text = '[segments.lan]\nloss = 0.3\n[segments."far.lan"]\n' + node("one", "ask", 3, 2, 61) + node("two", "answer")
    text += node("three", "ask", 2, 4, nics='eth0 = "far.lan"') + node("four", "answer", nics='eth0 = "far.lan"')
    frames: list[Frame] = []
    with World(text) as world, Output.create(path) as output:
        file = Capture(output, [segment.name for segment in world.cluster.segments])

        def happened(event: ClusterEvent) -> None:
            if isinstance(event, FrameSent):
                frames.append((("lan", "far.lan").index(event.segment), event.end, event.frame))
            file.happened(event)

        world.cluster.watch(happened)
        world.run(3 * SECOND)
        world.send("one", 1 << 33, b"\xff" * 1513)
        world.run()
        file.finish()
    return frames


def test_a_capture_holds_every_frame_with_its_time(tmp_path: Path) -> None:
    frames = capture(tmp_path / "frames")
    names, read = read_pcapng((tmp_path / "frames").read_bytes())
    assert names == ["lan", "far.lan"]
    assert read == frames
    assert len(read) > 10
    assert {interface for interface, _, _ in read} == {0, 1}
    assert read[-1] == (0, (1 << 33) + (8 + 1513 + 4) * 800, b"\xff" * 1513)


def test_a_file_that_cannot_be_written_is_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        Output.create(tmp_path / "nowhere" / "frames")


def test_tshark_reads_a_capture(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    frames = capture(tmp_path / "frames")
    fields = ("frame.interface_name", "frame.time_epoch", "frame.len", "eth.type", "_ws.malformed")
    command = [tshark, "-r", str(tmp_path / "frames"), "-T", "fields", *(part for each in fields for part in ("-e", each))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (("lan", "far.lan")[interface], f"{time // SECOND}.{time % SECOND:09}", str(len(frame)))
        for interface, time, frame in frames
    ]
    assert {row[3] for row in rows[:-1]} == {"0x88b5"}
    assert not any(row[4] for row in rows)


def test_a_frame_that_comes_after_584_years_has_the_last_time_of_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "late.pcapng"
    with Output.create(path) as output:
        file = Capture(output, ["lan"])
        for time in ((1 << 64) - 2, 1 << 64, 1 << 80):
            file.happened(FrameSent(time, "lan", 1, "one", "eth0", time, time, b"frame"))
        file.finish()
    _, frames = read_pcapng(path.read_bytes())
    assert [time for _, time, _ in frames] == [(1 << 64) - 2, (1 << 64) - 1, (1 << 64) - 1]


def test_tshark_shows_lost_frames_and_faults_as_comments(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "frames"
    groups = tuple((f"node{n}",) for n in range(9_000))
    with Output.create(path) as output:
        file = Capture(output, ["lan", "far"])
        file.happened(Befell(1, "pause", "one", "", ()))
        file.happened(Befell(2, "segment", "", "far", (("loss", 0.5), ("latency", 7))))
        file.happened(FrameSent(3, "far", 1, "one", "eth0", 3, 4, b"f" * 61))
        file.happened(FrameLost(5, "far", 1, "two", "eth1", "loss"))
        file.happened(FrameSent(6, "lan", 1, "one", "eth0", 6, 7, b"f" * 60))
        file.happened(FrameLost(8, "far", 1, "three", "eth0", "crash"))
        file.happened(Befell(9, "partition", "", "lan", groups))
        file.happened(FrameSent(SECOND, "lan", 2, "one", "eth0", SECOND, SECOND, b"f" * 60))
        file.happened(Befell(2 * SECOND, "heal", "", "lan", ()))
        file.finish()
    _, frames = read_pcapng(path.read_bytes())
    assert len(frames) == 3
    assert b"heal of lan, at 2 s" in path.read_bytes()
    command = [tshark, "-r", str(path), "-T", "fields", "-E", "aggregator=;", "-e", "frame.comment"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first == "pause of one, at 0.000000001 s;change of far: loss=0.5, latency=7, at 0.000000002 s;lost to two eth1: loss"
    assert second == "frame 1 of far is lost to three eth0: crash"
    assert third.startswith("partition of lan: node0 | node1 | node2 | ")
