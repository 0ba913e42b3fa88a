"""What past transitions are worth now: under today's prices, step times, reward and speed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ..envs.rewards import Reward, RewardError, RewardInputs, evaluate
from ..policies.prices import cost, latency, price_list
from ..policies.replay import Rows
from ..policies.spaces import SPEED_INDEX
from ..policies.transition import Floats
from .step_times import StepTimes

log = logging.getLogger(__name__)


@dataclass
class Relabel:
    """Judges rows whenever they are sampled.

    Attributes:
        cost_model: name of the price list.
        reward: in force.
        times: the engines' step-time models.
        faults: batches that the reward could not judge.
        last_fault: the reason of the latest.
    """

    cost_model: str
    reward: Reward
    times: StepTimes
    faults: int = 0
    last_fault: str = ""

    def __call__(self, rows: Rows, speeds: Floats) -> Floats:
        """Latency, cost and reward, shape (n, 3); the reward is NaN if it is linear or failed."""
        inputs = self.inputs(rows, speeds)
        out = np.stack([inputs.latency, inputs.cost, np.full(len(rows), np.nan)], axis=1)
        if not self.reward.linear:
            try:
                out[:, 2] = evaluate(self.reward, inputs)
            except RewardError as e:
                self._fault(str(e))
        return out

    def measured(self, rows: Rows) -> Floats:
        """Latency, cost and reward at the speeds the rows were decided under, shape (n, 3)."""
        inputs = self.inputs(rows, rows.observations[:, SPEED_INDEX].astype(np.float64))
        try:
            rewards = evaluate(self.reward, inputs)
        except RewardError as e:
            self._fault(str(e))
            rewards = np.full(len(rows), np.nan)
        return np.stack([inputs.latency, inputs.cost, rewards], axis=1)

    def inputs(self, rows: Rows, speeds: Floats) -> RewardInputs:
        """What a reward sees of the rows."""
        batch = self.times.batch(rows)
        costs = np.empty(len(rows))
        for ratio in np.unique(rows.ratios):
            mine = np.flatnonzero(rows.ratios == ratio)
            costs[mine] = cost(batch.take(mine), price_list(self.cost_model, float(ratio)))
        return RewardInputs(batch, latency(batch), costs, speeds)

    def _fault(self, reason: str) -> None:
        self.faults += 1
        if reason != self.last_fault:
            log.error("the reward could not judge a batch, which is left out: %s", reason)
        self.last_fault = reason
