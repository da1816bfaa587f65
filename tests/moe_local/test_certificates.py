from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest

from moe_local.certificates import write_all
from moe_local.state import State


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    one = State(tmp_path_factory.mktemp("pki") / "with space")
    one.create()
    write_all(one, "https://127.0.0.1:6443")
    return one


def handshake(state: State, client_file: str | None) -> str:
    """The subject that a server of the cluster sees, in a real handshake."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(state.pki / "ca.crt"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(state.pki / "server.crt", state.pki / "server.key")
    client = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
    if client_file:
        client.load_cert_chain(state.pki / f"{client_file}.crt", state.pki / f"{client_file}.key")
    ours, theirs = socket.socketpair()

    def dial() -> None:
        try:
            with client.wrap_socket(theirs, server_hostname="127.0.0.1") as connection:
                connection.recv(1)
        except OSError:
            theirs.close()

    dialling = threading.Thread(target=dial)
    dialling.start()
    try:
        with server.wrap_socket(ours, server_side=True) as connection:
            subject = connection.getpeercert()["subject"]  # type: ignore[index]
            connection.send(b"x")
            return "/".join(value for part in subject for _, value in part)
    finally:
        ours.close()
        dialling.join()


def test_the_admin_is_known_to_the_servers(state: State) -> None:
    assert handshake(state, "admin") == "system:masters/moe-local-admin"


def test_a_client_without_a_certificate_is_refused(state: State) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(state, None)


def test_a_certificate_of_another_cluster_is_refused(state: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    other.create()
    write_all(other, "https://127.0.0.1:6443")
    for suffix in ("crt", "key"):
        (other.pki / f"admin.{suffix}").rename(state.pki / f"foreign.{suffix}")
    with pytest.raises(ssl.SSLError):
        handshake(state, "foreign")


def test_keys_are_closed_to_others_and_the_kubeconfig_names_files_that_exist(state: State) -> None:
    assert all(path.stat().st_mode & 0o077 == 0 for path in state.pki.glob("*.key"))
    config = json.loads(state.kubeconfig.read_text())
    assert Path(config["users"][0]["user"]["client-key"]).exists()
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"


def test_certificates_are_valid_now(state: State) -> None:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate((state.pki / "server.crt").read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    assert certificate.not_valid_before_utc < now < certificate.not_valid_after_utc
