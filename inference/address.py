"""Addresses of controllers: a host, and the first of the three ports it listens on."""

from __future__ import annotations

import ipaddress
from typing import Final

import msgspec

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:5757"


class Address(msgspec.Struct, frozen=True):
    """Where a controller listens: a host and the first of three ports."""

    host: str
    port: int

    @property
    def reports(self) -> str:
        """Where engines push reports and beats."""
        return f"tcp://{self._host}:{self.port}"

    @property
    def broadcast(self) -> str:
        """Where the controller publishes snapshots and settings."""
        return f"tcp://{self._host}:{self.port + 1}"

    @property
    def commands(self) -> str:
        """Where commands are answered."""
        return f"tcp://{self._host}:{self.port + 2}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return self.reports


def parse_address(text: str) -> Address:
    """An address from ``tcp://HOST:PORT``.

    Raises:
        ValueError: saying what is wrong.
    """
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    host = host.strip("[]")
    if scheme != "tcp" or not host or not port.isdigit() or not 1 <= int(port) <= 65533:
        raise ValueError(f"address must be tcp://HOST:PORT with a port up to 65533, not {text!r}")
    return Address(host, int(port))
