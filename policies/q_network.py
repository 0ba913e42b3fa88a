"""The value network: a learned correction, by depth and component, of the analytic prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from .snapshot import VALUES, long_run, scalarise
from .spaces import DEPTH_SPACE, SPEED_INDEX, Array
from .structure import Structure
from .transition import Floats


class Normalise(BaseFeaturesExtractor):
    """``DEPTH_SPACE.normalise`` in front of the first layer, so that observations stay raw."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, DEPTH_SPACE.size)

    def forward(self, raw: th.Tensor) -> th.Tensor:
        """Raw observations to [0, 1], shape (n, DEPTH_SPACE.size)."""
        return th.from_numpy(DEPTH_SPACE.normalise(raw.numpy()))


class Base:
    """What the correction is added to; one object, shared by the online and the averaged network.

    Attributes:
        structure: the analytic prediction, or None where it is nought.
        gamma: discount per interval.
        linear: whether the third value is unused.
        shift: centre of the rewards.
        scale: spread of the rewards; the network gives the third value in units of it.
    """

    def __init__(self, gamma: float) -> None:
        self.structure: Structure | None = None
        self.gamma = gamma
        self.linear = True
        self.shift = 0.0
        self.scale = 1.0

    @property
    def units(self) -> th.Tensor:
        """What one unit of the network's values is."""
        return th.tensor([1.0, 1.0, self.scale])

    def analytic(self, raw: Array, depths: int) -> th.Tensor:
        """Values before anything is learned, shape (n, depths, VALUES)."""
        base = np.zeros((len(raw), depths, VALUES), np.float32)
        if self.structure is not None:
            components = self.structure.components(raw)
            base[..., :2] = long_run(components, raw[..., SPEED_INDEX], self.gamma)
        base[..., 2] = self.shift
        return th.from_numpy(base)

    def values(self, correction: th.Tensor, raw: Array) -> th.Tensor:
        """Correction, shape (n, depths, VALUES), to values in their own units."""
        return correction * self.units + self.analytic(raw, correction.shape[1])


class VectorQNetwork(QNetwork):
    """Values of every depth by component, shape (n, depths, VALUES)."""

    def __init__(self, *args: Any, base: Base, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.base = base
        outputs = int(self.action_space.n) * VALUES
        layers = create_mlp(self.features_dim, outputs, self.net_arch, self.activation_fn)
        self.q_net = nn.Sequential(*layers)
        # Before anything is learned, the policy is the analytic one.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def last(self) -> nn.Linear:
        """The last layer."""
        layer = self.q_net[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def correction(self, raw: Array) -> th.Tensor:
        """What was learned, the third value in units of the reward's spread."""
        features = th.from_numpy(DEPTH_SPACE.normalise(raw))
        corrected: th.Tensor = self.q_net(features)
        return corrected.reshape(len(raw), -1, VALUES)

    def forward(self, obs: Any) -> th.Tensor:
        """Values for raw observations, shape (n, DEPTH_SPACE.size)."""
        raw = np.asarray(obs, np.float32)
        return self.base.values(self.correction(raw), raw)

    def _predict(self, observation: Any, deterministic: bool = True) -> th.Tensor:  # noqa: ARG002
        raw = np.asarray(observation, np.float32)
        values = self(observation).detach().numpy()
        best = scalarise(values, raw[..., SPEED_INDEX], self.base.linear).argmax(-1)
        return th.from_numpy(best)

    def exported(self, trust: Floats | None = None) -> dict[str, Array]:
        """The layers as a snapshot holds them, the third value in its own units.

        Args:
            trust: factors on the correction of every depth, at least k_max + 1; None for ones.
        """
        weights: dict[str, Array] = {}
        linears = [layer for layer in self.q_net if isinstance(layer, nn.Linear)]
        for i, layer in enumerate(linears):
            weights[f"layer{i}.weight"] = layer.weight.detach().numpy().copy()
            weights[f"layer{i}.bias"] = layer.bias.detach().numpy().copy()
        last = len(linears) - 1
        if trust is not None:
            for value in (0, 1):
                mine = weights[f"layer{last}.bias"][value::VALUES]
                factors = trust[: len(mine)].astype(np.float32)
                mine *= factors
                weights[f"layer{last}.weight"][value::VALUES] *= factors[:, None]
        weights[f"layer{last}.weight"][2::VALUES] *= self.base.scale
        weights[f"layer{last}.bias"][2::VALUES] *= self.base.scale
        weights[f"layer{last}.bias"][2::VALUES] += self.base.shift
        return weights

    def adopt(self, weights: dict[str, Array]) -> None:
        """The reverse of ``exported``, under the reward's present units.

        Raises:
            ValueError: if the layers have other shapes.
        """
        linears = [layer for layer in self.q_net if isinstance(layer, nn.Linear)]
        tensors: list[tuple[th.Tensor, Array]] = []
        for i, layer in enumerate(linears):
            tensors.append((layer.weight, weights.get(f"layer{i}.weight", _NOTHING)))
            tensors.append((layer.bias, weights.get(f"layer{i}.bias", _NOTHING)))
        if len(weights) != len(tensors) or any(t.shape != a.shape for t, a in tensors):
            raise ValueError("the snapshot's layers differ from the learner's")
        with th.no_grad():
            for tensor, array in tensors:
                tensor.copy_(th.from_numpy(array))
            self.last.bias[2::VALUES] -= self.base.shift
            self.last.bias[2::VALUES] /= self.base.scale
            self.last.weight[2::VALUES] /= self.base.scale


class VectorPolicy(DQNPolicy):
    """SB3's DQN policy around two vector-valued networks."""

    q_net: VectorQNetwork
    q_net_target: VectorQNetwork

    def __init__(self, *args: Any, base: Base, **kwargs: Any) -> None:
        self.base = base
        super().__init__(*args, **{**kwargs, "features_extractor_class": Normalise})

    def make_q_net(self) -> VectorQNetwork:
        """One network."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return VectorQNetwork(**arguments, base=self.base)


_NOTHING: Array = np.zeros(0, np.float32)
