"""What a change while an engine serves costs, by policies for which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.benchmarks.depth.changes import Changes, change_figures
from flyball.benchmarks.depth.scenarios import changing
from flyball.policies.catalogue.registry import make_policy
from flyball.policies.policy import Choice, Policy
from flyball.policies.spaces import SPEED_INDEX


class Switch(Policy):
    """As deep as the knob says, or as deep as can be under another reward."""

    name = "switch"
    about = "for tests"

    def __init__(self, structure, engines, seed):
        super().__init__(structure, engines, seed)
        self.frozen = False
        self.swapped = False

    def act(self, raw):
        wanted = np.where(raw[:, SPEED_INDEX] == 1.0, 3, 0)
        if self.swapped:
            wanted = np.full(len(raw), 3)
        return Choice(wanted, np.ones(len(raw)), np.zeros(len(raw), bool))

    def use_reward(self, spec):
        assert spec == "goodput"
        self.swapped = True
        return [0.25]


def make(name, structure, engines, seed):
    if name == "off":
        return make_policy(name, structure, engines, seed)
    return Switch(structure, engines, seed)


def test_who_follows_at_once_loses_nothing() -> None:
    figures = change_figures([Changes(changing(90.0), make, [3, 4])], 0)
    assert figures["knob_turn_ratio"] == pytest.approx(1.0, abs=0.1)
    assert figures["knob_turn_intervals"] == 1.0
    assert figures["reward_swap_ratio"] == pytest.approx(1.0, abs=0.1)
    assert figures["reward_swap_seconds"] == 0.25
    assert figures["reward_kept_ratio"] < 0.8
    assert figures["knob_turn_ratio_low"] <= figures["knob_turn_ratio_high"]


def test_only_the_half_after_the_turn_counts() -> None:
    tally, waited = Changes(changing(90.0), make, [3]).knob()
    assert waited == 1
    assert [arm.policy for arm in tally.arms] == ["off", "learned", "turned"]
    assert len(tally.complete().units) in (4, 5, 6)  # of nine phases
