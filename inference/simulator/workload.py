"""What simulated traffic is made of: classes of requests, phases, and acceptance that drifts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ...policies.slo import Slo
from ...policies.spaces import BEHAVIOURS, CLASSES, MAX_DEPTH
from .traces import Trace

MAX_KINDS: Final = 8
"""Most classes of requests in one workload."""

SENSITIVITY: Final = 1.2
"""How much a drafter's confidence tells where nothing else is known: as in code and prose."""


@dataclass(frozen=True)
class Length:
    """A length in tokens, lognormal, at least 1.

    Attributes:
        mean: of it, tokens.
        cv: its standard deviation over its mean; 0 for a constant.
    """

    mean: float
    cv: float = 0.0

    def __post_init__(self) -> None:
        if not (1 <= self.mean < math.inf and 0 <= self.cv < math.inf):
            raise ValueError(f"a length needs a mean of at least 1 and a cv of at least 0: {self}")

    @property
    def log(self) -> tuple[float, float]:
        """Mean and standard deviation of its logarithm."""
        variance = math.log1p(self.cv**2)
        return math.log(self.mean) - variance / 2, math.sqrt(variance)


@dataclass(frozen=True)
class RequestClass:
    """Requests of one content.

    Attributes:
        name: of the content.
        acceptance: P(position j accepted | all before it were), from j = 1; the last one holds
            for all that follow.
        named: whether the requests name their class to the governor.
        effect: standard deviation of what sets a request apart, on the logit of acceptance.
        prompt: its length, unless a trace gives it.
        output: the same of what is generated.
        sensitivity: how far the drafter's confidence sets accepted drafts apart from rejected ones,
            in standard deviations (d'); 0 for not at all. See ``confidence``.
    """

    name: str
    acceptance: tuple[float, ...]
    named: bool = False
    effect: float = 0.3
    prompt: Length = Length(256, 0.5)
    output: Length = Length(128, 0.7)
    sensitivity: float = SENSITIVITY

    def __post_init__(self) -> None:
        if not 1 <= len(self.acceptance) <= MAX_DEPTH:
            raise ValueError(f"class {self.name!r} needs acceptance for 1 to {MAX_DEPTH} positions")
        if not all(0.0 <= p <= 1.0 for p in self.acceptance):
            raise ValueError(f"class {self.name!r}: acceptance must be in [0, 1]")
        if not 0.0 <= self.effect < math.inf:
            raise ValueError(f"class {self.name!r}: effect must be at least 0")
        if not 0.0 <= self.sensitivity <= 10.0:
            raise ValueError(f"class {self.name!r}: sensitivity must be in [0, 10]")

    @property
    def logits(self) -> list[float]:
        """Log-odds of the acceptance of every position, MAX_DEPTH long."""
        tail = (self.acceptance[-1],) * (MAX_DEPTH - len(self.acceptance))
        # Within what a drift can still move.
        clipped = (min(max(p, 1e-4), 1 - 1e-4) for p in (*self.acceptance, *tail))
        return [math.log(p / (1 - p)) for p in clipped]


@dataclass(frozen=True)
class Phase:
    """A stretch of traffic; none of ``rate`` and ``concurrency`` where a trace gives arrivals.

    Attributes:
        seconds: how long it lasts.
        rate: requests per second, arriving whatever the engine does.
        concurrency: instead, requests under way at any time: the next comes as one ends.
        cv: of the time between arrivals at a rate: 1 for Poisson, more for bursts (gamma).
        mix: weight of each class by name; empty for equal shares.
    """

    seconds: float = math.inf
    rate: float | None = None
    concurrency: int | None = None
    cv: float = 1.0
    mix: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"a phase must last, not {self.seconds} s")
        if self.rate is not None and self.concurrency is not None:
            raise ValueError("a phase has a rate or a concurrency, not both")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be above 0 requests/s, not {self.rate}")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")
        if not 0 <= self.cv <= 100:
            raise ValueError(f"cv must be in [0, 100], not {self.cv}")


@dataclass(frozen=True)
class Drift:
    """How acceptance changes with time: an offset per class on its logit, redrawn for ever.

    Attributes:
        sigma: standard deviation of the offset; 0 for none.
        every: seconds between changes.
        memory: correlation of an offset with the one before: 0 switches between unrelated
            regimes, close to 1 is a random walk that is pulled back (an AR(1) process).
    """

    sigma: float = 0.0
    every: float = 60.0
    memory: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.sigma < math.inf and self.every > 0 and 0 <= self.memory <= 1):
            raise ValueError(f"drift needs sigma >= 0, every > 0 s and memory in [0, 1]: {self}")


# Acceptance as drafters of a fiftieth of the target's size show it: tool calls follow a grammar
# and copy from the prompt, code half so, prose hardly. A draft that is on the track stays on it.
# The sensitivity is that of the embedded drafter's probability of its own token, both models
# greedy: among tried drafts of one request and position it ranks an accepted one first in 0.97,
# 0.81 and 0.77 of all pairs, more often at later positions, and by the Brier score tells as much.
TOOL_CALLS: Final = RequestClass(
    "tool_calls", (0.95, 0.96, 0.95), output=Length(96, 0.5), sensitivity=2.8
)
CODE: Final = RequestClass("code", (0.70, 0.76, 0.78), output=Length(192, 0.7), sensitivity=1.3)
PROSE: Final = RequestClass("prose", (0.57, 0.50, 0.45), output=Length(256, 0.7), sensitivity=1.1)


@dataclass(frozen=True)
class Workload:
    """Requests, and when they come.

    Attributes:
        classes: of the requests, at most ``MAX_KINDS``, four of them named.
        phases: one after another, then from the first again if ``repeat``.
        repeat: else the simulation ends with the last phase.
        trace: arrivals and lengths, with classes drawn by the phases' mixes; it has no text.
        drift: of the acceptance.
        slos: objectives of the requests, each with its weight, drawn at random; () for none.
    """

    classes: tuple[RequestClass, ...] = (TOOL_CALLS, CODE, PROSE)
    phases: tuple[Phase, ...] = (Phase(concurrency=4),)
    repeat: bool = True
    trace: Trace | None = None
    drift: Drift = Drift()
    slos: tuple[tuple[Slo, float], ...] = ()

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if not 1 <= len(names) <= MAX_KINDS or len({*names}) < len(names):
            raise ValueError(f"a workload has 1 to {MAX_KINDS} classes of different names")
        if sum(c.named for c in self.classes) > CLASSES - len(BEHAVIOURS):
            raise ValueError(f"at most {CLASSES - len(BEHAVIOURS)} classes can be named")
        if not self.phases:
            raise ValueError("a workload has at least one phase")
        for phase in self.phases:
            self._check_phase(phase, names)
        weights = [weight for _, weight in self.slos]
        if weights and (min(weights) < 0 or not 0 < sum(weights) < math.inf):
            raise ValueError(f"the weights of objectives must be at least 0, one above: {weights}")

    def _check_phase(self, phase: Phase, names: list[str]) -> None:
        own = phase.rate is not None or phase.concurrency is not None
        if own == (self.trace is not None):
            raise ValueError(
                "phases take their arrivals from the trace: give them neither rate nor concurrency"
                if own
                else "a phase needs a rate or a concurrency, or the workload a trace"
            )
        unknown = {*phase.mix} - {*names}
        if unknown:
            raise ValueError(f"no class {min(unknown)!r} to mix; there are {', '.join(names)}")
        weights = list(phase.mix.values())
        if weights and (min(weights) < 0 or not 0 < sum(weights) < math.inf):
            raise ValueError(f"the weights of a mix must be at least 0, one above: {phase.mix}")

    @property
    def seconds(self) -> float:
        """How long it lasts; infinite where it repeats or ends with its trace."""
        if self.repeat or self.trace is not None:
            return math.inf
        return sum(phase.seconds for phase in self.phases)


def traced(
    trace: Trace, mix: Mapping[str, float] | None = None, drift: Drift | None = None
) -> Workload:
    """The ready classes arriving as a trace says, in one mix throughout."""
    return Workload(phases=(Phase(mix=mix or {}),), trace=trace, drift=drift or Drift())
