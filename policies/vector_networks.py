"""A DQN of Stable-Baselines3 whose networks tell one value per depth and component.

Here is what it is made of and how that is kept, exported, adopted and stored; ``VectorDQN`` learns.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.dqn import DQN

from .q_network import Base, VectorPolicy, VectorQNetwork
from .replay import OutcomeReplay
from .spaces import DEPTH_SPACE, Array
from .structure import Structure
from .transition import Floats
from .trust import Trust


class VectorNetworks(DQN):
    """The online network, the averaged one, the prior they are drawn to, and their optimiser.

    Args:
        k_max: greatest depth.
        hidden: units of each hidden layer.
        learning_rate: of AdamW.
        buffer_size: transitions kept.
        gamma: discount per interval.
        tau: share of the online network that is averaged in per gradient step.
        seed: of everything random in the networks.
    """

    policy: VectorPolicy
    q_net: VectorQNetwork
    q_net_target: VectorQNetwork
    replay_buffer: OutcomeReplay

    def __init__(
        self,
        k_max: int,
        *,
        hidden: tuple[int, ...],
        learning_rate: float,
        buffer_size: int,
        gamma: float,
        tau: float,
        seed: int,
    ) -> None:
        self.base = Base(gamma)
        super().__init__(
            VectorPolicy,
            env=None,  # type: ignore[arg-type]
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            gamma=gamma,
            tau=tau,
            replay_buffer_class=OutcomeReplay,
            policy_kwargs={
                "base": self.base,
                "net_arch": list(hidden),
                "optimizer_class": th.optim.AdamW,
                "optimizer_kwargs": {"weight_decay": 1e-4},
            },
            seed=seed,
            device="cpu",
            _init_setup_model=False,
        )
        self.observation_space = observation_space()
        self.action_space = spaces.Discrete(k_max + 1)
        self.n_envs = 1
        self.k_max = k_max
        self.hidden = tuple(hidden)
        self.trust = Trust()
        self.prior: VectorQNetwork | None = None  # the correction known before; None for nought
        self._setup_model()
        self._good = self._copy()

    def use_structure(self, structure: Structure) -> None:
        """Take a newer analytic prediction as what the correction is added to."""
        self.base.structure = structure

    def keep(self) -> None:
        """Remember the networks and the optimiser as good."""
        self._good = self._copy()

    def restore(self) -> None:
        """Return to the networks and the optimiser last kept."""
        self.set_parameters(cast(Any, self._good))

    @property
    def updates(self) -> int:
        """Gradient steps taken."""
        return self._n_updates

    @updates.setter
    def updates(self, count: int) -> None:
        self._n_updates = count

    def exported(self, trust: Floats | None = None) -> dict[str, Array]:
        """The averaged network's layers, for a snapshot; ``trust`` scales each depth's."""
        return self.q_net_target.exported(trust)

    def begin_with(self, weights: dict[str, Array], trust: Floats | None = None) -> None:
        """Begin with a snapshot's layers, and hold what is learned to them.

        Args:
            weights: as a snapshot has them.
            trust: sums as ``Trust`` keeps them; None leaves those there are.

        Raises:
            ValueError: if they have other shapes.
        """
        self.adopt(weights)
        self.hold_to(weights)
        if trust is not None:
            self.trust.sums = np.array(trust, np.float64)

    def hold_to(self, weights: dict[str, Array]) -> None:
        """Draw what is learned towards a snapshot's correction, in place of none.

        Raises:
            ValueError: if its layers have other shapes.
        """
        prior = deepcopy(self.q_net_target)
        prior.adopt(weights)
        self.prior = prior

    def adopt(self, weights: dict[str, Array]) -> None:
        """Carry on from a snapshot's layers.

        Raises:
            ValueError: if they have other shapes.
        """
        for network in (self.q_net, self.q_net_target):
            network.adopt(weights)
        self.keep()

    def tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """Networks and optimiser as named arrays."""
        parameters = self.get_parameters()
        out = {f"policy/{name}": t.numpy().copy() for name, t in parameters["policy"].items()}
        for i, state in parameters["policy.optimizer"]["state"].items():
            out |= {f"optimizer/{i}/{name}": t.numpy().copy() for name, t in state.items()}
        return out

    def load_tensors(self, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
        """Carry on from ``tensors()``.

        Raises:
            ValueError: if they do not fit these networks.
        """
        policy: dict[str, th.Tensor] = {}
        states: dict[int, dict[str, th.Tensor]] = {}
        for key, array in tensors.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{key} is not finite")
            kind, _, name = key.partition("/")
            if kind == "policy":
                policy[name] = th.from_numpy(array.copy())
            else:
                i, _, part = name.partition("/")
                states.setdefault(int(i), {})[part] = th.from_numpy(array.copy())
        groups = self.policy.optimizer.state_dict()["param_groups"]
        try:
            optimizer = {"state": states, "param_groups": groups}
            self.set_parameters(cast(Any, {"policy": policy, "policy.optimizer": optimizer}))
        except RuntimeError as e:
            raise ValueError(f"the networks have another shape: {e}") from None
        self.keep()

    def _copy(self) -> dict[str, dict[str, Any]]:
        copied: dict[str, dict[str, Any]] = _clone(self.get_parameters())
        return copied


def observation_space() -> spaces.Box:
    """Raw observations as a Gymnasium space: bounded in type only, as they are never clipped."""
    return spaces.Box(-np.inf, np.inf, (DEPTH_SPACE.size,), np.float32)


def _clone(tree: Any) -> Any:
    if isinstance(tree, th.Tensor):
        return tree.detach().clone()
    if isinstance(tree, dict):
        return {key: _clone(value) for key, value in tree.items()}
    return tree
