"""The bytes on the wire: as the description says, as the RFCs say, as tshark reads them; and what is none of ours is refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masix.net.ip import GROUP, NODE_MAX, UDP_PORT, checksum, ip_of, mac_of
from masix.transport import formats, packets
from masix.transport.chunks import (
    RANGES_MAX,
    AcknowledgementChunk,
    ChunkKind,
    FragmentChunk,
    acknowledgement_bytes,
    chunks_of,
)
from masix.transport.packets import PLAIN_MAX, TAG, PacketError, PacketKind, decode, encode, header_bytes
from masix.transport.sender import Fragment, Message
from tests.support.network import Network

node_numbers = st.integers(1, NODE_MAX)
sequences = st.integers(0, (1 << 64) - 1)
texts = st.binary(min_size=TAG, max_size=PLAIN_MAX + TAG)
unicast = st.sampled_from([kind for kind in PacketKind if kind is not PacketKind.GROUP])


@given(node_numbers, node_numbers, st.integers(0, 0xFFFF), st.integers(0, 255), unicast, sequences, sequences, texts)
def test_frames_are_as_described(
    source: int, target: int, identification: int, version: int, kind: PacketKind, session: int, sequence: int, text: bytes
) -> None:
    header = header_bytes(version, kind, session, sequence)
    frame = encode(source, target, identification, header + text)
    said = formats.FRAME.parse(frame)
    assert formats.FRAME.build(said) == frame
    assert (said.ethernet.source, said.ethernet.target) == (mac_of(source), mac_of(target))
    assert (said.ipv4.source, said.ipv4.target) == (ip_of(source), ip_of(target))
    assert (said.ipv4.total_length, said.ipv4.identification) == (len(frame) - 14, identification)
    assert (said.header.version, int(said.header.kind)) == (version, kind)
    assert (said.header.session, said.header.sequence, said.sealed) == (session, sequence, text)
    if source == target:
        return
    packet = decode(frame + bytes(5), target)
    assert packet[:6] == (source, target, version, kind, session, sequence) and packet.sealed == text
    assert packet.bound == packets.bound_bytes(source, target, header)


def test_addresses_and_checksums_are_those_of_the_rfcs() -> None:
    assert ip_of(0x0203) == bytes((10, 0, 2, 3)) and mac_of(0x0203) == bytes.fromhex("020000020300")
    assert mac_of(GROUP) == bytes.fromhex("01005e4d5358") and ip_of(GROUP) == bytes((239, 77, 83, 88))
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(bytes.fromhex("450000730000400040110000c0a80001c0a800c7")) == 0xB861
    assert checksum(b"\x12\x34\x56") == 0xFFFF - 0x1234 - 0x5600


@pytest.mark.parametrize("node", [-1, NODE_MAX + 1])
def test_a_node_has_a_number_that_fits(node: int) -> None:
    with pytest.raises(ValueError, match="no node"):
        ip_of(node)


def frame_with(place: int, data: bytes) -> bytes:
    """A good frame from node 1 to node 2 with other bytes in one place."""
    frame = encode(1, 2, 1, header_bytes(1, PacketKind.DATA, 5, 6) + bytes(40))
    return frame[:place] + data + frame[place + len(data) :]


def with_ip_checksum(frame: bytes) -> bytes:
    head = frame[14:24] + b"\0\0" + frame[26:34]
    return frame[:24] + struct.pack(">H", checksum(head)) + frame[26:]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "short"),
        (frame_with(0, b"")[:77], "short"),
        (frame_with(12, b"\x86\xdd"), "not IPv4"),
        (frame_with(14, b"\x46"), "without options"),
        (frame_with(20, b"\x20\x00"), "whole"),
        (frame_with(20, b"\x00\x01"), "whole"),
        (frame_with(23, b"\x06"), "UDP"),
        (with_ip_checksum(frame_with(16, b"\x05\xdc")), "length"),
        (with_ip_checksum(frame_with(16, b"\x00\x14")), "length"),
        (frame_with(22, b"\x01"), "IPv4 checksum"),
        (with_ip_checksum(frame_with(26, b"\x0b")), "none of a node"),
        (with_ip_checksum(frame_with(26, b"\x0a\x00\x00\x00")), "none of a node"),
        (with_ip_checksum(frame_with(26, b"\x0a\x00\x00\x02")), "not from a node"),
        (with_ip_checksum(frame_with(29, b"\x03")), "not from a node"),
        (with_ip_checksum(frame_with(33, b"\x03")), "not from a node"),
        (frame_with(0, b"\xff" * 6), "not from a node"),
        (frame_with(34, b"\x00\x35"), "UDP header"),
        (frame_with(38, b"\x00\x09"), "UDP header"),
        (frame_with(40, b"\x00\x00"), "UDP checksum"),
        (frame_with(80, b"\x01"), "UDP checksum"),
        (encode(1, 2, 1, b"XX" + header_bytes(1, PacketKind.DATA, 5, 6)[2:] + bytes(40)), "protocol"),
        (encode(1, 2, 1, b"MX\x01\x09" + bytes(60)), "protocol"),
        (encode(1, 2, 1, header_bytes(1, PacketKind.GROUP, 5, 6) + bytes(40)), "protocol"),
        (encode(1, GROUP, 1, header_bytes(1, PacketKind.DATA, 5, 6) + bytes(40)), "protocol"),
    ],
)
def test_what_is_no_packet_for_us_says_why(frame: bytes, reason: str) -> None:
    with pytest.raises(PacketError, match=reason):
        decode(frame, 2)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_an_error(data: bytes) -> None:
    network = Network(2, 0)
    network.node(2).frame_arrived(data, 0)
    network.node(2).frame_arrived(encode(1, 2, 0, data), 0)
    assert not network.node(2).peers and not network.node(2).inbox


numbers = st.integers(1, (1 << 64) - 1)
fragment_kinds = st.sampled_from([kind for kind in ChunkKind if kind is not ChunkKind.ACKNOWLEDGEMENT])


@given(fragment_kinds, numbers, st.integers(0, 1000), st.integers(0, 0xFFFF_FFFF), st.binary(max_size=1344))
def test_fragments_are_as_described(kind: ChunkKind, number: int, back: int, stream: int, data: bytes) -> None:
    back = min(back, number - 1)
    made = Fragment(number, kind, back, stream, Message(b"ab" + data), 2, 2 + len(data)).data()
    assert formats.CHUNK.build({"kind": kind.name, "body": dict(number=number, back=back, stream=stream, data=data)}) == made
    assert list(chunks_of(made + made)) == [FragmentChunk(kind, number, back, stream, data)] * 2


gaps = st.lists(st.tuples(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF)), max_size=RANGES_MAX)


@given(st.integers(0, 1 << 60), sequences, st.integers(0, 0xFFFF_FFFF), gaps)
def test_acknowledgements_are_as_described(all_up_to: int, latest: int, delay: int, holes: list[tuple[int, int]]) -> None:
    ranges = []
    before = all_up_to
    for gap, length in holes:
        ranges.append((before + gap + 1, before + gap + length))
        before += gap + length
    chunk = AcknowledgementChunk(all_up_to, latest, delay, tuple(ranges))
    made = acknowledgement_bytes(chunk)
    body = {
        "all_up_to": all_up_to,
        "latest": latest,
        "delay": delay,
        "ranges": [{"gap": gap, "length": length} for gap, length in holes],
    }
    assert formats.CHUNK.build({"kind": "ACKNOWLEDGEMENT", "body": body}) == made
    assert list(chunks_of(made)) == [chunk]


@given(st.binary(max_size=100))
def test_any_text_is_chunks_or_an_error(text: bytes) -> None:
    try:
        chunks = list(chunks_of(text))
    except PacketError:
        return
    assert sum(len(chunk.data) for chunk in chunks if isinstance(chunk, FragmentChunk)) <= len(text)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_every_frame(tmp_path: Path) -> None:
    network = Network(3, 4)
    for node in (1, 2, 3):
        network.multicast(node)
        network.send(node, node % 3 + 1, 1, 20_000)
    network.run()
    network.start(2)
    network.send(1, 2, 1)
    network.run()
    capture = tmp_path / "frames.pcap"
    records = [struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in network.frames]
    capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1) + b"".join(records))
    options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    wanted = ["-T", "fields", "-e", "udp.dstport", "-e", "udp.checksum.status", "-e", "ip.checksum.status", "-e", "_ws.malformed"]
    shown = subprocess.run(
        ["tshark", "-n", "-r", str(capture), *options, *wanted], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines() == [f"{UDP_PORT}\t1\t1\t"] * len(network.frames)
