"""What tests do with learners."""

from __future__ import annotations

from factories import State

USUAL = (State(),)


def feed(learner, world, count, states=USUAL):
    return learner.ingest(world.info(), world.transitions(count, states))


def train(learner, updates=None):
    """Let it train until nothing is owed."""
    while learner.state.owed() >= 1 and (updates is None or learner.updates < updates):
        learner.step(0.5)
