"""Gymnasium environments around an engine, live or simulated, and the rewards.

Importing this registers ``flyball/Depth-v0`` and ``flyball/Plan-v0``.
"""

from gymnasium.envs.registration import register

# The entry point is a text: what the environment needs is imported when one is made.
register(id="flyball/Depth-v0", entry_point="flyball.envs.making:make_depth", nondeterministic=True)
register(id="flyball/Plan-v0", entry_point="flyball.envs.plan:PlanEnv", nondeterministic=True)
