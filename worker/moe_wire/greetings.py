"""How the three messages of the handshake are laid out, and which of their bytes a proof covers."""

import struct

from moe_wire.fields import Reader, pack_bytes, pack_text
from moe_wire.messages import Challenge, Hello, Welcome

_VERSION = struct.Struct("<I")
_WHO = struct.Struct("<iQQ")
_REPLICA = struct.Struct("<i")


def pack_challenge(message: Challenge) -> bytes:
    return pack_bytes(message.nonce)


def unpack_challenge(header: memoryview, _: memoryview) -> Challenge:
    reader = Reader(header)
    message = Challenge(reader.bytes())
    reader.end()
    return message


def hello_claims(message: Hello) -> bytes:
    """Everything a Hello says except its proof. The version comes first, so that any version can read it."""
    return b"".join(
        [
            _VERSION.pack(message.version),
            pack_text(message.kind),
            pack_text(message.deployment),
            _REPLICA.pack(message.replica),
            _WHO.pack(message.rank, message.incarnation, message.epoch),
            pack_text(message.pod_uid),
            pack_bytes(message.nonce),
        ]
    )


def pack_hello(message: Hello) -> bytes:
    return hello_claims(message) + pack_bytes(message.proof)


def unpack_hello(header: memoryview, _: memoryview) -> Hello:
    reader = Reader(header)
    (version,) = reader.take(_VERSION)
    kind, deployment = reader.text(), reader.text()
    (replica,) = reader.take(_REPLICA)
    rank, incarnation, epoch = reader.take(_WHO)
    pod_uid, nonce, proof = reader.text(), reader.bytes(), reader.bytes()
    reader.end()
    return Hello(version, kind, deployment, replica, rank, pod_uid, incarnation, epoch, nonce, proof)


def welcome_claims(message: Welcome) -> bytes:
    """Everything a Welcome says except its proof."""
    return _WHO.pack(message.rank, message.incarnation, message.epoch) + pack_text(message.pod_uid)


def pack_welcome(message: Welcome) -> bytes:
    return welcome_claims(message) + pack_bytes(message.proof)


def unpack_welcome(header: memoryview, _: memoryview) -> Welcome:
    reader = Reader(header)
    rank, incarnation, epoch = reader.take(_WHO)
    pod_uid, proof = reader.text(), reader.bytes()
    reader.end()
    return Welcome(rank, pod_uid, incarnation, epoch, proof)
