"""The value network of plans: a learned correction, by choice and component, of our rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from ..spaces import Array
from ..transition import Floats
from .schedule import CHOICES
from .snapshot import PLAN_VALUES
from .space import PLAN_SPACE, PLAN_SPEED_INDEX
from .structure import Foreseen, foresee, steps_ahead, weighed


class Normalise(BaseFeaturesExtractor):
    """``PLAN_SPACE.normalise`` in front of the first layer, so that observations stay raw."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, PLAN_SPACE.size)

    def forward(self, raw: th.Tensor) -> th.Tensor:
        """Raw observations to [0, 1], shape (n, PLAN_SPACE.size)."""
        return th.from_numpy(PLAN_SPACE.normalise(raw.numpy()))


class PlanQNetwork(QNetwork):
    """Corrections of every choice by component, shape (n, CHOICES, PLAN_VALUES)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        outputs = CHOICES * PLAN_VALUES
        layers = create_mlp(self.features_dim, outputs, self.net_arch, self.activation_fn)
        self.q_net = nn.Sequential(*layers)
        # Before anything is learned, the policy is the rule.
        last = self._linears()[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def correction(self, raw: Array) -> th.Tensor:
        """What was learned of raw observations, shape (n, PLAN_SPACE.size)."""
        corrected: th.Tensor = self.q_net(th.from_numpy(PLAN_SPACE.normalise(raw)))
        return corrected.reshape(len(raw), CHOICES, PLAN_VALUES)

    def forward(self, obs: Any) -> th.Tensor:
        """Values of raw observations: what is foreseen, and the correction."""
        raw = np.asarray(obs, np.float32)
        return self.correction(raw) + th.from_numpy(relative(raw, foresee(raw)))

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:  # noqa: ARG002
        raw = np.asarray(observation, np.float32)
        values = self(raw).detach().double().numpy()
        return th.from_numpy(weighed(values, raw[:, PLAN_SPEED_INDEX]).argmin(-1))

    def exported(self) -> dict[str, Array]:
        """The layers as a snapshot holds them."""
        weights: dict[str, Array] = {}
        for i, layer in enumerate(self._linears()):
            weights[f"layer{i}.weight"] = layer.weight.detach().numpy().copy()
            weights[f"layer{i}.bias"] = layer.bias.detach().numpy().copy()
        return weights

    def adopt(self, weights: dict[str, Array]) -> None:
        """Carry on from a snapshot's layers.

        Raises:
            ValueError: if they have other shapes.
        """
        own = self.exported()
        if weights.keys() != own.keys() or any(weights[k].shape != own[k].shape for k in own):
            raise ValueError("the snapshot's layers differ from the learner's")
        with th.no_grad():
            for i, layer in enumerate(self._linears()):
                layer.weight.copy_(th.from_numpy(weights[f"layer{i}.weight"]))
                layer.bias.copy_(th.from_numpy(weights[f"layer{i}.bias"]))

    def _linears(self) -> list[nn.Linear]:
        return [layer for layer in self.q_net if isinstance(layer, nn.Linear)]


class PlanQPolicy(DQNPolicy):
    """SB3's DQN policy around two networks of plans."""

    q_net: PlanQNetwork
    q_net_target: PlanQNetwork

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "features_extractor_class": Normalise})

    def make_q_net(self) -> PlanQNetwork:
        """One network."""
        return PlanQNetwork(**self._update_features_extractor(self.net_args))


def relative(raw: Array, foreseen: Foreseen) -> Array:
    """What is foreseen, less what as many steps take without running ahead: 0 is sequential.

    Values are sums over what is left of a run, and a run has its number of steps whatever is
    chosen; so nothing is lost, and values stay small.

    Args:
        raw: raw observations, float32, shape (n, PLAN_SPACE.size).
        foreseen: of them.

    Returns:
        float32, shape (n, CHOICES, PLAN_VALUES).
    """
    less: Floats = foreseen.components - steps_ahead(raw)[:, None, None]
    return less.astype(np.float32)
