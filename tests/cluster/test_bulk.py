"""The memory of messages between nodes goes in packets of many frames: right, whatever the segment does, watched or not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from machemu.cluster.pcap import Capture
from machemu.device.fragments import CHUNK, cut
from machemu.sim.output import Output
from masix.transport.packets import encode
from tests.support.callers import PROFILES, programs
from tests.support.clusters import MS, SECOND, World, node
from tests.support.transfers import Taker, page_bytes, transfer_text

SIZE = 300_001
END = 3 * SECOND
PAGES = b"".join(map(page_bytes, range(SIZE // 8192 + 1)))[:SIZE]
DIGEST = hashlib.sha256(PAGES).hexdigest()


@dataclass
class Ended:
    came: list[tuple[int, str, int]]
    digest: str
    frames: list[tuple[int, int, bytes]]


def ended(world: World, until: int = END) -> Ended:
    world.run(until)
    (taker,) = programs(world.cluster.nodes[0], Taker)
    return Ended(taker.came, world.cluster.digest(), world.frames)


@pytest.mark.parametrize("profile", PROFILES)
def test_memory_arrives_right_in_frames_that_fill_the_wire(profile: str) -> None:
    with World(transfer_text(SIZE, profile)) as world:
        found = ended(world)
    assert [each[:2] for each in found.came] == [(SIZE, DIGEST)]
    sizes = [len(frame) for _, _, frame in found.frames]
    assert max(sizes) == 14 + 20 + CHUNK and len(sizes) < 2 * SIZE // CHUNK


@pytest.mark.parametrize("faults", ["", "loss = 0.03\nduplication = 0.05\nreordering = 0.1"], ids=["no faults", "faults"])
def test_a_capture_changes_neither_times_nor_the_digest(faults: str, tmp_path: Path) -> None:
    text = transfer_text(SIZE, segment=faults)
    with World(text) as world:
        watched = ended(world)
    with World(text) as world, Output.create(tmp_path / "frames") as output:
        capture = Capture(output, ["lan"])
        world.cluster.watch(capture.happened)
        captured = ended(world)
        capture.finish()
    with World(text) as world:
        world.cluster.witness = None
        plain = ended(world)
    assert plain.came == captured.came == watched.came and plain.digest == captured.digest == watched.digest
    assert [each[:2] for each in plain.came] == [(SIZE, DIGEST)]
    assert (tmp_path / "frames").stat().st_size > SIZE


@pytest.mark.parametrize(
    "faults", ["loss = 0.2", "duplication = 0.5", "reordering = 0.5", "loss = 0.05\nduplication = 0.2\nreordering = 0.3"]
)
def test_memory_arrives_over_a_segment_with_faults(faults: str) -> None:
    with World(transfer_text(SIZE, segment=faults), seed=3) as world:
        found = ended(world, 20 * SECOND)
    assert [each[:2] for each in found.came] == [(SIZE, DIGEST)]


@pytest.mark.parametrize("at_ms", [60, 90, 141, 203, 260])
def test_a_cluster_that_is_saved_while_memory_is_under_way_goes_on_the_same(at_ms: int, tmp_path: Path) -> None:
    text = transfer_text(SIZE, segment="loss = 0.02\nreordering = 0.05")
    with World(text) as world:
        plain = ended(world)
    with World(text) as world:
        world.run(at_ms * MS)
        assert not programs(world.cluster.nodes[0], Taker)[0].came
        world.cluster.save(tmp_path / "saved")
    with World(text, load=tmp_path / "saved") as world:
        loaded = ended(world)
    assert (loaded.came, loaded.digest) == (plain.came, plain.digest)


def test_false_fragments_of_an_attacker_are_refused_and_the_memory_arrives() -> None:
    """Who writes on the segment fills the interfaces with fragments that nothing belongs to, and forges some of what goes."""
    text = transfer_text(SIZE) + node("n3", "answer")
    with World(text) as world:
        world.run(60 * MS)
        for step in range(40):
            for number in (step, step + 20):
                frames = cut(encode(2, 1, number, bytes(5000)))
                assert frames is not None
                for frame in frames[step % 2 :]:
                    world.send("n3", world.cluster.time, frame)
            world.run((62 + 2 * step) * MS)
        found = ended(world)
    assert [each[:2] for each in found.came] == [(SIZE, DIGEST)]
