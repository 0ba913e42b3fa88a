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
    from .inference.agents.api import plan
    from .inference.agents.budget import Budget
    from .inference.agents.costs import ModelPrice
    from .inference.agents.endpoint import Endpoint
    from .inference.agents.function import FunctionAgent
    from .inference.agents.function_tools import effectful, final, pure
    from .inference.agents.openai import OpenAIAgent
    from .inference.agents.planner import Planner
    from .inference.agents.protocol import Action, Agent, AgentError, Call, Step, Turn
    from .inference.agents.rates import RateLimit
    from .inference.agents.styles import ToolCalls
    from .inference.agents.terms import Limits
    from .inference.agents.trajectory import PlanError, Trajectory
    from .inference.client import ControllerClient, ControllerError
    from .inference.reports import Mode
    from .policies.snapshot import Snapshot, SnapshotError
    from .policies.spaces import DEPTH_SPACE
    from .policies.transition import Decision, Outcome, OutcomeBatch, Transition

__version__ = "0.1.0"

_HOMES = {
    "Action": "inference.agents.protocol",
    "Agent": "inference.agents.protocol",
    "AgentError": "inference.agents.protocol",
    "Budget": "inference.agents.budget",
    "Call": "inference.agents.protocol",
    "ControllerClient": "inference.client",
    "ControllerError": "inference.client",
    "DEPTH_SPACE": "policies.spaces",
    "Decision": "policies.transition",
    "DepthEnv": "envs.depth",
    "Endpoint": "inference.agents.endpoint",
    "FunctionAgent": "inference.agents.function",
    "Limits": "inference.agents.terms",
    "Mode": "inference.reports",
    "ModelPrice": "inference.agents.costs",
    "OpenAIAgent": "inference.agents.openai",
    "Outcome": "policies.transition",
    "OutcomeBatch": "policies.transition",
    "PlanError": "inference.agents.trajectory",
    "Planner": "inference.agents.planner",
    "RateLimit": "inference.agents.rates",
    "Reward": "envs.rewards",
    "RewardError": "envs.rewards",
    "RewardInputs": "envs.rewards",
    "Snapshot": "policies.snapshot",
    "SnapshotError": "policies.snapshot",
    "Step": "inference.agents.protocol",
    "ToolCalls": "inference.agents.styles",
    "Trajectory": "inference.agents.trajectory",
    "Transition": "policies.transition",
    "Turn": "inference.agents.protocol",
    "effectful": "inference.agents.function_tools",
    "final": "inference.agents.function_tools",
    "load_reward": "envs.rewards",
    "plan": "inference.agents.api",
    "pure": "inference.agents.function_tools",
}

__all__ = [
    "DEPTH_SPACE",
    "Action",
    "Agent",
    "AgentError",
    "Budget",
    "Call",
    "ControllerClient",
    "ControllerError",
    "Decision",
    "DepthEnv",
    "Endpoint",
    "FunctionAgent",
    "Limits",
    "Mode",
    "ModelPrice",
    "OpenAIAgent",
    "Outcome",
    "OutcomeBatch",
    "PlanError",
    "Planner",
    "RateLimit",
    "Reward",
    "RewardError",
    "RewardInputs",
    "Snapshot",
    "SnapshotError",
    "Step",
    "ToolCalls",
    "Trajectory",
    "Transition",
    "Turn",
    "__version__",
    "effectful",
    "final",
    "load_reward",
    "plan",
    "pure",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'flyball' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
