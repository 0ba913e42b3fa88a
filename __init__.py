"""flyball: a governor for LLM serving.

What is public is here; each name is imported when it is first used, so that ``import flyball``
stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .envs.depth import DepthEnv
    from .envs.rewards import Reward, RewardError, RewardInputs, load_reward
    from .inference.client import ControllerClient, ControllerError
    from .inference.wire import Mode
    from .policies.snapshot import Snapshot, SnapshotError
    from .policies.spaces import DEPTH_SPACE
    from .policies.transition import Decision, Outcome, OutcomeBatch, Transition

__version__ = "0.1.0"

_HOMES = {
    "ControllerClient": "inference.client",
    "ControllerError": "inference.client",
    "DEPTH_SPACE": "policies.spaces",
    "Decision": "policies.transition",
    "DepthEnv": "envs.depth",
    "Mode": "inference.wire",
    "Outcome": "policies.transition",
    "OutcomeBatch": "policies.transition",
    "Reward": "envs.rewards",
    "RewardError": "envs.rewards",
    "RewardInputs": "envs.rewards",
    "Snapshot": "policies.snapshot",
    "SnapshotError": "policies.snapshot",
    "Transition": "policies.transition",
    "load_reward": "envs.rewards",
}

__all__ = [
    "DEPTH_SPACE",
    "ControllerClient",
    "ControllerError",
    "Decision",
    "DepthEnv",
    "Mode",
    "Outcome",
    "OutcomeBatch",
    "Reward",
    "RewardError",
    "RewardInputs",
    "Snapshot",
    "SnapshotError",
    "Transition",
    "__version__",
    "load_reward",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'flyball' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
