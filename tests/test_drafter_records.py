"""How drafters fare, each by itself."""

from __future__ import annotations

import numpy as np
from flyball.inference.drafter_records import NEWS, SILENT, DrafterRecords
from flyball.inference.drafters.pool import DrafterState
from flyball.inference.history import EASY, FRESH, HARD, History


def settled(records: DrafterRecords, drafters: int) -> None:
    for _ in range(drafters):  # one at a time
        records.settle()


def test_each_drafter_has_its_own_acceptance() -> None:
    records = DrafterRecords()
    for _ in range(300):
        records["good"].add(History(EASY), 3, 3, used=True)
        records["bad"].add(History(EASY), 3, 0, used=False)
        records["mixed"].add(History(HARD), 3, 1, used=True)
    settled(records, 3)
    assert records["good"].estimator.acceptance[EASY, :3].min() > 0.9
    assert records["bad"].estimator.acceptance[EASY, 0] < 0.1
    np.testing.assert_allclose(
        records["mixed"].estimator.acceptance[HARD, :2], (1.0, 0.0), atol=0.05
    )


def test_a_draft_that_ends_too_soon_yields_no_more_than_one_that_is_rejected() -> None:
    records = DrafterRecords()
    for i in range(300):
        # Half of the drafts are empty; the others have two tokens of the four that were asked for.
        records["x"].add(History(EASY), 2 * (i % 2), 2 * (i % 2), used=True, asked=4)
    settled(records, 1)
    survival, hope = records["x"].outlook([History(EASY)])[:, 0]
    np.testing.assert_allclose(survival[:3], (0.5, 0.5, 0.0), atol=0.05)
    assert (hope >= survival).all()
    np.testing.assert_allclose(records["x"].lengths[EASY, :4], (0.5, 0.5, 0.0, 0.0), atol=0.02)
    np.testing.assert_array_equal(records["x"].lengths[HARD], 1.0)


def test_a_request_whose_drafts_fare_better_than_its_class_is_known_by_them() -> None:
    records = DrafterRecords()
    rng = np.random.default_rng(0)
    for _ in range(40):
        histories = [History(EASY) for _ in range(8)]
        for _ in range(12):
            for i, history in enumerate(histories):
                records["x"].add(history, 1, int(rng.random() < (0.9 if i % 2 else 0.3)), True)
        settled(records, 1)
    survival = records["x"].outlook(histories)[0, :, 0]
    assert survival[1::2].mean() > 0.7
    assert survival[::2].mean() < 0.5


def test_what_is_known_of_a_drafter_that_nobody_uses_grows_old() -> None:
    records = DrafterRecords()
    for _ in range(300):
        records["x"].add(History(EASY), 1, 0, used=True)
    settled(records, 1)
    before = records["x"].outlook([History(EASY)])
    settled(records, 80 * SILENT)
    after = records["x"].outlook([History(EASY)])
    assert (after[1] - after[0])[0, 0] > 2 * (before[1] - before[0])[0, 0]


def test_hard_requests_are_known_after_many_easy_ones() -> None:
    records = DrafterRecords()
    for _ in range(20 * NEWS):
        records["x"].add(History(HARD), 1, 0, used=True)
        settled(records, 1)
    hard = records["x"].estimator.acceptance[HARD, 0]
    for _ in range(40 * NEWS):
        records["x"].add(History(EASY), 1, 1, used=True)
        settled(records, 1)
    assert records["x"].estimator.acceptance[EASY, 0] > 0.95
    assert abs(records["x"].estimator.acceptance[HARD, 0] - hard) < 0.1


def test_what_new_requests_made_of_a_drafter_is_soon_forgotten() -> None:
    records = DrafterRecords()
    for slot, accepted in ((EASY, 1), (HARD, 0), (FRESH, 1)):
        for _ in range(20 * NEWS):
            records["x"].add(History(slot), 1, accepted, used=True)
    settled(records, 1)
    hope, before = records["x"].outlook([History(FRESH)])[:, 0, 0], records["x"].estimator
    assert hope[0] > 0.95
    settled(records, 3 * SILENT)
    assert records["x"].outlook([History(FRESH)])[0, 0, 0] < 0.75
    assert before.acceptance[EASY, 0] > 0.95
    assert before.acceptance[HARD, 0] < 0.05


def test_little_news_wait_for_more() -> None:
    records = DrafterRecords()
    before = records["x"].outlook([History(EASY)])[0, 0, 0]
    for _ in range(NEWS - 1):
        records["x"].add(History(EASY), 1, 0, used=True)
    settled(records, 1)
    assert records["x"].outlook([History(EASY)])[0, 0, 0] == before
    records["x"].add(History(EASY), 1, 0, used=True)
    settled(records, 1)
    assert records["x"].outlook([History(EASY)])[0, 0, 0] < before


def test_counts_tell_what_was_used_from_what_was_only_scored() -> None:
    records = DrafterRecords()
    records["x"].add(History(EASY), 3, 1, used=True)
    records["x"].add(History(HARD), 0, 0, used=True)
    records["x"].add(History(EASY), 2, 2, used=False)
    records["x"].state = DrafterState(asked=9, seconds=2e-6, faults=1, last_fault="y", out=True)
    assert records.beats() == {}
    records.count()
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


def test_who_drafted_most_is_learned_of_beside_who_brought_most() -> None:
    records = DrafterRecords()
    for name, used, drafts in (("look", False, 64), ("other", False, 32), ("chain", True, 16)):
        for _ in range(drafts):
            records[name].add(History(None), 4, 4, used, 4)
    new = [History(None)]
    before = {name: records[name].outlook(new)[0].sum() for name in ("look", "other", "chain")}
    records.settle()
    after = {name: records[name].outlook(new)[0].sum() for name in before}
    assert after["chain"] > before["chain"]
    assert after["look"] > before["look"]
    assert after["other"] == before["other"]
    records.settle()
    assert records["other"].outlook(new)[0].sum() > before["other"]
