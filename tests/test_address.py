from __future__ import annotations

import pytest
from flyball.inference.address import parse_address


def test_an_address_names_three_ports() -> None:
    address = parse_address("tcp://[::1]:5757")
    assert (address.reports, address.broadcast, address.commands) == (
        "tcp://[::1]:5757",
        "tcp://[::1]:5758",
        "tcp://[::1]:5759",
    )
    assert address.is_loopback
    assert parse_address("tcp://localhost:1").is_loopback
    assert not parse_address("tcp://0.0.0.0:5757").is_loopback
    assert not parse_address("tcp://example.org:5757").is_loopback


@pytest.mark.parametrize(
    "text", ["", "5757", "tcp://:5757", "tcp://host", "tcp://host:65534", "udp://h:1", "tcp://h:0"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        parse_address(text)
