"""CURVE keys of the wire: what an engine or a client needs to talk to a guarded controller.

A folder of keys, made by ``flyball keys DIR``, holds the pairs ``server`` and ``engine``: each a
``.key`` (public) and a ``.key_secret``. Engines need all of them but ``server.key_secret``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import zmq
import zmq.auth

SERVER: Final = "server"
ENGINE: Final = "engine"
KEYS_VARIABLE: Final = "FLYBALL_KEYS"
"""Environment variable that names an engine's folder of keys."""


def keys_from_environment() -> Path | None:
    """The folder that ``FLYBALL_KEYS`` names; None where it names none."""
    name = os.environ.get(KEYS_VARIABLE, "")
    return Path(name) if name else None


def load_public(directory: Path, name: str) -> bytes:
    """A public key from ``DIRECTORY/NAME.key``.

    Raises:
        ValueError: saying what is missing.
    """
    return _load(directory / f"{name}.key")[0]


def load_pair(directory: Path, name: str) -> tuple[bytes, bytes]:
    """A public and a secret key from ``DIRECTORY/NAME.key_secret``.

    Raises:
        ValueError: saying what is missing.
    """
    file = directory / f"{name}.key_secret"
    public, secret = _load(file)
    if secret is None:
        raise ValueError(f"{file} holds no secret key; `flyball keys DIR` makes a folder of keys")
    return public, secret


def secure_client(socket: zmq.Socket[bytes], directory: Path | None) -> None:
    """Give a socket the keys with which it may connect; without a folder it stays as it is.

    Raises:
        ValueError: if the folder does not hold them.
    """
    if directory is None:
        return
    server = load_public(directory, SERVER)
    public, secret = load_pair(directory, ENGINE)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)


def _load(file: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(file)
    except (OSError, ValueError) as e:
        raise ValueError(
            f"cannot read the key {file}: {e}; `flyball keys DIR` makes a folder of keys"
        ) from None
