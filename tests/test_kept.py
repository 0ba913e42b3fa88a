"""How far drafts survive where not all of them are verified."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.policies.kept import kept_means
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.transition import Floats
from hypothesis import given
from hypothesis import strategies as st

SHARES = st.lists(st.floats(0.0, 1.0), min_size=MAX_DEPTH, max_size=MAX_DEPTH)
OUTLOOKS = st.lists(SHARES, min_size=1, max_size=6)


def outlook(acceptances: list[list[float]]) -> Floats:
    """Of requests with these acceptances by position; at best, they are nearer to 1 by half."""
    own = np.array(acceptances)
    return np.stack([own, 1.0 - 0.5 * (1.0 - own)]).cumprod(2)


@given(OUTLOOKS)
def test_without_a_threshold_all_are_kept(acceptances) -> None:
    seen = outlook(acceptances)
    means = kept_means(seen, np.zeros(len(acceptances)))
    assert np.array_equal(means[:2], seen.mean(1))
    assert (means[2] == 1.0).all()


@given(OUTLOOKS, st.data())
def test_what_is_kept_is_what_each_request_would_verify(acceptances, data) -> None:
    seen, n = outlook(acceptances), len(acceptances)
    thresholds = np.array(data.draw(st.lists(st.floats(0.0, 1.5), min_size=n, max_size=n)))
    emitted, verified = np.ones(MAX_DEPTH + 1), np.zeros(MAX_DEPTH + 1)
    for survival, hope, threshold in zip(*seen, thresholds, strict=True):
        length = 0
        while length < MAX_DEPTH and hope[length] >= threshold:
            length += 1
        for depth in range(MAX_DEPTH + 1):
            emitted[depth] += survival[: min(length, depth)].sum() / n
            verified[depth] += min(length, depth) / n
    survival, hope, kept = kept_means(seen, thresholds)
    assert 1.0 + survival.cumsum() == pytest.approx(emitted[1:])
    assert kept.cumsum() == pytest.approx(verified[1:])
    assert (survival <= hope + 1e-12).all()
    assert (hope <= kept + 1e-12).all()
    assert (np.diff(kept) <= 0).all()
