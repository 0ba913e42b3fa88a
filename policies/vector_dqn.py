"""Vector-valued double Q-learning on Stable-Baselines3's DQN, fed from a replay buffer alone.

Every transition is drawn with a sampled speed in place of the one it was made under, and is
judged then: one value per depth and component. Values are averages per interval,

    target = (1 - gamma) x component + gamma x Q_averaged(next, a*),

where a* is the online network's best depth at the sampled speed (van Hasselt et al. 2016, arXiv
1509.06461). The depth that was applied looks ``n_step`` intervals ahead (Sutton 1988), every
shallower one is learned from besides (see ``counterfactual``), and under a reward of its own, which
has no structure to stand on, every deeper one as it is foretold, with little weight. A row weighs
as much as it emitted per request, so that what is fitted are seconds and dollars over tokens, not
the mean of their ratios, which short intervals would bias.

Of Stable-Baselines3 are the algorithm's frame, the replay buffer's, the policy and its networks,
the optimiser's care, the logger, saving and loading; of flyball are the vector of values, the
relabelling, the full information, the priorities, and that no environment is ever stepped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch as th
from stable_baselines3.common.utils import polyak_update
from torch.nn import functional

from .counterfactual import full_information
from .evidence import Told, beliefs, own_depth, row_weights, with_foretold
from .relabelling import at_speeds, sample_speeds
from .replay import Draw, Rows
from .snapshot import HIDDEN, VALUES, scalarise
from .spaces import SPEED_INDEX, Array
from .transition import Floats
from .vector_networks import VectorNetworks

Judge = Callable[[Rows, Floats], Floats]
"""Rows and a speed for each, shape (n,), to latency, cost and reward, shape (n, VALUES)."""

COMPONENT_BOUND: Final = 10.0
"""Components are winsorised to [0, this]: an interval that the machine spoiled must not count
for more than the worst depth could."""


class VectorDQN(VectorNetworks):
    """Learns from transitions that others made; never steps an environment.

    Args:
        k_max: greatest depth.
        judge: what transitions are worth now.
        hidden: units of each hidden layer.
        learning_rate: of AdamW.
        buffer_size: transitions kept.
        gamma: discount per interval.
        tau: share of the online network that is averaged in per gradient step; the averaged
            network gives the targets and the snapshots.
        anchor: transitions that what was known before weighs as much as, the analytic values or
            those ``begin_with`` was given: what is learned is drawn towards it at every depth,
            strongly while little was measured, ever less later.
        n_step: intervals that are looked ahead as they happened, before an estimate takes over.
        imagined: weight of a shallower depth's outcome, which rests on the step-time model, by
            that of one that was measured.
        seed: of everything random.
    """

    def __init__(
        self,
        k_max: int,
        judge: Judge,
        *,
        hidden: tuple[int, ...] = HIDDEN,
        learning_rate: float = 1e-3,
        buffer_size: int = 50_000,
        gamma: float = 0.25,
        tau: float = 0.02,
        anchor: float = 100.0,
        n_step: int = 3,
        imagined: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            k_max,
            hidden=hidden,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            gamma=gamma,
            tau=tau,
            seed=seed,
        )
        self.judge = judge
        self.anchor = anchor
        self.n_step = n_step
        self.imagined = imagined
        self.rng = np.random.default_rng(seed)
        self.knob = 0.5
        self.skipped = 0
        self.batch: Rows | None = None  # of the latest gradient step
        self.offending: Rows | None = None  # of the latest step whose loss was not finite
        self.last_loss: float | None = None
        self.measured = True

    def use_reward(self, linear: bool) -> None:
        """Forget the third value; unless the reward is linear it is learned anew."""
        self.base.linear = linear
        self.base.shift, self.base.scale = 0.0, 1.0
        self.measured = linear
        with th.no_grad():
            for network in (self.q_net, self.q_net_target):
                network.last.weight[2::VALUES] = 0.0
                network.last.bias[2::VALUES] = 0.0
        self.keep()

    def train(self, gradient_steps: int, batch_size: int = 128) -> None:
        """Take gradient steps; one whose loss is not finite is skipped and counted.

        After such a step the networks are those of the last ``keep``, and ``offending`` is its
        batch: as it was drawn, but for the speeds that the observations were relabelled with.
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        if not self.measured:
            self._measure_rewards()
        for _ in range(gradient_steps):
            draw = self.replay_buffer.draw(batch_size, self.rng)
            self.batch = draw.rows
            loss = self._loss(draw)
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = th.nn.utils.clip_grad_norm_(self.q_net.parameters(), self.max_grad_norm)
            if not (th.isfinite(loss) and th.isfinite(norm)):
                self.skipped += 1
                self.offending = self.batch
                self.restore()
                continue
            self.policy.optimizer.step()
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
            self.last_loss = loss.item()
            self.logger.record_mean("train/loss", self.last_loss)
        self._n_updates += gradient_steps

    def test_on(self, rows: Rows) -> None:
        """Let the correction tell rows that it has not learned from, and trust it accordingly."""
        if self.base.structure is None:
            return
        speeds = rows.observations[:, SPEED_INDEX].astype(np.float64)
        which, depths, every = self._told(rows)
        judged = self._judged(every, speeds[which])
        with th.no_grad():
            correction = self.q_net_target.correction(rows.observations)[which, depths, :2]
        known = self.base.structure.components(rows.observations)[which, depths]
        share = np.stack([speeds, 1.0 - speeds], axis=1)[which]
        missed = ((1.0 - self.gamma) * (judged[:, :2] - known) * share).sum(1)
        weights = row_weights(every.outcomes, np.isfinite(judged), self.base.linear)
        self.trust.add(
            depths,
            np.nan_to_num(missed),
            (correction.numpy() * share).sum(1),
            weights[:, 0].astype(np.float64),
        )

    def _measure_rewards(self) -> None:
        """Centre and spread of the rewards seen so far, so that any range is learned alike."""
        rows = self.replay_buffer.latest(4096)
        rewards = self.judge(rows, sample_speeds(len(rows), self.knob, self.rng))[:, 2]
        rewards = rewards[np.isfinite(rewards)]
        if len(rewards):
            self.base.shift = float(rewards.mean())
            self.base.scale = max(float(rewards.std()), 1e-3)
            self.measured = True

    def _loss(self, draw: Draw) -> th.Tensor:
        """Of all depths that the drawn rows tell of."""
        speeds = sample_speeds(len(draw.rows), self.knob, self.rng)
        rows = at_speeds(draw.rows, speeds)
        which, depths, every = self._told(rows)
        if self.base.structure is not None and not self.base.linear:
            told = which, depths, every
            which, depths, every = with_foretold(rows, told, self.base.structure)
        now = self._judged(every, speeds[which])
        finite = np.isfinite(now)
        own = np.flatnonzero(depths == rows.actions[which])
        after, ahead = self._ahead(draw.index, rows, speeds)
        now = np.where(finite, now, 0.0).astype(np.float32)
        target = (1.0 - self.gamma) * th.from_numpy(now) + self.gamma * after[which]
        target[own] += ahead
        correction = self.q_net.correction(rows.observations)
        values = self.base.values(correction, rows.observations)[which, depths]
        units = th.tensor([1.0, 1.0, self.base.scale])
        misses = functional.smooth_l1_loss(values / units, target / units, reduction="none")
        weights = row_weights(every.outcomes, finite, self.base.linear)
        share = min(self.anchor / self.replay_buffer.size(), 1.0)
        weights *= beliefs(depths, rows.actions[which], self.imagined, share)[:, None]
        weights *= draw.weights[which, None].astype(np.float32)
        self._record(values[own], misses[own])
        self._surprises(draw, values[own], target[own])
        corrected = (correction[..., :2] - self._known(rows.observations)).square().mean()
        pull = self.anchor / self.replay_buffer.size()
        total = (misses * th.from_numpy(weights)).sum() / len(rows)
        return total + pull * corrected

    def _known(self, raw: Array) -> th.Tensor:
        """The correction known before, both components, broadcast to (n, depths, 2)."""
        if self.prior is None:
            return th.zeros(2)
        with th.no_grad():
            return self.prior.correction(raw)[..., :2]

    def _told(self, rows: Rows) -> Told:
        """The rows, and what they tell of shallower depths once step times are known."""
        if self.base.structure is None or not self.imagined:
            return own_depth(rows)
        return full_information(rows, self.base.structure)

    def _judged(self, rows: Rows, speeds: Floats) -> Floats:
        """What rows are worth, shape (n, VALUES), the components winsorised."""
        judged = self.judge(rows, speeds)
        judged[:, :2] = np.clip(judged[:, :2], 0.0, COMPONENT_BOUND)
        return judged

    def _ahead(self, index: Any, rows: Rows, speeds: Floats) -> tuple[th.Tensor, th.Tensor]:
        """What follows rows: by the networks, and how what really came next differs from that.

        As far as the same engine's next rows are there: one that was dropped ends it.

        Returns:
            Values of the next state, and what looking further adds to the targets of the depths
            that were applied: both of shape (n, VALUES).
        """
        chain, here, linked = [rows], [], np.ones(len(rows), bool)
        for _ in range(self.n_step - 1):
            index, there = self.replay_buffer.successors(index)
            linked = linked & there
            here.append(th.from_numpy(linked.astype(np.float32))[:, None])
            chain.append(at_speeds(self.replay_buffer.take(index), speeds))
        values = self._afterwards(np.concatenate([part.following for part in chain]))
        after = values.reshape(len(chain), len(rows), VALUES)
        ahead, weight = th.zeros_like(after[0]), 1.0
        for i, part in enumerate(chain[1:]):
            now = th.from_numpy(np.nan_to_num(self._judged(part, speeds)).astype(np.float32))
            weight *= self.gamma
            step = (1.0 - self.gamma) * now + self.gamma * after[i + 1] - after[i]
            ahead += weight * here[i] * step
        return after[0], ahead

    def _afterwards(self, raw: Array) -> th.Tensor:
        """Averaged values of the best depth, shape (n, VALUES)."""
        with th.no_grad():
            base = self.base.analytic(raw, self.k_max + 1)
            online = self.q_net.correction(raw) * self.base.units + base
            score = scalarise(online.numpy(), raw[:, SPEED_INDEX], self.base.linear)
            best = np.arange(len(raw)), score.argmax(-1)
            averaged = self.q_net_target.correction(raw)[best]
            return averaged * self.base.units + base[best]

    def _surprises(self, draw: Draw, values: th.Tensor, target: th.Tensor) -> None:
        """Note by how much rows were missed, so that those are drawn again that teach most."""
        columns = slice(0, 2) if self.base.linear else slice(2, 3)
        missed = (values - target).detach()[:, columns].abs().mean(1)
        unit = 1.0 if self.base.linear else self.base.scale
        self.replay_buffer.priorities.learned(draw.index, missed.numpy() / unit)

    def _record(self, values: th.Tensor, misses: th.Tensor) -> None:
        means, losses = values.detach().mean(0).tolist(), misses.detach().mean(0).tolist()
        for i, name in enumerate(("latency", "cost", "reward")[: 2 if self.base.linear else 3]):
            self.logger.record_mean(f"train/q_{name}", means[i])
            self.logger.record_mean(f"train/loss_{name}", losses[i])
