"""Acceptance between models: learned from counts and from distributions."""

import numpy as np
import pytest
from flyball.policies.chains.acceptance import ChainAcceptance, overlap


def test_acceptance_is_learned_by_pair_class_and_position():
    acceptance, rng = ChainAcceptance(), np.random.default_rng(1)
    truth = {("a", "t"): {0: 0.9, 4: 0.3}, ("b", "t"): {0: 0.6}}
    for pair, classes in truth.items():
        for slot, chance in classes.items():
            for _ in range(2000):
                run = rng.geometric(1 - chance) - 1
                acceptance.add_run(pair, slot, 4, min(run, 4))
    for pair, classes in truth.items():
        for slot, chance in classes.items():
            assert acceptance.table(pair)[slot, :4] == pytest.approx(chance, abs=0.05)
    restored = ChainAcceptance()
    restored.restore(acceptance.state())
    assert np.array_equal(restored.table(("a", "t")), acceptance.table(("a", "t")))
    assert acceptance.table(("never", "t"))[0, 0] == ChainAcceptance.START


def test_overlaps_tell_the_same_as_counts():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(50), 2)
    # A token drafted from p is accepted with probability min(1, q / p).
    tokens = rng.choice(50, 4000, p=p)
    accepted = rng.uniform(size=4000) < q[tokens] / p[tokens]
    shared = float(overlap(p, q))
    assert shared == pytest.approx(1.0 - 0.5 * np.abs(p - q).sum())
    counted, known = ChainAcceptance(), ChainAcceptance()
    for yes in accepted:
        counted.add_run(("a", "b"), 0, 1, int(yes))
        known.add(("a", "b"), 0, [shared], 1)
    of_counts, of_known = (a.table(("a", "b"))[0, 0] for a in (counted, known))
    assert of_known == pytest.approx(shared, abs=1e-3)
    assert of_counts == pytest.approx(of_known, abs=0.03)


def test_what_is_forgotten_drifts_to_the_prior():
    acceptance = ChainAcceptance()
    for _ in range(50):
        acceptance.add_run(("a", "t"), 0, 1, 0)
    before = acceptance.table(("a", "t"))[0, 0]
    for _ in range(2000):
        acceptance.fade()
    assert before < 0.1
    assert acceptance.table(("a", "t"))[0, 0] == pytest.approx(ChainAcceptance.START, abs=0.01)


@pytest.mark.parametrize("accepted", [[0.5], [1.2, 0.0], [float("nan"), 0.0]])
def test_what_is_no_acceptance_is_refused(accepted):
    with pytest.raises(ValueError, match="acceptances in"):
        ChainAcceptance().add(("a", "t"), 0, accepted, 2)
