"""A small synthetic truth that makes realistic engines, observations, outcomes and transitions.

Content decides what is accepted, a linear law (with a cliff, if wanted) decides how long a step
takes; both are known exactly, so a test can ask which depth is truly best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from flyball.controller.learner import Learner
from flyball.inference.attainment import Attained
from flyball.inference.drafter_records import DrafterBeat
from flyball.inference.guard_state import GuardState
from flyball.inference.reports import Beat, EngineInfo, Mode, Totals
from flyball.policies.prices import Prices, compute_prices
from flyball.policies.runner import Runner
from flyball.policies.snapshot import Snapshot
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from flyball.policies.step_time import FEATURES
from flyball.policies.transition import Decision, Floats, Outcome, Reason, Transition

CONTENTS = {"easy": (0.92, 0.9), "mixed": (0.65, 0.6), "hard": (0.1, 0.1)}
"""Acceptance of the first position and of a later one, by content."""

COEFFICIENTS = (15e-3, 0.6e-3, 1.0e-3, 0.175e-3, 0.04e-3, 2e-7, 0.075e-3)
"""Seconds per feature of a step, as a small model on two cores has them."""


@dataclass(frozen=True)
class State:
    """What an engine is doing: so many requests of one content."""

    batch: int = 4
    content: str = "mixed"
    context: float = 300.0
    waiting: int = 0


@dataclass(frozen=True)
class World:
    """The truth behind an engine.

    Attributes:
        k_max: greatest depth.
        parameter_ratio: the drafter's parameters over the target's.
        coefficients: seconds per feature of a step.
        cliff: positions in a step above which it takes ``steepness`` times as long; 0 for never.
        steepness: see ``cliff``.
        noise: relative standard deviation of an interval's seconds.
    """

    k_max: int = 6
    parameter_ratio: float = 0.05
    coefficients: Sequence[float] = COEFFICIENTS
    cliff: int = 0
    steepness: float = 2.5
    noise: float = 0.03
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def prices(self) -> Prices:
        """The default price list."""
        return compute_prices(self.parameter_ratio)

    def info(self, engine: str = "engine-0") -> EngineInfo:
        """The engine as it introduces itself."""
        return engine_info(engine, self.k_max, self.parameter_ratio)

    def survival(self, content: str) -> Floats:
        """P(positions 1..j all accepted) for j = 1..MAX_DEPTH."""
        first, later = CONTENTS[content]
        return first * later ** np.arange(MAX_DEPTH)

    def seconds(self, state: State) -> Floats:
        """Expected seconds per step for every depth, shape (k_max + 1,)."""
        features = depth_features(state.batch, state.context, 0.0, self.k_max)
        seconds = features.astype(np.float64) @ np.array(self.coefficients)
        if self.cliff:
            positions = state.batch * (np.arange(self.k_max + 1) + 1)
            seconds = np.where(positions > self.cliff, seconds * self.steepness, seconds)
        return seconds

    def components(self, state: State) -> Floats:
        """Expected latency and cost for every depth, off = 1.0, shape (k_max + 1, 2)."""
        depths = np.arange(self.k_max + 1)
        emitted = 1.0 + np.concatenate([[0.0], self.survival(state.content).cumsum()])[depths]
        seconds = self.seconds(state)
        spent = 1.0 + depths + self.parameter_ratio * depths
        return np.stack([seconds / seconds[0] / emitted, spent / emitted], axis=-1)

    def best(self, state: State, speed: float) -> int:
        """The truly best depth."""
        latency, cost = self.components(state).T
        return int((speed * latency + (1 - speed) * cost).argmin())

    def observation(self, state: State, speed: float = 0.5, depth: int = 0) -> Array:
        """What a governor would see, raw."""
        survival = self.survival(state.content)
        first, later = CONTENTS[state.content]
        slot = {"hard": 1, "mixed": 2, "easy": 3}[state.content]
        raw = DEPTH_SPACE.zeros()
        for name, value in {
            "batch": state.batch,
            "waiting": state.waiting,
            "kv_usage": min(1.0, state.batch * state.context / 65536),
            "context": state.context,
            "yield": 1.0 + survival[:depth].sum(),
            "arrivals": state.batch / 4,
            "step_ms": 1e3 * self.seconds(state)[depth] * self.rng.normal(1.0, self.noise),
            "remaining": 100.0,
            "depth": depth,
            f"share_{slot}": 1.0,
            f"first_{slot}": first,
            f"later_{slot}": later,
            "speed": speed,
        }.items():
            raw[DEPTH_SPACE.index(name)] = value
        raw[DEPTH_SPACE.slice("acceptance_1", MAX_DEPTH)] = [first] + [later] * (MAX_DEPTH - 1)
        measured = survival + self.rng.normal(0.0, 0.02, MAX_DEPTH)
        raw[DEPTH_SPACE.slice("survival_1", MAX_DEPTH)] = np.clip(measured, 0.0, 1.0)
        raw[DEPTH_SPACE.slice("hope_1", MAX_DEPTH)] = np.clip(measured + 0.04, 0.0, 1.0)
        raw[DEPTH_SPACE.slice("kept_1", MAX_DEPTH)] = 1.0
        return raw

    def outcome(self, state: State, depth: int, steps: int = 8, disturbed: float = 1.0) -> Outcome:
        """One interval at a depth; ``disturbed`` multiplies its seconds."""
        jitter = max(0.2, self.rng.normal(1.0, self.noise)) * disturbed
        seconds = float(self.seconds(state)[depth] * steps * jitter)
        request_steps = state.batch * steps
        first, later = CONTENTS[state.content]
        alive, tried, accepted = request_steps, [0] * MAX_DEPTH, [0] * MAX_DEPTH
        for j in range(depth):
            tried[j] = alive
            alive = accepted[j] = int(self.rng.binomial(alive, later if j else first))
        return Outcome(
            seconds=seconds,
            steps=steps,
            request_seconds=seconds * state.batch,
            request_steps=request_steps,
            emitted=request_steps + sum(accepted),
            drafted=request_steps * depth,
            verified=request_steps * (depth + 1),
            prefill=0,
            context=int(request_steps * state.context),
            finished=0,
            checked=(request_steps,) * depth + (0,) * (MAX_DEPTH - depth),
            tried=tuple(tried),
            accepted=tuple(accepted),
        )

    def transition(
        self,
        state: State,
        depth: int,
        *,
        speed: float = 0.5,
        following: State | None = None,
        number: int = 1,
        version: int = 0,
        observation: Array | None = None,
        disturbed: float = 1.0,
        steps: int = 8,
        drawn: tuple[float, Reason] | None = None,
    ) -> Transition:
        """One whole transition at a depth; ``drawn`` is its propensity and the reason."""
        seen = self.observation(state, speed) if observation is None else observation
        propensity, reason = drawn or (1.0, Reason.POLICY if version else Reason.STATIC)
        decision = Decision(
            number=number,
            at=1e9 + number,
            observation=seen.tobytes(),
            action=depth,
            applied=depth,
            propensity=propensity,
            version=version,
            speed=float(seen[SPEED_INDEX]),
            reason=reason,
        )
        after = self.observation(following or state, speed, depth)
        outcome = self.outcome(state, depth, steps, disturbed)
        return Transition(decision, outcome, after.tobytes())

    def transitions(self, count: int, states: Sequence[State] = (State(),)) -> list[Transition]:
        """Transitions at random depths over some states."""
        chosen = self.rng.integers(len(states), size=count + 1)
        depths = self.rng.integers(self.k_max + 1, size=count)
        return [
            self.transition(
                states[chosen[i]],
                int(depths[i]),
                speed=float(self.rng.random()),
                following=states[chosen[i + 1]],
                number=i + 1,
                drawn=(1.0 / (self.k_max + 1), Reason.EXPLORE),
            )
            for i in range(count)
        ]


def engine_info(
    engine: str = "engine-0", k_max: int = 6, parameter_ratio: float = 0.05
) -> EngineInfo:
    """An engine with the embedded models."""
    return EngineInfo(
        engine=engine,
        target="target",
        draft="draft",
        k_max=k_max,
        static_depth=min(3, k_max),
        parameter_ratio=parameter_ratio,
        dtype="bfloat16",
        versions={"flyball": "0.1.0"},
    )


def totals(transitions: Sequence[Transition]) -> Totals:
    """What an engine did if these intervals were all."""
    names = Totals.__struct_fields__
    return Totals(*(sum(getattr(t.outcome, name) for t in transitions) for name in names))


def beat(
    info: EngineInfo,
    at: float = 1e9,
    speed: float = 0.5,
    decisions: int = 0,
    totals: Totals | None = None,
    policy: str = "learned",
    guard: GuardState | None = None,
    pin: int = 0,
    ignored: int = 0,
    last_ignored: str = "",
    slo: dict[str, Attained] | None = None,
    drafters: dict[str, DrafterBeat] | None = None,
) -> Beat:
    """An engine's state in the middle of a load."""
    return Beat(
        info=info,
        at=at,
        mode=Mode.APPLY,
        speed=speed,
        depth=3,
        version=1,
        pin=pin,
        running=4,
        waiting=2,
        decisions=decisions,
        dropped=0,
        refused=0,
        faults=0,
        last_fault="",
        decide_us_p50=30.0,
        decide_us_p99=90.0,
        totals=totals or Totals(),
        survival_brier=0.15,
        survival_ece=0.02,
        policy=policy,
        guard=guard or GuardState(),
        ignored=ignored,
        last_ignored=last_ignored,
        slo=slo or {},
        drafters=drafters or {},
    )


def serve(
    learner: Learner, world: World, states: Sequence[State], intervals: int, speed: float = 0.5
) -> None:
    """Let the learner's latest snapshot govern an engine for some intervals."""
    info, random, state = world.info(), Random(0), states[0]
    runner = Runner(current) if (current := learner.current()) else None
    for number in range(intervals):
        seen = world.observation(state, speed)
        static = info.static_depth, 1.0, Reason.STATIC
        depth, *drawn = runner.act(seen.tolist(), random) if runner else static
        # Loads last for a while, as they do in a real engine.
        following = state if world.rng.random() < 0.8 else states[world.rng.integers(len(states))]
        learner.ingest(
            info,
            [
                world.transition(
                    state, depth, observation=seen, following=following, drawn=tuple(drawn)
                )
            ],
        )
        learner.step(1.0)
        if number % 8 == 0 and (published := learner.publish()) is not None:
            runner = Runner(published)
        state = following


def greedy(snapshot: Snapshot, world: World, state: State, speed: float) -> int:
    """The depth that a snapshot takes most often where it does not explore."""
    seen = np.stack([world.observation(state, speed) for _ in range(32)])
    return int(np.bincount(snapshot.scores(seen).argmax(-1)).argmax())


def outcome_features(outcome: Outcome, depth: int) -> Floats:
    """Mean features per step of an interval, shape (7,)."""
    steps = outcome.steps
    drafts = outcome.verified - outcome.request_steps
    totals = (steps, outcome.request_steps, depth * steps, drafts, outcome.prefill)
    return np.array([*totals, outcome.context, outcome.drafted], np.float64) / steps


def depth_features(batch: float, context: float, prefill: float, k_max: int) -> Array:
    """Predicted features for every depth 0..k_max: float32, shape (k_max + 1, 7).

    Args:
        batch: decoding requests.
        context: mean cached tokens per request.
        prefill: prompt tokens per step.
        k_max: greatest depth.
    """
    depths = np.arange(k_max + 1, dtype=np.float32)
    out = np.empty((k_max + 1, len(FEATURES)), np.float32)
    out[:, 0] = 1.0
    out[:, 1] = batch
    out[:, 2] = depths
    out[:, 3] = depths * batch
    out[:, 4] = prefill
    out[:, 5] = batch * context
    out[:, 6] = depths * batch
    return out
