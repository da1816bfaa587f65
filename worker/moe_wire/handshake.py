"""Who is there: the acceptor challenges, the dialler says Hello, the acceptor answers Welcome; both prove the secret.

Pure: nonces and the secret are handed in. Whether the layout names the peer is judged by the caller, which has the
view.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, replace

from moe_wire.errors import HandshakeError
from moe_wire.greetings import hello_claims, welcome_claims
from moe_wire.messages import WIRE_VERSION, Challenge, Hello, Welcome

NONCE_BYTES = 32
GATEWAY_RANK = -1
MIN_KEY_BYTES = 16
NEW_SECRET = "delete the Secret, the operator makes a new one"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process of a deployment. A gateway's rank is -1."""

    kind: str
    deployment: str
    replica: int
    rank: int
    pod_uid: str
    incarnation: int


def read_secret(text: bytes) -> bytes:
    """The key file's contents, base64url text, to the key."""
    try:
        key = base64.urlsafe_b64decode(text.strip())
    except (binascii.Error, ValueError) as error:
        raise HandshakeError(f"the data path's key is not base64url text ({error}); {NEW_SECRET}") from error
    if len(key) < MIN_KEY_BYTES:
        raise HandshakeError(
            f"the data path's key has {len(key)} bytes, at least {MIN_KEY_BYTES} are needed; {NEW_SECRET}"
        )
    return key


def make_hello(secret: bytes, who: Identity, epoch: int, challenge: Challenge, nonce: bytes) -> Hello:
    """`nonce` is the dialler's own and must never have been used before."""
    _check_nonce(challenge.nonce)
    hello = Hello(
        WIRE_VERSION, who.kind, who.deployment, who.replica, who.rank, who.pod_uid, who.incarnation, epoch, nonce, b""
    )
    return replace(hello, proof=_prove(secret, b"hello", challenge.nonce, hello_claims(hello)))


def judge_hello(secret: bytes, own: Identity, challenge: Challenge, hello: Hello) -> None:
    """Raises HandshakeError unless the dialler belongs to our replica and knows the secret."""
    if hello.version != WIRE_VERSION:
        raise HandshakeError(
            f"wire version {hello.version} meets version {WIRE_VERSION}; run one image in all pods of a deployment"
        )
    _check_nonce(hello.nonce)
    if not hmac.compare_digest(hello.proof, _prove(secret, b"hello", challenge.nonce, hello_claims(hello))):
        raise HandshakeError("a dialler that does not know the deployment's secret")
    if (hello.deployment, hello.replica) != (own.deployment, own.replica):
        raise HandshakeError(
            f"a dialler of {hello.deployment} replica {hello.replica} at {own.deployment} replica {own.replica}"
        )
    if hello.kind not in ("rank", "gateway") or (hello.kind == "gateway") != (hello.rank == GATEWAY_RANK):
        rule = f"a rank has a number from 0, a gateway {GATEWAY_RANK}"
        raise HandshakeError(f"kind {hello.kind!r} with rank {hello.rank}; {rule}")


def make_welcome(secret: bytes, own: Identity, epoch: int, hello: Hello) -> Welcome:
    welcome = Welcome(own.rank, own.pod_uid, own.incarnation, epoch, b"")
    return replace(welcome, proof=_prove(secret, b"welcome", hello.nonce, welcome_claims(welcome)))


def judge_welcome(secret: bytes, hello: Hello, welcome: Welcome, rank: int, pod_uid: str) -> None:
    """Raises HandshakeError unless it is the acceptor that was meant (`rank` in pod `pod_uid`) and it knows the
    secret.
    """
    if not hmac.compare_digest(welcome.proof, _prove(secret, b"welcome", hello.nonce, welcome_claims(welcome))):
        raise HandshakeError("an acceptor that does not know the deployment's secret")
    if (welcome.rank, welcome.pod_uid) != (rank, pod_uid):
        found = f"rank {welcome.rank} of pod {welcome.pod_uid}"
        raise HandshakeError(f"{found} answers where rank {rank} of pod {pod_uid} was dialled")


def _prove(secret: bytes, role: bytes, nonce: bytes, claims: bytes) -> bytes:
    return hmac.digest(secret, role + nonce + claims, "sha256")


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise HandshakeError(f"a nonce of {len(nonce)} bytes; {NONCE_BYTES} are needed")
