"""Who has recorded all frames and steals the cluster's key later, and what a node's memory adds to that."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.graph import Writer
from masix.transport.events import Drop, PeerUp
from masix.transport.formats import FINISH, HELLO, WELCOME
from masix.transport.packets import KINDS, Packet, PacketError, PacketKind, decode, encode
from masix.transport.session import SIDE, SPLIT, derive, exchange, nonce_of, public_of
from tests.support.network import KEY, SECOND, Network
from tests.support.network_schedules import payload_of

P: Final = (1 << 255) - 19
SMALL_ORDER: Final = [
    place.to_bytes(32, "little")
    for low in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        P - 1,
        P,
        P + 1,
    )
    for place in (low, low | 1 << 255)
]
"""All public keys that X25519 takes for a point of small order."""
STEPS: Final = 4
"""So many bytes of a node's randomness are foretold."""


class Thief:
    """Has the cluster's key and all frames. told: texts of packets outside sessions by kind, with their packets."""

    def __init__(self, frames: list[bytes], key: bytes = KEY) -> None:
        self.key = key
        self.data: list[Packet] = []
        self.told: dict[PacketKind, list[tuple[Packet, bytes]]] = {kind: [] for kind in KINDS.values()}
        for frame in frames:
            packet = self.packet(frame)
            if packet.kind is PacketKind.DATA:
                self.data.append(packet)
            else:
                of_life = derive(key, 32, "incarnation", struct.pack(">IQ", packet.source, packet.session))
                self.told[packet.kind].append((packet, unseal(of_life, packet)))

    @staticmethod
    def packet(frame: bytes) -> Packet:
        for node in (1, 2, 3):
            try:
                return decode(frame, node)
            except PacketError:
                continue
        raise AssertionError("a frame for nobody")

    def read(self, memory: bytes = b"") -> bytes:
        """What was said in sessions, with a node's memory as it is saved: any 32 bytes of it may be a key, of whatever kind."""
        guesses = [memory[place : place + 32] for place in range(len(memory) - 31)]
        keys = list(guesses)
        for packet, text in self.told[PacketKind.FINISH]:
            finish = FINISH.parse(text)
            welcomes = [WELCOME.parse(text) for _, text in self.told[PacketKind.WELCOME]]
            (answer,) = {welcome.public for welcome in welcomes if welcome.nonce == finish.nonce}
            sides = SIDE.pack(packet.source, packet.session, finish.public) + SIDE.pack(packet.target, finish.incarnation, answer)
            for guess in (bytes(32), self.key, finish.public, answer, *guesses):
                for shared in self.shared(guess, packet, finish, answer):
                    found = SPLIT.unpack(derive(self.key + shared, SPLIT.size, "session", sides, bytes((finish.version,))))
                    if found[3] == finish.proof:
                        keys += found[:2]
        texts = []
        for key in (bytes(32), self.key, *keys):
            for packet in self.data:
                with contextlib.suppress(InvalidTag):
                    texts.append(unseal(key, packet))
        return b"".join(texts)

    @staticmethod
    def shared(guess: bytes, packet: Packet, finish: Any, answer: bytes) -> Iterator[bytes]:
        """What a session's exchange may have given, if a guess is that itself, one of its private keys, what the responder made
        its own of, or a seed.
        """
        yield b""
        yield guess
        seed = guess
        privates = [guess]
        for generation in range(3):
            context = struct.pack(">IQQ", packet.source, packet.session, generation)
            privates.append(derive(guess, 32, "answer", context, finish.nonce))
        for _ in range(STEPS):
            privates.append(hashlib.shake_256(seed).digest(32))
            seed = hashlib.sha256(seed).digest()
        for private in privates:
            public = public_of(private)
            if public in (finish.public, answer):
                yield exchange(private, answer if public == finish.public else finish.public)


def unseal(key: bytes, packet: Packet) -> bytes:
    return AESGCM(key).decrypt(nonce_of(packet.sequence), packet.sealed, packet.bound)


def memory(network: Network, node: int) -> bytes:
    return Writer().encode(network.node(node))


def memories() -> tuple[Network, bytes, dict[str, bytes]]:
    """Node 1 begins a session with node 2, sends a message in it, and gives it up, as node 2 does: the memory of both at each
    time, and the message.
    """
    network = Network(2, 0)
    found = {f"{node} before": memory(network, node) for node in (1, 2)}
    network.multicast(2)
    payload = network.send(1, 2, 1)
    network.run(SECOND // 2)
    found |= {f"{node} within": memory(network, node) for node in (1, 2)}
    network.node(1).give_up(2, network.now)
    network.node(2).give_up(1, network.now)
    found |= {f"{node} ended": memory(network, node) for node in (1, 2)}
    network.run()
    assert network.now <= 3 * SECOND
    found |= {f"{node} later": memory(network, node) for node in (1, 2)}
    return network, payload, found


def test_the_clusters_key_opens_what_was_told_all_and_nothing_that_was_said_in_sessions() -> None:
    network, payload, _ = memories()
    thief = Thief(network.frames)
    assert network.life(2).got[0].payload == payload
    assert [text for _, text in thief.told[PacketKind.GROUP]] == network.life(2).told
    assert len(thief.told[PacketKind.FINISH]) == 1 and len(thief.data) >= 3
    assert thief.read() == b""


@pytest.mark.parametrize("whose", ["1 before", "2 before", "1 within", "2 within", "2 ended"])
def test_the_key_opens_a_session_with_what_its_private_keys_are_made_of(whose: str) -> None:
    network, payload, found = memories()
    thief = Thief(network.frames)
    assert payload in thief.read(found[whose])
    with pytest.raises(InvalidTag):
        Thief(network.frames, bytes(32))


@pytest.mark.parametrize("whose", ["1 ended", "1 later", "2 later"])
def test_nothing_in_a_nodes_memory_opens_what_is_over(whose: str) -> None:
    network, _, found = memories()
    assert Thief(network.frames).read(found[whose]) == b""


def answer_to(network: Network, hello: bytes) -> bytes:
    """The public key with which node 2 answers a hello; it remembers nothing but how many packets it sent."""
    transport = network.node(2)
    counts = transport.keyring.sequence, transport.identification
    before = memory(network, 2)
    transport.frame_arrived(hello, network.now)
    sent = transport.keyring.sequence
    frame = transport.outbox.pop()
    transport.keyring.sequence, transport.identification = counts
    assert memory(network, 2) == before
    transport.keyring.sequence = sent
    public: bytes = WELCOME.parse(Thief([frame]).told[PacketKind.WELCOME][0][1]).public
    return public


def test_a_hello_that_comes_again_leaves_nothing_and_gets_the_same_key_until_a_session_has_come_of_it() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    [hello] = network.frames
    first = answer_to(network, hello)
    assert answer_to(network, hello) == first
    network.run(SECOND // 2)
    second = answer_to(network, hello)
    network.run()
    third = answer_to(network, hello)
    network.run()
    assert len({first, second, third}) == 3 and answer_to(network, hello) == third
    assert len(network.life(2).ups) == 1


def test_saving_and_loading_at_each_step_of_a_handshake_changes_nothing() -> None:
    plain, saved = Network(2, 0), Network(2, 0)
    for network in (plain, saved):
        network.send(1, 2, 1)
        network.send(2, 1, 1)
    plain.run()
    while saved.step(3 * SECOND):
        for node in (1, 2):
            saved.reload(node)
    assert plain.frames == saved.frames and all(memory(plain, node) == memory(saved, node) for node in (1, 2))
    assert len(saved.life(1).got) == len(saved.life(2).got) == 1


def test_a_handshake_during_which_the_secret_is_forgotten_begins_anew() -> None:
    network = Network(3, 0)
    network.send(3, 2, 1)
    while not network.life(2).ups:
        network.step(2 * SECOND)
    network.run(SECOND - 120_000)
    frames = len(network.frames)
    network.send(1, 2, 1)
    network.run()
    kinds = [PacketKind(payload_of(frame)[3]) for frame in network.frames[frames:]]
    assert kinds[:7] == [
        PacketKind.HELLO,
        PacketKind.WELCOME,
        PacketKind.FINISH,
        PacketKind.UNKNOWN,
        PacketKind.HELLO,
        PacketKind.WELCOME,
        PacketKind.FINISH,
    ]
    assert len(network.life(2).got) == 2
    network.check(faithful=True)


def told_by(network: Network, source: int, target: int, kind: PacketKind, text: bytes) -> None:
    """A member says what it likes."""
    payload = network.node(source).keyring.seal(target, 1, kind, text)
    network.node(target).frame_arrived(encode(source, target, 0, payload), network.now)


def hostile_finish(network: Network, public: bytes, shared: bytes) -> None:
    """Node 1 asks node 2 and finishes with any public key, and the proof that another exchange would give."""
    life = network.node(1).incarnation
    hello = HELLO.build({"nonce": bytes(16), "lowest": 1, "highest": 1, "age": 0})
    told_by(network, 1, 2, PacketKind.HELLO, hello)
    welcome = WELCOME.parse(Thief([network.node(2).outbox.pop()]).told[PacketKind.WELCOME][0][1])
    sides = SIDE.pack(1, life, public) + SIDE.pack(2, network.node(2).incarnation, welcome.public)
    _, _, identifier, proof = SPLIT.unpack(derive(KEY + shared, SPLIT.size, "session", sides, b"\1"))
    finish = {"nonce": bytes(16), "public": public, "version": 1, "incarnation": network.node(2).incarnation}
    told_by(network, 1, 2, PacketKind.FINISH, FINISH.build(finish | {"session": identifier, "proof": proof, "floor": 1}))


def still_talk(network: Network) -> None:
    network.send(1, 2, 1)
    network.run()
    assert network.life(2).ups == [PeerUp(1, network.node(1).incarnation)] and len(network.life(2).got) == 1
    network.check(faithful=True)


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_a_finish_with_a_public_key_of_small_order_is_refused(public: bytes) -> None:
    network = Network(2, 0)
    hostile_finish(network, public, bytes(32))
    transport = network.node(2)
    assert transport.dropped[Drop.REFUSED] == 1
    assert not (transport.peers or transport.inbox or transport.outbox or transport.timers)
    still_talk(network)


def test_a_finish_with_an_honest_key_and_its_proof_is_taken() -> None:
    """So that what the refused ones lack is the key alone."""
    network = Network(2, 0)
    private = bytes(range(32))
    context = struct.pack(">IQQ", 1, network.node(1).incarnation, 0)
    answer = derive(network.node(2).keyring.secret, 32, "answer", context, bytes(16))
    hostile_finish(network, public_of(private), exchange(private, public_of(answer)))
    assert network.node(2).next_event() == PeerUp(1, network.node(1).incarnation)


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_a_welcome_with_a_public_key_of_small_order_is_refused(public: bytes) -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    peer = network.node(1).peers[2]
    assert peer.handshake is not None
    welcome = {"nonce": peer.handshake.nonce, "public": public, "version": 1, "held": 0, "age": 0, "floor": 1}
    told_by(network, 2, 1, PacketKind.WELCOME, WELCOME.build(welcome))
    assert network.node(1).dropped[Drop.REFUSED] == 1
    assert peer.handshake is not None and peer.handshake.pending is None and peer.incarnation == 0
    assert not network.node(1).outbox
    network.run()
    assert len(network.life(2).got) == 1
    network.check(faithful=True)


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32))
def test_any_public_key_without_its_private_one_opens_nothing(public: bytes) -> None:
    network = Network(2, 0)
    hostile_finish(network, public, bytes(32))
    network.node(2).outbox.clear()
    assert not network.node(2).peers and network.node(2).next_timer() is None
    still_talk(network)


def test_keys_are_agreed_on_as_the_rfc_says() -> None:
    """RFC 7748, section 6.1."""
    first = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    second = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_of(first).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert exchange(first, public_of(second)).hex() == exchange(second, public_of(first)).hex() == shared
