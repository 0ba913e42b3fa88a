"""Estimates of how far drafts survive."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.inference.acceptance import Acceptance, Verified
from flyball.policies.spaces import CLASSES, MAX_DEPTH


def verified(rng: np.random.Generator, slot: int, rates: list[float], drafts: int) -> Verified:
    """Eight verifications of one class, whose position j is accepted with rates[j]."""
    counts = Verified()
    for _ in range(8):
        accepted = 0
        while accepted < drafts and rng.random() < rates[accepted]:
            accepted += 1
        if drafts:
            counts.add(slot, min(accepted + 1, drafts), accepted)
    return counts


def test_learns_each_position() -> None:
    rng, acceptance = np.random.default_rng(0), Acceptance()
    rates = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    found = []
    for step in range(4000):
        acceptance.update(verified(rng, 0, rates, MAX_DEPTH))
        if step > 500:
            found.append(list(acceptance.position))
    # Deep positions are seldom tried, so they lean on the position before: within that pull.
    assert np.mean(found, 0)[:5] == pytest.approx(rates[:5], abs=0.04)
    assert all(np.diff(np.mean(found, 0)) < 0)


def test_tells_classes_apart_and_mixes_them_by_share() -> None:
    rng, acceptance = np.random.default_rng(0), Acceptance()
    for _ in range(500):
        acceptance.update(verified(rng, 1, [0.2] * 8, 4))
        acceptance.update(verified(rng, 5, [0.9] * 8, 4))
    share = [0.0] * CLASSES
    share[1], share[5] = 0.25, 0.75
    expected = [0.25 * 0.2**j + 0.75 * 0.9**j for j in range(1, MAX_DEPTH + 1)]
    assert acceptance.survival(share) == pytest.approx(expected, abs=0.08)


def test_survival_never_grows_with_position() -> None:
    rng, acceptance = np.random.default_rng(1), Acceptance()
    for _ in range(50):
        rates = list(rng.random(8))
        acceptance.update(verified(rng, int(rng.integers(CLASSES)), rates, 6))
        survival = acceptance.survival(list(rng.dirichlet(np.ones(CLASSES))))
        assert all(np.diff(survival) <= 1e-12)
        assert 0 <= survival[-1] <= survival[0] <= 1


def test_without_evidence_nothing_moves() -> None:
    acceptance = Acceptance()
    acceptance.update(Verified())
    assert acceptance.position == [Acceptance.START] * MAX_DEPTH


def test_what_is_not_tried_drifts_to_what_is_known_nearby() -> None:
    rng, acceptance = np.random.default_rng(0), Acceptance()
    for _ in range(300):
        acceptance.update(verified(rng, 0, [0.95] * 8, 8))
    for _ in range(300):
        acceptance.update(verified(rng, 0, [0.1] * 8, 1))
    assert acceptance.position[0] == pytest.approx(0.1, abs=0.1)
    assert acceptance.position[4] == pytest.approx(acceptance.position[0], abs=0.05)
