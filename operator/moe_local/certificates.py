"""The cluster's own certificate authority, its certificates, the service account key and the kubeconfig.

Everything is made once per cluster and lives as long as its state folder.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from moe_local.state import State, write_atomically

LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(hours=1)

# file name -> (common name, organization); system:masters may do anything, as kubeadm's admin.conf may.
CLIENTS = {
    "admin": ("moe-local-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", "system:masters"),
    "scheduler": ("system:kube-scheduler", "system:masters"),
    "nodes": ("moe-local-nodes", "system:masters"),
    "kubelet-client": ("kube-apiserver-kubelet-client", "moe-local"),
    "etcd-client": ("kube-apiserver-etcd-client", "moe-local"),
    "front-proxy": ("front-proxy-client", "moe-local"),
}


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate authority that signs for this cluster only."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, name: str, now: datetime.datetime) -> Authority:
        """A new self-signed authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key, now)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return cls(key=key, certificate=builder.sign(key, hashes.SHA256()))

    def sign(
        self, key: ec.EllipticCurvePrivateKey, name: str, group: str, addresses: tuple[str, ...], now: datetime.datetime
    ) -> x509.Certificate:
        """A certificate for clients, and for servers at the addresses."""
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        builder = _builder(subject, self.certificate.subject, key, now)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * bool(addresses)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName(_names(addresses)), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def write_all(state: State, server: str) -> None:
    """Makes every file of the folder `pki` and the kubeconfigs of the clients; `server` is the API server's URL."""
    now = datetime.datetime.now(datetime.UTC)
    authority = Authority.create(f"moe-local-{os.getpid()}-{int(now.timestamp())}", now)
    _write_certificate(state.pki / "ca.crt", authority.certificate)
    _issue(state, authority, "server", ("moe-local-server", "moe-local"), ("127.0.0.1", "localhost", "kubernetes"), now)
    for file, subject in CLIENTS.items():
        _issue(state, authority, file, subject, (), now)
        write_kubeconfig(state, state.pki / f"{file}.kubeconfig", file, server)
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write_key(state.pki / "service-accounts.key", signer)
    write_kubeconfig(state, state.kubeconfig, "admin", server)


def write_kubeconfig(state: State, path: Path, client: str, server: str) -> None:
    """A kubeconfig that names the certificate files of one client (JSON, which is YAML, so that any path is quoted)."""
    pki = str(state.pki)
    cluster = {"server": server, "certificate-authority": f"{pki}/ca.crt"}
    user = {"client-certificate": f"{pki}/{client}.crt", "client-key": f"{pki}/{client}.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "moe-local",
        "clusters": [{"name": "moe-local", "cluster": cluster}],
        "users": [{"name": client, "user": user}],
        "contexts": [{"name": "moe-local", "context": {"cluster": "moe-local", "user": client}}],
    }
    write_atomically(path, json.dumps(config, indent=2).encode())


def _issue(
    state: State,
    authority: Authority,
    file: str,
    subject: tuple[str, str],
    addresses: tuple[str, ...],
    now: datetime.datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(state.pki / f"{file}.key", key)
    _write_certificate(state.pki / f"{file}.crt", authority.sign(key, *subject, addresses, now))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(addresses: tuple[str, ...]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for address in addresses:
        if address[0].isdigit():
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        else:
            names.append(x509.DNSName(address))
    return names


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_atomically(path, key.private_bytes(encoding, form, serialization.NoEncryption()))


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_atomically(path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
