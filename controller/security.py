"""Who may talk to the controller: CURVE keys on the wire, a bearer token over HTTP."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from ..inference.address import Address
from ..inference.curve import ENGINE, SERVER, load_pair

TOKEN_VARIABLE: Final = "FLYBALL_TOKEN"  # noqa: S105 - its name, not the token
TOKEN_LENGTH: Final = 16
"""Fewest characters of a token."""

_DOMAIN: Final = "flyball"


def make_keys(directory: Path) -> tuple[Path, ...]:
    """Make the key pairs of the controller and of its engines.

    Returns:
        The files, none of them readable by others.

    Raises:
        ValueError: if the folder already holds keys, which are never overwritten, or cannot be
            written.
    """
    names = [f"{who}.{kind}" for who in (SERVER, ENGINE) for kind in ("key", "key_secret")]
    files = tuple(directory / name for name in names)
    for file in files:
        if file.exists():
            raise ValueError(f"{file} exists; give a folder without keys")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = os.umask(0o077)
        try:
            for who in (SERVER, ENGINE):
                zmq.auth.create_certificates(directory, who)
        finally:
            os.umask(before)
        for file in files:
            file.chmod(0o600)
    except OSError as e:
        raise ValueError(f"cannot write keys to {directory}: {e.strerror}") from None
    return files


@dataclass(frozen=True)
class ServerKeys:
    """The controller's key pair and the public keys that may connect to it."""

    public: bytes
    secret: bytes
    allowed: frozenset[bytes]

    @classmethod
    def load(cls, directory: Path) -> ServerKeys:
        """From a folder of ``make_keys``; every ``*.key`` in it but the server's may connect.

        Raises:
            ValueError: saying what is missing.
        """
        public, secret = load_pair(directory, SERVER)
        files = sorted(f for f in directory.glob("*.key") if f.stem != SERVER)
        if not files:
            raise ValueError(f"{directory} holds no engine's key (engine.key); see `flyball keys`")
        try:
            allowed = frozenset(zmq.auth.load_certificate(file)[0] for file in files)
        except (OSError, ValueError) as e:
            raise ValueError(f"cannot read the keys in {directory}: {e}") from None
        return cls(public, secret, allowed)

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002 - ZAP's signature
        """Whether a client's public key, in Z85, may connect."""
        return key in self.allowed

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Let only clients with an allowed key connect to a socket; call before it is bound."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, _DOMAIN)

    def authenticator(self, context: zmq.Context[Any]) -> ThreadAuthenticator:
        """The running thread that checks keys for a context."""
        guard = ThreadAuthenticator(context)
        guard.start()
        guard.configure_curve_callback(_DOMAIN, credentials_provider=self)
        return guard


def load_token(file: Path | None) -> str | None:
    """The bearer token, from a file or else from ``FLYBALL_TOKEN``; None where there is none.

    Raises:
        ValueError: if it cannot be read or is too weak.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    source = TOKEN_VARIABLE
    if file is not None:
        source = str(file)
        try:
            token = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise ValueError(f"cannot read the token file {file}: {e}") from None
    if not token and file is None:
        return None
    if len(token) < TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"the token in {source} must be {TOKEN_LENGTH} or more printable ASCII characters "
            f"without spaces, for example {secrets.token_urlsafe(24)}"
        )
    return token


def token_matches(header: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header carries the token."""
    given = (header or "").encode("utf-8", "replace")
    return hmac.compare_digest(given, f"Bearer {token}".encode())


def check_exposure(wire: Address, http: Address, keys: object, token: str | None) -> None:
    """Refuse to listen beyond loopback unguarded.

    Raises:
        ValueError: saying what is missing.
    """
    beyond = [f"{a.host}:{a.port}" for a in (wire, http) if not a.is_loopback]
    if not beyond:
        return
    missing = [
        name
        for name, there in (
            ("CURVE keys (--keys DIR, made by `flyball keys DIR`)", keys is not None),
            (f"a token (--token-file FILE or {TOKEN_VARIABLE})", token is not None),
        )
        if not there
    ]
    if missing:
        raise ValueError(
            f"{' and '.join(beyond)} can be reached from other machines: that needs "
            f"{' and '.join(missing)}; or listen on 127.0.0.1"
        )
