"""How drafters fare, each by itself."""

from __future__ import annotations

import numpy as np
from flyball.inference.drafter_records import DrafterRecords
from flyball.inference.drafters.pool import DrafterState
from flyball.inference.requests import EASY, HARD


def test_each_drafter_has_its_own_acceptance() -> None:
    records = DrafterRecords()
    for _ in range(300):
        records["good"].add(EASY, 3, 3, used=True)
        records["bad"].add(EASY, 3, 0, used=False)
        records["mixed"].add(HARD, 3, 1, used=True)
    for _ in range(3):  # in turn
        records.settle()
    assert records["good"].estimator.acceptance[EASY, :3].min() > 0.9
    assert records["bad"].estimator.acceptance[EASY, 0] < 0.1
    np.testing.assert_allclose(
        records["mixed"].estimator.acceptance[HARD, :2], (1.0, 0.0), atol=0.05
    )


def test_counts_tell_what_was_used_from_what_was_only_scored() -> None:
    records = DrafterRecords()
    records["x"].add(EASY, 3, 1, used=True)
    records["x"].add(HARD, 0, 0, used=True)
    records["x"].add(EASY, 2, 2, used=False)
    records["x"].state = DrafterState(asked=9, seconds=2e-6, faults=1, last_fault="y", out=True)
    assert records.beats() == {}
    records.settle()
    beat = records.beats()["x"]
    assert (beat.steps, beat.verified, beat.accepted) == (2, 3, 1)
    assert (beat.scored, beat.scored_tokens, beat.scored_accepted) == (1, 2, 2)
    assert (beat.asked, beat.draft_us, beat.faults, beat.last_fault, beat.out) == (
        *(9, 2.0, 1, "y"),
        True,
    )
    tried, accepted = records["x"].used.by_class.table()
    assert tried[EASY, :3].tolist() == [1, 1, 0]
    assert accepted[EASY, :3].tolist() == [1, 0, 0]
    assert tried[HARD].sum() == 0
