"""Policies of the catalogue in a live engine: made ready, held to their bounds, kept."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, TypeVar

import numpy as np

from ..policies.catalogue.registry import make_policy, names
from ..policies.policy import Choice, Policy
from ..policies.prices import compute_prices
from ..policies.spaces import check_depth
from ..policies.step_time import PRIOR
from ..policies.structure import Structure
from ..policies.transition import Decision, Floats, Outcome, Reason, outcome_row
from .reports import LEARNED, EngineInfo

MOST_KEPT: Final = 16
"""Policies that an engine keeps; beyond them the one that was in force longest ago is dropped."""

_LONGEST: Final = 1000  # characters of a specification


_Value = TypeVar("_Value")


class PolicyError(ValueError):
    """A policy that failed, or gave what is no decision, with the reason."""


class LivePolicy:
    """A policy of the catalogue as the governor runs it: one observation at a time.

    Args:
        spec: its specification.
        policy: what it names, for one engine.
    """

    def __init__(self, spec: str, policy: Policy) -> None:
        self.spec = spec
        self.policy = policy

    def act(
        self, observation: list[float], _: Random, explore: bool = True
    ) -> tuple[int, float, Reason]:
        """Choose a depth: action, its propensity, the reason; arguments as ``Runner.act``.

        Raises:
            PolicyError: if it fails, or gives what is no depth or no probability.
        """
        act = self.policy.act if explore else self.policy.exploit
        return self._guarded(lambda: self._choice(act(np.array([observation], np.float32))))

    @property
    def verifies(self) -> bool:
        """Whether it has a say in what single steps verify."""
        return type(self.policy).verify is not Policy.verify

    @property
    def structure(self) -> Structure:
        """Its step times and prices."""
        return self.policy.structure

    def verify(
        self, survival: Floats, depth: int, seconds: Floats, factors: Floats
    ) -> list[int] | None:
        """Drafts to verify of each request; arguments as ``Policy.verify``.

        Raises:
            PolicyError: if it fails.
        """
        lengths = self._guarded(lambda: self.policy.verify(survival, depth, seconds, factors))
        return None if lengths is None else lengths.tolist()

    def learn(self, decision: Decision, outcome: Outcome) -> None:
        """Take in what came of a decision.

        Raises:
            PolicyError: if it fails.
        """
        rows = outcome_row(decision.applied, outcome)[None]
        actions = np.array([decision.applied])
        self._guarded(lambda: self.policy.learn(decision.vector()[None], actions, rows))

    def _choice(self, choice: Choice) -> tuple[int, float, Reason]:
        propensity = float(choice.propensities[0])
        if not 0.0 < propensity <= 1.0:
            raise ValueError(f"propensity must be in (0, 1], not {propensity}")
        reason = Reason.EXPLORE if choice.explored[0] else Reason.POLICY
        return check_depth(choice.actions[0], self.policy.k_max), propensity, reason

    def _guarded(self, call: Callable[[], _Value]) -> _Value:
        try:
            return call()
        except Exception as e:
            raise PolicyError(f"policy {self.spec!r} failed: {type(e).__name__}: {e}") from e


class KeptPolicies:
    """The policies that were in force, by specification: one that returns knows what it learned.

    Args:
        info: who the engine is.
        seed: of what is random in them; None for another one every time.
    """

    def __init__(self, info: EngineInfo, seed: int | None = None) -> None:
        self._structure = _prior_structure(info)
        self._seed = Random().getrandbits(32) if seed is None else seed
        self._kept: dict[str, LivePolicy] = {}

    def get(self, spec: str) -> LivePolicy | None:
        """The policy of a specification; None for the learner's snapshots.

        Raises:
            ValueError: if there is none, saying what there is.
        """
        if _is_learned(spec):
            return None
        live = self._kept.pop(spec, None)
        if live is None:
            live = LivePolicy(spec, _make(spec, self._structure, self._seed))
        self._kept[spec] = live
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return live

    def use_structure(self, structure: Structure) -> None:
        """Give all of them newer step times and prices."""
        self._structure = structure
        for live in self._kept.values():
            live.policy.use_structure(structure)


def check_policy(spec: str, info: EngineInfo) -> str:
    """A policy for an engine from outside: its specification, or ``learned``.

    Raises:
        ValueError: if there is no such policy, or it does not fit the engine.
    """
    if _is_learned(spec):
        return LEARNED
    _make(spec, _prior_structure(info), 0)
    return spec


def _make(spec: str, structure: Structure, seed: int) -> Policy:
    if len(spec) > _LONGEST:
        raise ValueError(f"a policy is named in at most {_LONGEST} characters, not {len(spec)}")
    if spec.partition("?")[0] not in names():
        raise ValueError(f"no policy {spec[:80]!r}; there are {', '.join((LEARNED, *names()))}")
    return make_policy(spec, structure, seed=seed)


def _is_learned(spec: str) -> bool:
    return spec in ("", LEARNED)


def _prior_structure(info: EngineInfo) -> Structure:
    """What is known of an engine before any snapshot."""
    return Structure(info.k_max, PRIOR, compute_prices(info.parameter_ratio))
