"""What is recorded of every interval: the decision, its outcome, and both together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar, Final

import msgspec
import numpy as np
import numpy.typing as npt

from .spaces import DEPTH_SPACE, MAX_DEPTH, Array

Floats = npt.NDArray[np.float64]


class Reason(IntEnum):
    """Why an action was chosen."""

    STATIC = 0  # no snapshot, or mode off or observe: the configured static depth
    POLICY = 1  # the snapshot's best action
    EXPLORE = 2  # drawn at random, to learn
    PINNED = 3  # an operator or an environment set it
    FALLBACK = 4  # the policy failed or gave a value outside its bounds; static depth
    REFERENCE = 5  # drawn at random by the guard, to compare the policy with the static depth
    GUARD = 6  # the guard has fallen back: the policy was worse than the static depth


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """One choice at the depth control point.

    Attributes:
        number: counts the decisions of one engine process, from 1.
        at: seconds since the epoch.
        observation: raw float32 vector of ``DEPTH_SPACE``, as little-endian bytes.
        action: depth chosen, tokens. Under mode shadow it is not the depth applied.
        applied: depth in force during the interval, tokens.
        propensity: probability with which ``action`` was chosen: by the policy, or, where a guard
            keeps a reference arm, by both together: share x [action is the static depth] +
            (1 - share) x the policy's.
        version: number of the snapshot that decided; 0 where none did.
        speed: the knob as the decision saw it, in [0, 1].
        reason: why.
        pin: number of the pin that set the depth; 0 where none did.
        drafters: share of the requests that each drafter was chosen for, by name, where there are
            several and the choice is learned. Under mode shadow they are not those that draft.
        tried: the one of them that was chosen to learn how it fares; "" for none.
    """

    number: int
    at: float
    observation: bytes
    action: int
    applied: int
    propensity: float
    version: int
    speed: float
    reason: Reason
    pin: int = 0
    drafters: dict[str, float] = {}
    tried: str = ""

    def vector(self) -> Array:
        """The observation, shape (DEPTH_SPACE.size,)."""
        return np.frombuffer(self.observation, np.float32)


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What one interval led to, summed over the engine steps that are its doing alone.

    Those are the steps that verified its drafts, less the last one if that step drafted to
    another depth already. Acceptance counts all of its drafts.

    Attributes:
        seconds: wall time.
        steps: engine steps.
        request_seconds: seconds of each step times the requests that decoded in it.
        request_steps: requests that decoded, summed over the steps.
        emitted: tokens that reached decoding requests; the first of each comes with its prompt.
        drafted: positions run by the drafter.
        verified: positions run by the target for decoding requests (drafts and bonus).
        prefill: prompt tokens run by the target.
        context: tokens in the caches of decoding requests, summed over the steps.
        finished: requests that ended.
        checked: per position 1..MAX_DEPTH, decoding requests of which that position was verified,
            summed over the steps: a step may verify fewer drafts of a request than were made.
            ``verified`` is ``request_steps`` and all of these.
        tried: per position 1..MAX_DEPTH, drafts whose predecessors were all accepted.
        accepted: per position 1..MAX_DEPTH, drafts that were accepted.
        switched: whether the depth differed from that of the interval before.
    """

    seconds: float
    steps: int
    request_seconds: float
    request_steps: int
    emitted: int
    drafted: int
    verified: int
    prefill: int
    context: int
    finished: int
    checked: tuple[int, ...]
    tried: tuple[int, ...]
    accepted: tuple[int, ...]
    switched: bool = False


class Transition(msgspec.Struct, frozen=True, array_like=True):
    """A decision, its outcome, and the observation that followed (raw float32 bytes)."""

    decision: Decision
    outcome: Outcome
    following: bytes


def check_transition(transition: Transition) -> None:
    """Refuse a transition that no engine could have produced.

    Raises:
        ValueError: saying what is wrong.
    """
    decision, outcome = transition.decision, transition.outcome
    for name, data in (("observation", decision.observation), ("following", transition.following)):
        if len(data) != 4 * DEPTH_SPACE.size:
            raise ValueError(f"{name} has {len(data)} bytes, not {4 * DEPTH_SPACE.size}")
        if not np.isfinite(np.frombuffer(data, np.float32)).all():
            raise ValueError(f"{name} is not finite")
    if not (0 <= decision.action <= MAX_DEPTH and 0 <= decision.applied <= MAX_DEPTH):
        raise ValueError(f"depths must be in [0, {MAX_DEPTH}]")
    if not (0.0 < decision.propensity <= 1.0 and 0.0 <= decision.speed <= 1.0):
        raise ValueError("propensity must be in (0, 1] and speed in [0, 1]")
    shares = decision.drafters.values()
    if len(shares) > _MOST_DRAFTERS or any(not 0.0 <= share <= 1.0 + 1e-6 for share in shares):
        raise ValueError(f"shares of drafters must be in [0, 1], of {_MOST_DRAFTERS} at most")
    _check_outcome(outcome)


def _check_outcome(outcome: Outcome) -> None:
    if not (0 < outcome.seconds < np.inf and outcome.steps > 0):
        raise ValueError("an interval has at least one step and takes time")
    if not 0 <= outcome.request_seconds < np.inf:
        raise ValueError("request_seconds must be finite and not negative")
    if not len(outcome.checked) == len(outcome.tried) == len(outcome.accepted) == MAX_DEPTH:
        raise ValueError(f"checked, tried and accepted must have {MAX_DEPTH} entries")
    counts = [getattr(outcome, name) for name in _COUNTS]
    if min(counts) < 0 or max(counts) > _GREATEST:
        raise ValueError(f"counts must be in [0, {_GREATEST}], not {counts}")
    if any(not 0 <= a <= t for t, a in zip(outcome.tried, outcome.accepted, strict=True)):
        raise ValueError("of every position, accepted must be in [0, tried]")
    reached = (outcome.request_steps, *outcome.checked, 0)
    if any(before < here for before, here in pairwise(reached)):
        raise ValueError("checked must not grow from request_steps on, and not fall below 0")
    if outcome.verified != outcome.request_steps + sum(outcome.checked):
        raise ValueError("verified must be request_steps and all that was checked")


_GREATEST = 1 << 40
_MOST_DRAFTERS = 32
_COUNTS = (
    "steps",
    "request_steps",
    "emitted",
    "drafted",
    "verified",
    "prefill",
    "context",
    "finished",
)


@dataclass(frozen=True)
class OutcomeBatch:
    """Many outcomes as columns, for cost models, rewards and estimators.

    Every scalar column is float64 of shape (n,); ``checked``, ``tried`` and ``accepted`` are
    (n, MAX_DEPTH).
    ``depth`` is the depth applied; ``off_seconds`` is what one engine step would have taken in
    the same state without speculation and without prompts, by the step-time model;
    ``prompt_seconds`` is what its prompts took of a step, by the same; ``parameter_ratio`` is the
    drafter's size over the target's. The other columns are those of ``Outcome``.
    """

    depth: Floats
    seconds: Floats
    steps: Floats
    request_seconds: Floats
    request_steps: Floats
    emitted: Floats
    drafted: Floats
    verified: Floats
    prefill: Floats
    context: Floats
    finished: Floats
    switched: Floats
    checked: Floats
    tried: Floats
    accepted: Floats
    off_seconds: Floats
    parameter_ratio: Floats
    prompt_seconds: Floats

    SCALARS: ClassVar[tuple[str, ...]] = (
        "depth",
        "seconds",
        "steps",
        "request_seconds",
        "request_steps",
        "emitted",
        "drafted",
        "verified",
        "prefill",
        "context",
        "finished",
        "switched",
    )
    """Columns that ``outcome_row`` and the replay buffer hold, in this order."""

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: npt.NDArray[np.intp]) -> OutcomeBatch:
        """Some of the rows."""
        return OutcomeBatch(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def from_rows(
        cls,
        rows: Floats,
        off_seconds: Floats,
        parameter_ratio: Floats,
        prompt_seconds: Floats | None = None,
    ) -> OutcomeBatch:
        """From rows as ``outcome_row`` makes them, shape (n, ROW_SIZE); None for no prompts."""
        scalars = {name: rows[:, i] for i, name in enumerate(cls.SCALARS)}
        return cls(
            **scalars,
            checked=rows[:, CHECKED],
            tried=rows[:, TRIED],
            accepted=rows[:, ACCEPTED],
            off_seconds=off_seconds,
            parameter_ratio=parameter_ratio,
            prompt_seconds=np.zeros(len(rows)) if prompt_seconds is None else prompt_seconds,
        )


STATE_SECONDS = ("off_seconds", "prompt_seconds")
"""Columns of an ``OutcomeBatch`` that a step-time model adds."""

COLUMN: Final = {name: i for i, name in enumerate(OutcomeBatch.SCALARS)}
"""Where the scalars stand in a row of ``outcome_row``."""

CHECKED: Final = slice(len(COLUMN), len(COLUMN) + MAX_DEPTH)
TRIED: Final = slice(CHECKED.stop, CHECKED.stop + MAX_DEPTH)
ACCEPTED: Final = slice(TRIED.stop, TRIED.stop + MAX_DEPTH)
"""Where the counts by position stand in it."""

ROW_SIZE: Final[int] = ACCEPTED.stop
"""Length of one outcome as a row of numbers."""


def outcome_row(depth: int, outcome: Outcome) -> Floats:
    """One outcome as a float64 row of ``ROW_SIZE``: the scalars, checked, tried, accepted."""
    scalars: Iterable[float] = (
        depth if name == "depth" else getattr(outcome, name) for name in OutcomeBatch.SCALARS
    )
    return np.array([*scalars, *outcome.checked, *outcome.tried, *outcome.accepted], np.float64)


def outcome_of(row: Floats) -> Outcome:
    """The outcome that ``outcome_row`` made a row of; its depth is left out."""
    scalars = dict(zip(OutcomeBatch.SCALARS, row.tolist(), strict=False))
    return Outcome(
        seconds=scalars["seconds"],
        steps=int(scalars["steps"]),
        request_seconds=scalars["request_seconds"],
        request_steps=int(scalars["request_steps"]),
        emitted=int(scalars["emitted"]),
        drafted=int(scalars["drafted"]),
        verified=int(scalars["verified"]),
        prefill=int(scalars["prefill"]),
        context=int(scalars["context"]),
        finished=int(scalars["finished"]),
        checked=tuple(int(x) for x in row[CHECKED]),
        tried=tuple(int(x) for x in row[TRIED]),
        accepted=tuple(int(x) for x in row[ACCEPTED]),
        switched=bool(scalars["switched"]),
    )
