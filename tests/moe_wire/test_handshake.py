"""A peer is believed only when it proves the secret over this connection's nonce, and only for what it claims."""

from dataclasses import replace

import pytest

from moe_wire.errors import HandshakeError
from moe_wire.handshake import Identity, judge_hello, judge_welcome, make_hello, make_welcome, read_secret
from moe_wire.messages import Challenge, Hello

SECRET = b"s" * 32
ACCEPTOR = Identity(kind="rank", deployment="d", replica=0, rank=1, pod_uid="uid-1", incarnation=7)
DIALLER = Identity(kind="rank", deployment="d", replica=0, rank=2, pod_uid="uid-2", incarnation=3)
CHALLENGE = Challenge(b"c" * 32)
NONCE = b"n" * 32


def hello() -> Hello:
    return make_hello(SECRET, DIALLER, 5, CHALLENGE, NONCE)


def test_both_sides_believe_each_other() -> None:
    judge_hello(SECRET, ACCEPTOR, CHALLENGE, hello())
    judge_welcome(SECRET, hello(), make_welcome(SECRET, ACCEPTOR, 5, hello()), 1, "uid-1")


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 4}, {"pod_uid": "uid-9"}, {"incarnation": 4}, {"epoch": 6}, {"replica": 1}, {"deployment": "e"},
        {"kind": "gateway"}, {"nonce": b"m" * 32}, {"proof": b""},
    ],
)  # fmt: skip
def test_no_claim_can_be_changed_on_the_way(change: dict[str, object]) -> None:
    with pytest.raises(HandshakeError, match="does not know the deployment's secret"):
        judge_hello(SECRET, ACCEPTOR, CHALLENGE, replace(hello(), **change))  # type: ignore[arg-type]  # any field


def test_a_wrong_secret_is_refused_on_either_side() -> None:
    with pytest.raises(HandshakeError):
        judge_hello(b"other", ACCEPTOR, CHALLENGE, hello())
    with pytest.raises(HandshakeError):
        judge_welcome(SECRET, hello(), make_welcome(b"other", ACCEPTOR, 5, hello()), 1, "uid-1")


def test_a_recorded_hello_is_worthless_on_another_connection() -> None:
    with pytest.raises(HandshakeError):
        judge_hello(SECRET, ACCEPTOR, Challenge(b"d" * 32), hello())


def test_a_hello_sent_back_is_no_welcome() -> None:
    mirrored = replace(make_welcome(SECRET, ACCEPTOR, 5, hello()), proof=hello().proof)
    with pytest.raises(HandshakeError):
        judge_welcome(SECRET, hello(), mirrored, 1, "uid-1")


def test_another_pod_at_the_address_is_not_the_one_that_was_dialled() -> None:
    with pytest.raises(HandshakeError, match=r"rank 1 of pod uid-1 answers where rank 1 of pod uid-0 was dialled"):
        judge_welcome(SECRET, hello(), make_welcome(SECRET, ACCEPTOR, 5, hello()), 1, "uid-0")


def test_another_version_another_deployment_and_an_odd_kind_are_named() -> None:
    with pytest.raises(HandshakeError, match="wire version 5"):
        judge_hello(SECRET, ACCEPTOR, CHALLENGE, replace(hello(), version=5))
    stranger = make_hello(SECRET, replace(DIALLER, deployment="e"), 5, CHALLENGE, NONCE)
    with pytest.raises(HandshakeError, match="a dialler of e replica 0"):
        judge_hello(SECRET, ACCEPTOR, CHALLENGE, stranger)
    odd = make_hello(SECRET, replace(DIALLER, kind="gateway"), 5, CHALLENGE, NONCE)
    with pytest.raises(HandshakeError, match="a gateway -1"):
        judge_hello(SECRET, ACCEPTOR, CHALLENGE, odd)


def test_a_key_that_is_short_or_no_base64_is_refused() -> None:
    assert read_secret(b"c3Nzc3Nzc3Nzc3Nzc3Nzcw==\n") == b"s" * 16
    with pytest.raises(HandshakeError, match="at least 16"):
        read_secret(b"c3M=")
    with pytest.raises(HandshakeError, match="not base64url"):
        read_secret(b"abc")
