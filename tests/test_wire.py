from __future__ import annotations

import contextlib

import msgspec
import numpy as np
import pytest
from factories import State, World, beat
from flyball.inference.reports import SCHEMA, Beat, FromEngine, Mode, Report
from flyball.inference.wire import (
    MAX_MESSAGE,
    Command,
    FromController,
    Knob,
    Pin,
    Reply,
    SetMode,
    UnknownSchemaError,
    UsePolicy,
    WireError,
    decode,
    encode,
)
from hypothesis import given, settings
from hypothesis import strategies as st

quick = settings(max_examples=60, deadline=None)

KINDS = (FromEngine, FromController, Command, Reply)
NAMES = st.text(min_size=1, max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@quick
@given(st.floats(allow_nan=False))
def test_knob_survives_the_wire(speed: float) -> None:
    assert decode(encode(Knob(speed)), FromController) == Knob(speed)


@quick
@given(NAMES, st.sampled_from(Mode), st.integers(0, 2**62), st.none() | st.integers(0, 8))
def test_orders_for_one_engine_survive_the_wire(
    engine: str, mode: Mode, number: int, depth: int | None
) -> None:
    for order in (SetMode(engine, mode), Pin(engine, number, depth), UsePolicy(engine, engine)):
        assert decode(encode(order), FromController) == order


@quick
@given(st.integers(0, 2**62), NAMES, st.dictionaries(NAMES, VALUES, max_size=3))
def test_commands_and_replies_survive_the_wire(
    call: int, name: str, arguments: dict[str, object]
) -> None:
    command = Command(call, name, arguments)
    assert decode(encode(command), Command) == command
    reply = Reply(call, value=arguments)
    assert decode(encode(reply), Reply) == reply


def test_reports_and_beats_survive_the_wire() -> None:
    world = World()
    report = Report("engine-0", world.transitions(5, [State(), State(batch=2, content="easy")]))
    assert decode(encode(report), FromEngine) == report
    there = decode(encode(report), FromEngine).transitions[0].decision.vector()
    np.testing.assert_array_equal(there, report.transitions[0].decision.vector())
    sent = beat(world.info())
    assert decode(encode(sent), FromEngine) == sent


@quick
@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    for kind in KINDS:
        with pytest.raises(WireError):
            decode(data, kind)


@quick
@given(st.data())
def test_a_damaged_message_is_refused_or_still_a_message(data: st.DataObject) -> None:
    whole = bytearray(encode(Report("engine-0", World().transitions(1))))
    for _ in range(3):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for sent in (bytes(whole), cut):
        with contextlib.suppress(WireError):
            assert isinstance(decode(sent, FromEngine), Report | Beat)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\xa6schema\x03" + b"\x00" * 8,
        b"\x83\xa6schema\x03\xa4kind\xa7command\xa9arguments" + b"\x81\xa1a" * 100_000,
        b"\x81\xa6other" + b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x82\xa6schema\x03\xa4kind\xa6beaten",
    ],
)
def test_hostile_bytes_are_refused_with_the_reason(data: bytes) -> None:
    for kind in KINDS:
        with pytest.raises(WireError, match=r"malformed|schema"):
            decode(data, kind)


@pytest.mark.parametrize("schema", [0, 1, -1])
def test_an_unknown_schema_is_named(schema: int) -> None:
    data = msgspec.msgpack.encode({"kind": "knob", "speed": 0.5, "schema": schema})
    with pytest.raises(UnknownSchemaError, match=f"schema {schema}; this flyball speaks"):
        decode(data, FromController)


def test_a_message_of_the_other_direction_is_refused() -> None:
    with pytest.raises(WireError):
        decode(encode(Knob(0.5)), FromEngine)


def test_a_message_that_is_too_large_is_refused() -> None:
    with pytest.raises(WireError, match="at most"):
        decode(b"\0" * (MAX_MESSAGE + 1), Command)


def test_wrong_types_are_refused() -> None:
    data = msgspec.msgpack.encode({"kind": "knob", "speed": "fast", "schema": SCHEMA})
    with pytest.raises(WireError, match="speed"):
        decode(data, FromController)
