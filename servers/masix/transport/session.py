"""Keys: who may speak, with which keys two nodes seal what they say, and what is refused because it was there before.

All nodes of a cluster hold one key, given by the operator: who holds it is a member, and members trust each other. From it come

- a key for each incarnation of a node (from its start to its end), for what it says outside a session: hellos, their answers, and
  its multicasts. HKDF(cluster key, node, incarnation);
- together with what a Diffie-Hellman exchange of that session gives, two keys for each session, one a direction.

Who steals the cluster's key therefore reads multicasts, but not what was said in sessions: that takes one of the session's
private keys, too. The initiator's is gone as soon as the keys are made. The responder's is not remembered but made again when it
is needed, of a secret: a hello costs its receiver no memory, whoever sent it however often. Once sessions have come of it, the
secret gives way to another.

A sequence number, the nonce of AES-256-GCM, never comes twice under one key.

Sources: RFC 5869 (HKDF), RFC 7748 (X25519), RFC 5116 and NIST SP 800-38D (AES-GCM), RFC 4303 section 3.4.3 (windows against
replay).
"""

from __future__ import annotations

import hmac
import struct
from typing import Annotated, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from machemu.sim.state import U8, U64, Range, Size, state
from masix.net.ip import NodeNumber
from masix.transport.packets import Packet, PacketKind, bound_bytes, header_bytes

KEY_SIZE: Final = 32
Key = Annotated[bytes, Size(KEY_SIZE, KEY_SIZE)]
NONCE_SIZE: Final = 16
Nonce = Annotated[bytes, Size(NONCE_SIZE, NONCE_SIZE)]
PROOF_SIZE: Final = 16
WINDOW: Final = 1024
"""Sequence numbers behind the highest one that may still come, once."""
CIPHERS_MAX: Final = 256
"""Ciphers of other nodes' incarnations that are kept ready."""
INCARNATION_SIZE: Final = 8
SIDE: Final = struct.Struct(f">IQ{KEY_SIZE}s")
SPLIT: Final = struct.Struct(f">{KEY_SIZE}s{KEY_SIZE}sQ{PROOF_SIZE}s")


class Randomness(Protocol):
    """Where nonces and private keys come from: saved state, from which no way leads back to what was taken, and never the same
    bytes for two incarnations of a node.
    """

    def take(self, size: int) -> bytes:
        """So many bytes. None of them goes on the wire as it is."""


class Refused(Exception):
    """A packet's seal is not that of who it says it is from, or the packet was there before, or its public key is worthless."""


def derive(key: bytes, size: int, label: str, *context: bytes) -> bytes:
    """`size` bytes from a key, others for each label and context. The context's parts have fixed sizes."""
    return HKDF(SHA256(), size, None, b"masix gns " + label.encode() + b"\0" + b"".join(context)).derive(key)


def public_of(private: bytes) -> bytes:
    """The public key of a private one, both KEY_SIZE bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchange(private: bytes, public: bytes) -> bytes:
    """What two sides share, each with its private and the other's public key. Refused for a public key of small order, with which
    all private keys give the same.
    """
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("its public key hides nothing") from None


def nonce_of(sequence: int) -> bytes:
    """AES-GCM's nonce of a packet."""
    return sequence.to_bytes(12, "big")


@state
class ReplayWindow:
    """highest: of the sequence numbers that came. seen: bit n is set if highest - n came."""

    __slots__ = ("highest", "seen")
    highest: int
    seen: Annotated[int, Range(0, (1 << WINDOW) - 1)]

    def __init__(self, floor: int = 1) -> None:
        """floor: the first that may come."""
        self.highest = max(floor - 1, 0)
        self.seen = (1 << WINDOW) - 1

    def is_new(self, sequence: int) -> bool:
        """Whether it may still come. Sequence numbers start at 1."""
        behind = self.highest - sequence
        return behind < 0 or (behind < WINDOW and not self.seen >> behind & 1)

    def add(self, sequence: int) -> None:
        """Enters one that is new."""
        behind = self.highest - sequence
        if behind >= 0:
            self.seen |= 1 << behind
        else:
            self.seen = (self.seen << -behind | 1) & ((1 << WINDOW) - 1) if -behind < WINDOW else 1
            self.highest = sequence


class Side(NamedTuple):
    """One of two that begin a session. public: the key that it made for this alone."""

    node: NodeNumber
    incarnation: U64
    public: bytes


class SessionKeys(NamedTuple):
    """initiator, responder: with which each of them seals. identifier: not 0. proof: what the initiator shows to finish."""

    initiator: bytes
    responder: bytes
    identifier: U64
    proof: bytes


@state
class Session:
    """Two incarnations talk."""

    __slots__ = (
        "own", "node", "incarnation", "version", "identifier", "seal_key", "open_key", "sequence", "window", "sealer", "opener",
    )  # fmt: skip
    TRANSIENT = ("sealer", "opener")
    own: NodeNumber  # this node
    node: NodeNumber  # the other one, as is the next
    incarnation: U64
    version: U8  # the protocol's
    identifier: U64
    sequence: int  # that of the packet sent last
    window: ReplayWindow  # of those that came

    # Keys:
    seal_key: Key
    open_key: Key
    sealer: AESGCM  # made from them, as is the next; transient
    opener: AESGCM

    def __init__(self, own: int, node: int, incarnation: int, version: int, keys: SessionKeys, initiator: bool) -> None:
        self.own = own
        self.node = node
        self.incarnation = incarnation
        self.version = version
        self.identifier = keys.identifier
        self.seal_key, self.open_key = (keys.initiator, keys.responder) if initiator else (keys.responder, keys.initiator)
        self.sequence = 0
        self.window = ReplayWindow()
        self.attach()

    def attach(self) -> None:
        self.sealer = AESGCM(self.seal_key)
        self.opener = AESGCM(self.open_key)

    def seal(self, text: bytes) -> bytes:
        """The header and the sealed text of the next packet."""
        self.sequence += 1
        header = header_bytes(self.version, PacketKind.DATA, self.identifier, self.sequence)
        return header + self.sealer.encrypt(nonce_of(self.sequence), text, bound_bytes(self.own, self.node, header))

    def open(self, packet: Packet) -> bytes:
        """A packet's text, once. Refused for what was there before or was not sealed for this session; nothing changes then."""
        if packet.version != self.version or not self.window.is_new(packet.sequence):
            raise Refused("it was there before")
        try:
            text = self.opener.decrypt(nonce_of(packet.sequence), packet.sealed, packet.bound)
        except InvalidTag:
            raise Refused("its seal is broken") from None
        self.window.add(packet.sequence)
        return text


@state
class Keyring:
    """What a node can seal and open outside sessions."""

    __slots__ = ("key", "node", "incarnation", "secret", "sequence", "sealer", "others")
    TRANSIENT = ("sealer", "others")
    key: Key  # the cluster's
    node: NodeNumber  # this one, as is the next
    incarnation: U64
    secret: Key  # what the private keys are made of with which hellos are answered; known to this incarnation alone
    sequence: int  # of the last packet

    # Transient:
    sealer: AESGCM
    others: dict[tuple[int, int], AESGCM]  # ciphers of (node, incarnation), those used last at the end

    def __init__(self, key: bytes, node: int, randomness: Randomness) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a cluster's key has {KEY_SIZE} bytes, not {len(key)}")
        self.key = key
        self.node = node
        self.incarnation = int.from_bytes(derive(key, INCARNATION_SIZE, "birth", randomness.take(KEY_SIZE)), "big") or 1
        self.secret = randomness.take(KEY_SIZE)
        self.sequence = 0
        self.attach()

    def attach(self) -> None:
        self.sealer = self._cipher(self.node, self.incarnation)
        self.others = {}

    def _cipher(self, node: int, incarnation: int) -> AESGCM:
        return AESGCM(derive(self.key, KEY_SIZE, "incarnation", struct.pack(">IQ", node, incarnation)))

    def seal(self, target: int, version: int, kind: PacketKind, text: bytes) -> bytes:
        """The header and the sealed text of a packet to a node or GROUP."""
        self.sequence += 1
        header = header_bytes(version, kind, self.incarnation, self.sequence)
        return header + self.sealer.encrypt(nonce_of(self.sequence), text, bound_bytes(self.node, target, header))

    def open(self, packet: Packet) -> bytes:
        """The text of a member's packet outside sessions. It may be old: only a nonce of one's own in it shows that it is not."""
        name = packet.source, packet.session
        cipher = self.others.pop(name, None) or self._cipher(*name)
        try:
            text = cipher.decrypt(nonce_of(packet.sequence), packet.sealed, packet.bound)
        except InvalidTag:
            raise Refused("its seal is broken") from None
        self.others[name] = cipher
        if len(self.others) > CIPHERS_MAX:
            del self.others[next(iter(self.others))]
        return text

    def answer(self, node: int, incarnation: int, nonce: bytes, generation: int) -> bytes:
        """The private key that answers a hello. generation: changes when old answers shall be worth nothing."""
        context = struct.pack(">IQQ", node, incarnation, generation)
        return derive(self.secret, KEY_SIZE, "answer", context, nonce)

    def session_keys(self, private: bytes, initiator: Side, responder: Side, version: int) -> SessionKeys:
        """The keys between two, equal on both sides. private: of this side's public key. Refused as by `exchange`."""
        shared = exchange(private, (responder if initiator.node == self.node else initiator).public)
        context = SIDE.pack(*initiator) + SIDE.pack(*responder) + bytes((version,))
        first, second, identifier, proof = SPLIT.unpack(derive(self.key + shared, SPLIT.size, "session", context))
        return SessionKeys(first, second, identifier or 1, proof)


def same(given: bytes, wanted: bytes) -> bool:
    """Compares secrets in a time that tells nothing."""
    return hmac.compare_digest(given, wanted)
