"""Agents that answer as recorded, on a clock that jumps: the planner that serves is replayed."""
