"""The messages between engines, controller and clients, and the sockets they travel on.

One address names a controller. From its port P: engines PUSH ``Report`` and ``Beat`` to P, and
planners of agents ``PlanReport`` and ``PlanBeat``; the controller PUBlishes snapshots' bytes,
``Knob``, ``SetMode``, ``UsePolicy``, ``UseDrafter`` and ``Pin`` on P + 1 (XPUB, every topic's last
value resent to late joiners), each as two frames, topic and payload; commands go to P + 2 (ROUTER /
DEALER), and every one is answered. Messages are MessagePack, each with a schema number; weights are
safetensors. Never pickle.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from ..policies.transition import Transition
from .agents.messages import PlannerInfo, PlanTotals
from .attainment import Attained
from .drafter_records import DrafterBeat
from .guard_state import GuardState

SCHEMA: Final = 3
DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:5757"
MAX_MESSAGE: Final = 32 << 20

TOPIC_SNAPSHOT: Final = b"snapshot"
TOPIC_PLAN_SNAPSHOT: Final = b"plan-snapshot"
TOPIC_KNOB: Final = b"knob"
TOPIC_MODE: Final = b"mode/"
TOPIC_PIN: Final = b"pin/"
TOPIC_POLICY: Final = b"policy/"
TOPIC_DRAFTER: Final = b"drafter/"

LEARNED: Final = "learned"
"""What the learner's snapshots are called among the policies."""


class Mode(StrEnum):
    """What a governor does with its decisions."""

    OFF = "off"  # nothing: static depth, no report
    OBSERVE = "observe"  # static depth, reported
    SHADOW = "shadow"  # decide and report, static depth applied
    APPLY = "apply"  # decide, apply, report
    FREEZE = "freeze"  # apply the best action, never explore, not learned from


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself.

    Attributes:
        engine: its name, unique among the controller's engines.
        target: name of the target model.
        draft: name of what drafts.
        k_max: greatest depth it can run.
        static_depth: depth without a snapshot.
        parameter_ratio: the drafter's parameters over the target's.
        dtype: of the target's weights.
        versions: of flyball, vLLM and torch.
        classes: names of the request classes in their slots; "" for a free one.
        offered: names of the drafters that requests may have; empty where vLLM's own is the only
            one.
    """

    engine: str
    target: str
    draft: str
    k_max: int
    static_depth: int
    parameter_ratio: float
    dtype: str = ""
    versions: dict[str, str] = {}
    classes: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, tag="report", tag_field="kind"):
    """Transitions of one engine, oldest first."""

    engine: str
    transitions: list[Transition]
    schema: int = SCHEMA


_NAME: Final = re.compile(r"[\w.:@-]{1,64}", re.ASCII)


def check_engine_name(name: str) -> str:
    """An engine's name, as it was given.

    Raises:
        ValueError: saying what a name may be.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"an engine's name has 1 to 64 letters, digits or any of _ . : @ -, not {name[:80]!r}"
        )
    return name


class Totals(msgspec.Struct, array_like=True):
    """What an engine did since its start, every step counted.

    Attributes:
        seconds: in engine steps.
        steps: engine steps.
        request_seconds: seconds of each step times the requests that decoded in it.
        request_steps: requests that decoded, summed over the steps.
        emitted: tokens that reached decoding requests.
        drafted: positions run by the drafter.
        verified: positions run by the target for decoding requests (drafts and bonus).
        prefill: prompt tokens run by the target.
        finished: requests that ended.
    """

    seconds: float = 0.0
    steps: int = 0
    request_seconds: float = 0.0
    request_steps: int = 0
    emitted: int = 0
    drafted: int = 0
    verified: int = 0
    prefill: int = 0
    finished: int = 0


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="kind", kw_only=True):
    """An engine's state, sent every half second whatever the load.

    Attributes:
        info: who it is.
        at: seconds since the epoch.
        mode: mode in force.
        speed: knob in force.
        depth: depth in force.
        version: snapshot in force; 0 for none.
        pin: pin in force; 0 for none.
        running: requests that run.
        waiting: requests that wait.
        decisions: decisions since start.
        dropped: transitions dropped because the queue was full, since start.
        refused: messages from the controller that were refused, since start.
        faults: faults of the governor since start; at the limit it retires for good.
        last_fault: the latest fault or refusal, for people.
        decide_us_p50: median of the time that a decision holds the engine up, microseconds.
        decide_us_p99: 99th percentile of the same.
        prepare_us_p50: median of the time that deciding takes while the model runs, microseconds.
        prepare_us_p99: 99th percentile of the same.
        plan_us_p50: median of the time that planning a step takes, microseconds.
        plan_us_p99: 99th percentile of the same.
        policy: policy in force, ``learned`` or a specification of the catalogue.
        totals: of all steps since start.
        survival_brier: Brier score of predicted survival, some two thousand drafts; None before
            the first.
        survival_ece: expected calibration error of the same.
        guard: what the guard does and why.
        ignored: hints of requests that were not followed, since start.
        last_ignored: why the latest of them was not, for people.
        slo: what became of requests with objectives, since start, by SLO class; "" for none.
        drafters: how each drafter fares, by its name; empty where vLLM's own is the only one.
        drafter: who drafts for requests that ask for nobody: one of them, ``learned``, or
            ``random``; "" where there is no choice.
    """

    info: EngineInfo
    at: float
    mode: Mode
    speed: float
    depth: int
    version: int
    pin: int
    running: int
    waiting: int
    decisions: int
    dropped: int
    refused: int
    faults: int
    last_fault: str
    decide_us_p50: float
    decide_us_p99: float
    prepare_us_p50: float = 0.0
    prepare_us_p99: float = 0.0
    plan_us_p50: float = 0.0
    plan_us_p99: float = 0.0
    policy: str = LEARNED
    totals: Totals = msgspec.field(default_factory=Totals)
    survival_brier: float | None = None
    survival_ece: float | None = None
    guard: GuardState = GuardState()
    ignored: int = 0
    last_ignored: str = ""
    slo: dict[str, Attained] = {}
    drafters: dict[str, DrafterBeat] = {}
    drafter: str = ""
    schema: int = SCHEMA


class PlanReport(msgspec.Struct, frozen=True, tag="plan-report", tag_field="kind"):
    """Transitions of one run of a planner, oldest first: columns as ``columns_of`` makes them."""

    planner: str
    columns: dict[str, bytes]
    schema: int = SCHEMA


class PlanBeat(msgspec.Struct, frozen=True, tag="plan-beat", tag_field="kind", kw_only=True):
    """A planner's state, sent every half second whatever it does.

    Attributes:
        info: who it is.
        at: seconds since the epoch.
        mode: mode in force.
        speed: knob in force.
        version: snapshot in force; 0 for none.
        pin: pin in force; 0 for none.
        policy: policy in force, ``learned`` or a specification of the catalogue.
        running: tasks that run.
        in_flight: calls that run.
        ahead: steps ahead, of the latest decision.
        decisions: decisions since start.
        dropped: reports dropped because the queue was full, since start.
        refused: messages from the controller that were refused, since start.
        faults: faults of the governor since start.
        last_fault: the latest fault or refusal, for people.
        decide_us_p50: median of the time that a decision takes, microseconds.
        decide_us_p99: 99th percentile of the same.
        survival_brier: Brier score of predicted matches; None before the first.
        survival_ece: expected calibration error of the same.
        aheads: decisions by the number of steps ahead, since start.
        totals: of all runs since start.
    """

    info: PlannerInfo
    at: float
    mode: Mode
    speed: float
    version: int
    pin: int
    policy: str
    running: int
    in_flight: int
    ahead: int
    decisions: int
    dropped: int
    refused: int
    faults: int
    last_fault: str
    decide_us_p50: float
    decide_us_p99: float
    survival_brier: float | None = None
    survival_ece: float | None = None
    aheads: tuple[int, ...] = ()
    totals: PlanTotals = msgspec.field(default_factory=PlanTotals)
    schema: int = SCHEMA


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


FromEngine = Report | Beat | PlanReport | PlanBeat
FromController = Knob | SetMode | Pin | UsePolicy | UseDrafter
Message = TypeVar("Message")


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
