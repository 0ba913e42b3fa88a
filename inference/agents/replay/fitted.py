"""The numbers that generated plans are drawn with, and those of the planning trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Lengths = npt.NDArray[np.intp]

LONGEST: Final = 11
"""Most steps of a task in the trace, and of a generated one."""


@dataclass(frozen=True, slots=True)
class MatchModel:
    """How matches come: a logistic model with random effects.

    logit P(match) = ``position`` (by step, the last entry for all later ones; ``final`` where T
    ends the task) + ``after`` x (1/2 after a match, -1/2 after a mismatch, 0 at first) +
    ``task_sd`` x z(template) + ``step_sd`` x z(template, step), z standard normal and the same
    whenever a template is met again. A share ``always`` of the templates matches at every step.
    """

    position: tuple[float, ...]
    final: float
    after: float
    task_sd: float
    step_sd: float
    always: float

    def draw(self, lengths: Lengths, luck: Luck) -> Bools:
        """Matches of runs.

        Args:
            lengths: steps of every run, shape (n,).
            luck: what is random about them.

        Returns:
            Shape (n, LONGEST); what is beyond a run's length means nothing.
        """
        at = np.minimum(np.arange(LONGEST), len(self.position) - 1)
        level = np.tile(np.asarray(self.position)[at], (len(lengths), 1))
        level[np.arange(len(lengths)), lengths - 1] = self.final
        level += self.task_sd * luck.task[:, None] + self.step_sd * luck.step
        out = np.zeros((len(lengths), LONGEST), np.bool_)
        before: Floats = np.zeros(len(lengths))
        for i in range(LONGEST):
            chance = 1.0 / (1.0 + np.exp(-(level[:, i] + self.after * before)))
            out[:, i] = (luck.run[:, i] < chance) | (luck.always < self.always)
            before = np.where(out[:, i], 0.5, -0.5)
        return out


@dataclass(frozen=True, slots=True)
class Luck:
    """What is random about matches of n runs.

    Attributes:
        task: standard normal, shape (n,): of the runs' templates.
        step: standard normal, shape (n, LONGEST): of the templates' steps.
        always: uniform, shape (n,): of the templates.
        run: uniform, shape (n, LONGEST): of each run alone.
    """

    task: Floats
    step: Floats
    always: Floats
    run: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, n: int) -> Luck:
        """Fresh luck, for n templates met once each."""
        return cls(
            rng.standard_normal(n),
            rng.standard_normal((n, LONGEST)),
            rng.random(n),
            rng.random((n, LONGEST)),
        )

    def again(self, rng: np.random.Generator) -> Luck:
        """The same templates met once more."""
        return Luck(self.task, self.step, self.always, rng.random(self.run.shape))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Everything that generated plans are drawn with.

    Attributes:
        match: how matches come.
        lengths: share of the tasks that have 1, 2, ... LONGEST steps.
        terminates: P(A says TERMINATE | it is wrong, T does not), by step, the last for later ones.
        repeats: P(T does the same as usual at a step of a template that is met again).
        a_log_seconds: mean and standard deviation of log(A's seconds).
        a_tokens: mean and standard deviation of A's generated tokens.
        action_tokens: the same of T's second request, the action.
        thought_log_tokens: mean log of the tokens of T's thought, by step, the last for later ones.
        thought_log_sd: their standard deviation about that.
        t_seconds: constant and per generated token, of T's seconds.
        t_log_sd: standard deviation of log(T's seconds over that).
        a_prompt: A's prompt tokens at the first step, and more per further step.
        thought_prompt: the same of T's thought.
        action_prompt: the same of T's action, without the thought that it contains.
    """

    match: MatchModel
    lengths: tuple[float, ...]
    terminates: tuple[float, ...]
    repeats: float
    a_log_seconds: tuple[float, float]
    a_tokens: tuple[float, float]
    action_tokens: tuple[float, float]
    thought_log_tokens: tuple[float, ...]
    thought_log_sd: float
    t_seconds: tuple[float, float]
    t_log_sd: float
    a_prompt: tuple[float, float]
    thought_prompt: tuple[float, float]
    action_prompt: tuple[float, float]
