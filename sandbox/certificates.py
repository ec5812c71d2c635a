"""The sandbox's own certificate authority and what it signs.

Owns the files under `tls/`: the authority, the servers' certificates for 127.0.0.1 and localhost, the clients'
certificates with which the sandbox's parts sign in to Kubernetes and etcd, the key of the service accounts, and the
bundle that clients trust (the system's authorities and this one). Everything is made once; a file that is there and
fits the authority is left alone.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.home import Home

_LIFETIME = datetime.timedelta(days=3650)
_LEEWAY = datetime.timedelta(days=1)
_MASTERS = "system:masters"
_SERVERS: dict[str, tuple[str, ...]] = {
    "azure": (),
    "api-server": (),
    "etcd": (),
    "blob": ("*.blob.core.windows.net",),
}
"""Servers to the names they have besides the loopback's."""
_CLIENTS = {
    "admin": ("trainyard-sandbox", _MASTERS),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "etcd-client": ("api-server", None),
}


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM files."""

    cert: Path
    key: Path


def pair(home: Home, name: str) -> Pair:
    """Where a certificate of the sandbox lies.

    Args:
        home: the sandbox.
        name: `azure`, `api-server`, `etcd`, `blob` (servers), `admin`, `controller-manager`, `scheduler`, `etcd-client`
            (clients).
    """
    return Pair(home.tls / f"{name}.crt", home.tls / f"{name}.key")


def service_account_keys(home: Home) -> tuple[Path, Path]:
    """Public and private key of the tokens of Kubernetes' service accounts."""
    return home.tls / "service-accounts.pub", home.tls / "service-accounts.key"


def ensure(home: Home) -> None:
    """Make whatever is missing. The bundle is made anew every time, as the system's authorities may have changed."""
    authority = Pair(home.ca_cert, home.ca_key)
    if not _is_complete(authority):
        _make_authority(authority)
    for name, more_names in _SERVERS.items():
        _ensure_signed(authority, pair(home, name), "127.0.0.1", None, more_names)
    for name, (common_name, organization) in _CLIENTS.items():
        _ensure_signed(authority, pair(home, name), common_name, organization)
    public, private = service_account_keys(home)
    if not (public.exists() and private.exists()):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write(private, _private_pem(key), secret=True)
        public_format = serialization.PublicFormat.SubjectPublicKeyInfo
        _write(public, key.public_key().public_bytes(serialization.Encoding.PEM, public_format))
    _write(home.ca_bundle, _system_bundle(home).rstrip() + b"\n" + home.ca_cert.read_bytes())


def _make_authority(authority: Pair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"trainyard sandbox {os.urandom(4).hex()}")])
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(authority.key, _private_pem(key), secret=True)
    _write(authority.cert, certificate.public_bytes(serialization.Encoding.PEM))


def _ensure_signed(
    authority: Pair, target: Pair, common_name: str, organization: str | None, more_names: tuple[str, ...] = ()
) -> None:
    """Sign a certificate for loopback servers and for clients alike, unless there is one of this authority."""
    issuer = x509.load_pem_x509_certificate(authority.cert.read_bytes())
    if _is_complete(target):
        existing = x509.load_pem_x509_certificate(target.cert.read_bytes())
        if existing.issuer == issuer.subject:
            return
    signing_key = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority.key} is not the key this sandbox made: run `make down`, then `make up`")
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    names = [x509.DNSName(name) for name in ("localhost", *more_names)]
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *names]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(x509.Name(attributes), issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    _write(target.key, _private_pem(key), secret=True)
    _write(target.cert, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _is_complete(files: Pair) -> bool:
    """Whether both files are there: the certificate is written last."""
    return files.cert.exists() and files.key.exists()


def _write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a file whole or not at all; a secret one is never readable by others."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
        file.write(content)
    partial.replace(path)


def _system_bundle(home: Home) -> bytes:
    """The authorities trusted outside the sandbox: the caller's bundle, else the system's, else none."""
    candidates = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    candidates.append(ssl.get_default_verify_paths().cafile)
    for candidate in candidates:
        if candidate and not _is_a_sandbox_bundle(Path(candidate), home) and Path(candidate).is_file():
            return Path(candidate).read_bytes()
    return b""


def _is_a_sandbox_bundle(path: Path, home: Home) -> bool:
    return path == home.ca_bundle or (path.parent.parent / "sandbox.json").exists()


def opener(home: Home, name: str) -> urllib.request.OpenerDirector:
    """Speaks to the control plane with the certificate of that name, past any proxy."""
    signed_in = pair(home, name)
    context = ssl.create_default_context(cafile=str(home.ca_cert))
    context.load_cert_chain(signed_in.cert, signed_in.key)
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
