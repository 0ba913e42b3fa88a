"""Free ports on loopback."""

from __future__ import annotations

from flyball.benchmarks.engines import free_ports

__all__ = ["free_address", "free_port", "free_ports"]


def free_port() -> int:
    """One free TCP port."""
    return free_ports(1)


def free_address() -> str:
    """A wire address whose three ports are free."""
    return f"tcp://127.0.0.1:{free_ports(3)}"
