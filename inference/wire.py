"""The messages between engines, controller and clients, and the sockets they travel on.

One address names a controller. From its port P: engines PUSH ``Report`` and ``Beat`` to P, and
planners of agents ``PlanReport`` and ``PlanBeat``; the controller PUBlishes snapshots' bytes,
``Knob``, ``SetMode``, ``UsePolicy``, ``UseDrafter`` and ``Pin`` on P + 1 (XPUB, every topic's last
value resent to late joiners), each as two frames, topic and payload; commands go to P + 2 (ROUTER /
DEALER), and every one is answered. Messages are MessagePack, each with a schema number; weights are
safetensors. Never pickle.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .reports import SCHEMA, FromEngine, Mode

MAX_MESSAGE: Final = 32 << 20

TOPIC_SNAPSHOT: Final = b"snapshot"
TOPIC_PLAN_SNAPSHOT: Final = b"plan-snapshot"
TOPIC_KNOB: Final = b"knob"
TOPIC_MODE: Final = b"mode/"
TOPIC_PIN: Final = b"pin/"
TOPIC_POLICY: Final = b"policy/"
TOPIC_DRAFTER: Final = b"drafter/"


class Knob(msgspec.Struct, frozen=True, tag="knob", tag_field="kind"):
    """The speed, for every engine."""

    speed: float
    schema: int = SCHEMA


class SetMode(msgspec.Struct, frozen=True, tag="mode", tag_field="kind"):
    """The mode of one engine or planner."""

    engine: str
    mode: Mode
    schema: int = SCHEMA


class Pin(msgspec.Struct, frozen=True, tag="pin", tag_field="kind"):
    """A depth set from outside for one engine, until the next pin; None lets it go.

    For a planner it is the number of steps ahead.

    ``number`` grows with every pin, and is echoed in the decisions made under it.
    """

    engine: str
    number: int
    depth: int | None
    schema: int = SCHEMA


class UsePolicy(msgspec.Struct, frozen=True, tag="policy", tag_field="kind"):
    """The policy of one engine or planner: as ``make_policy`` takes it, or ``learned`` (or "")."""

    engine: str
    policy: str
    schema: int = SCHEMA


class UseDrafter(msgspec.Struct, frozen=True, tag="drafter", tag_field="kind"):
    """Who drafts for an engine's requests that ask for nobody in particular.

    One of its drafters, ``learned`` or ``random``; None for what the engine was started with.
    """

    engine: str
    drafter: str | None
    schema: int = SCHEMA


class Command(msgspec.Struct, frozen=True, tag="command", tag_field="kind"):
    """A request to the controller; ``call`` is echoed in the reply."""

    call: int
    name: str
    arguments: dict[str, Any] = {}
    schema: int = SCHEMA


class Reply(msgspec.Struct, frozen=True, tag="reply", tag_field="kind"):
    """The answer to a command: a value, or an error that says what was wrong."""

    call: int
    value: Any = None
    error: str | None = None
    schema: int = SCHEMA


FromController = Knob | SetMode | Pin | UsePolicy | UseDrafter


class WireError(ValueError):
    """A message that was refused, with the reason."""


class UnknownSchemaError(WireError):
    """A message of a schema that this flyball does not speak."""


class _Head(msgspec.Struct):
    schema: int = 0


_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(_Head)
_decoders = {
    kinds: msgspec.msgpack.Decoder(kinds) for kinds in (FromEngine, FromController, Command, Reply)
}


def encode(message: FromEngine | FromController | Command | Reply) -> bytes:
    """A message as MessagePack."""
    return _encoder.encode(message)


def decode(data: bytes, kinds: Any) -> Any:
    """A message of one of the given kinds, validated.

    Args:
        data: what arrived.
        kinds: ``FromEngine``, ``FromController``, ``Command`` or ``Reply``.

    Raises:
        WireError: if it is too large, of an unknown schema, or malformed.
    """
    if len(data) > MAX_MESSAGE:
        raise WireError(f"message of {len(data)} bytes; at most {MAX_MESSAGE}")
    try:
        schema = _head.decode(data).schema
        if schema != SCHEMA:
            raise UnknownSchemaError(
                f"message of schema {schema}; this flyball speaks schema {SCHEMA}"
            )
        return _decoders[kinds].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError) as e:
        raise WireError(f"malformed message: {e}") from None
