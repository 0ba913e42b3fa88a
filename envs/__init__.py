"""Gymnasium environments around an engine, and the rewards.

Importing this registers ``flyball/Depth-v0``.
"""

from gymnasium.envs.registration import register

# The entry point is a text: what the environment needs is imported when one is made.
register(id="flyball/Depth-v0", entry_point="flyball.envs.depth:DepthEnv", nondeterministic=True)
