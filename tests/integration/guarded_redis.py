"""A Redis with TLS alone, and a user with a password for each process."""

import datetime as dt
import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.stack import find_free_ports
from tests.fixtures_cluster import wait_until

ROOT = Path(__file__).parent.parent.parent
ACL = ROOT / "deploy" / "redis-users.acl"


def make_certificates(folder: Path) -> None:
    """An authority, `ca.pem`, and what it signed for the loopback: `server.pem`, `server.key`."""
    now = dt.datetime.now(dt.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of our own")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])

    def sign(name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> bytes:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        )
        signed = builder.sign(authority_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(sign(authority, authority_key, is_authority=True))
    (folder / "server.pem").write_bytes(sign(server, server_key, is_authority=False))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class GuardedRedis:
    """Started from `deploy/redis-users.acl`, its passwords replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self.port,) = find_free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ca_file(self) -> str:
        """The authority's certificate."""
        return os.fspath(self._folder / "ca.pem")

    def password(self, user: str) -> str:
        """One that is not to be seen anywhere."""
        return f"word-of-{user}-{self.port}"

    def url(self, user: str) -> str:
        """The address for a user, as REDIS_URL."""
        return f"rediss://{user}:{self.password(user)}@127.0.0.1:{self.port}/0"

    def connect(self, user: str) -> Any:
        """A client."""
        return redis.Redis.from_url(
            self.url(user), ssl_ca_certs=self.ca_file, decode_responses=True
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        make_certificates(self._folder)
        text = ACL.read_text().replace(">REPLACE-", ">word-of-")
        lines = [
            " ".join(
                f"{word}-{self.port}" if word.startswith(">") else word for word in one.split()
            )
            for one in text.splitlines()
        ]
        (self._folder / "users.acl").write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [
                "redis-server", "--port", "0", "--tls-port", str(self.port),
                "--bind", "127.0.0.1", "--dir", os.fspath(self._folder),
                "--tls-cert-file", "server.pem", "--tls-key-file", "server.key",
                "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no",
                "--aclfile", os.fspath(self._folder / "users.acl"),
                "--appendonly", "yes", "--appendfsync", "no", "--save", "",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.poll() is None
        wait_until(self._answers, "redis-server answers over TLS")

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with self.connect("admin") as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
