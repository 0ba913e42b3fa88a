"""Dynamic Speculative Planning as published: rounds as long as a predicted run of matches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from ..transition import Floats
from .policy import FinishedRun, PlanPolicy
from .run_length import RunLengthModel
from .state import MAX_AHEAD, Ahead, Committed, PlanState

LAMBDA: Final = 0.95
PASSES: Final = 3
EPISODES: Final = 2500
"""Of TD(lambda), of learning over what is kept, and of what is kept: as published."""


@dataclass(slots=True)
class Episode:
    """States from the start of a run, or a mismatch, to the next mismatch or the run's end.

    Attributes:
        texts: of the states, in order.
        agreed: whether the step after each matched.
        ended: whether nothing follows the last: a mismatch, or the task was done.
    """

    texts: list[str] = field(default_factory=list)
    agreed: list[bool] = field(default_factory=list)
    ended: bool = False


class Dsp(PlanPolicy):
    """Rounds of V + beta steps, V the predicted run of matches (DSP, arXiv 2509.01920).

    V is a state value: reward 1 for each step that matches, no discount, an episode until the first
    mismatch, TD(lambda) targets, an expectile in place of the mean. Neither seconds nor dollars
    enter; tau and beta are its knobs, and the speed is not looked at. Where the publication leaves
    something open: V is rounded, a round has at least one step (with none, nothing would ever be
    learned again), and what is kept is learned from after every ``every`` finished runs.

    Args:
        tau: the expectile, in [0.5, 1).
        beta: steps added to the prediction.
        encoder: as for ``RunLengthModel``.
        every: finished runs between two times of learning.
        background: learn and predict in a thread of its own, so that no call waits; else at once,
            which is repeatable.
        seed: of everything random.

    Raises:
        ValueError: naming what will not do.
    """

    name: ClassVar[str] = "dsp"
    about: ClassVar[str] = "rounds by the predicted run of matches (Dynamic Speculative Planning)"
    barrier = True

    def __init__(
        self,
        tau: float = 0.5,
        beta: int = 0,
        encoder: str = "",
        every: int = 16,
        background: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0.5 <= tau < 1.0:
            raise ValueError(f"dsp: tau must be in [0.5, 1), not {tau}")
        if every < 1:
            raise ValueError(f"dsp: every must be at least 1, not {every}")
        self.model = RunLengthModel(tau, encoder, seed)
        self.beta = beta
        self.every = every
        self.slow = background
        self._episodes: deque[Episode] = deque(maxlen=EPISODES)
        self._open: dict[int, Episode] = {}  # by run
        self._finished = 0
        self._thread = ThreadPoolExecutor(1, "dsp") if background else None
        self._learning: Future[None] | None = None

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``."""
        value = float(self.model.predict([state_text(state.task, state.committed)])[0])
        return Ahead(min(max(round(value) + self.beta, 1), MAX_AHEAD), values=(value,))

    async def consider(self, state: PlanState) -> Ahead:
        """Decide for a round, beside the event loop if it may take time."""
        if self._thread is None:
            return self.decide(state)
        return await asyncio.wrap_future(self._thread.submit(self.decide, state))

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:  # noqa: ARG002
        """Note a verdict; a step without a proposal ends what is known of an episode."""
        episode = self._open.setdefault(state.run, Episode())
        if matched is not None:
            episode.texts.append(state_text(state.task, state.committed))
            episode.agreed.append(matched)
            episode.ended = not matched
        if matched is not True:
            self._close(state.run)

    def finished(self, run: FinishedRun) -> None:
        """Keep the run's last episode; learn when it is time."""
        if run.run in self._open:
            self._open[run.run].ended |= run.complete
            self._close(run.run)
        self._finished += 1
        if self._finished % self.every == 0 and self._episodes:
            self._learn()

    def forget(self, run: int) -> None:
        """Drop a run's episode: how it goes on will not be known."""
        self._open.pop(run, None)

    def _close(self, run: int) -> None:
        episode = self._open.pop(run)
        if episode.texts:
            self._episodes.append(episode)

    def _learn(self) -> None:
        episodes = list(self._episodes)
        if self._thread is None:
            learn(self.model, episodes)
        elif self._learning is None or self._learning.done():
            if self._learning is not None:
                self._learning.result()  # what went wrong the last time is told now
            self._learning = self._thread.submit(learn, self.model, episodes)


def learn(model: RunLengthModel, episodes: list[Episode]) -> None:
    """Learn from episodes, in several passes, towards targets as of before."""
    texts = [text for episode in episodes for text in episode.texts]
    values = np.split(model.predict(texts), np.cumsum([len(e.texts) for e in episodes])[:-1])
    targets = np.concatenate([td_targets(e, v) for e, v in zip(episodes, values, strict=True)])
    for _ in range(PASSES):
        model.learn(texts, targets)


def td_targets(episode: Episode, values: Floats) -> Floats:
    """TD(lambda) targets of an episode's states (Sutton 1988), without discount.

    Args:
        episode: with n states, at least one.
        values: predicted run lengths of the states, shape (n,).

    Returns:
        Shape (n,). An episode that was cut off goes on as its last state was predicted to, less
        the step made: how long it would have been is not known.
    """
    targets: Floats = np.empty(len(values))
    after = 0.0 if episode.ended else max(float(values[-1]) - 1.0, 0.0)
    following = after
    for i in range(len(values) - 1, -1, -1):
        mixed = LAMBDA * following + (1.0 - LAMBDA) * after
        targets[i] = following = float(episode.agreed[i]) * (1.0 + mixed)
        after = float(values[i])
    return targets


def state_text(task: str, committed: Sequence[Committed]) -> str:
    """A state as text: the task and its steps so far."""
    return "\n".join([task, *(f"{i}. {step.action}" for i, step in enumerate(committed, 1))])
