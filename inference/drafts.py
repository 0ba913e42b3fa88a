"""How the drafts of one engine fare: what is learned from each verification and observed of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from ..policies.allocation import outlook
from ..policies.calibration import Calibration
from ..policies.kept import kept_means
from ..policies.survival import SurvivalEstimator
from ..policies.transition import Floats
from ..policies.verified import Verified
from .requests import RequestState


class Drafts:
    """One engine's, and hence one drafter's, record of verified drafts.

    Attributes:
        estimator: acceptance by class and position.
        calibration: how true the predictions of requests' survival come.
    """

    def __init__(self) -> None:
        self.estimator = SurvivalEstimator()
        self.calibration = Calibration()
        self._turn = 0  # whose prediction is judged in this step

    def verified(
        self, counts: Verified, verifications: Iterable[tuple[RequestState, int, int]]
    ) -> None:
        """One engine step's verifications: per request its state, drafts and those accepted.

        Args:
            counts: of the interval that drafted them.
            verifications: drafts are those that could be accepted.
        """
        estimator = self.estimator
        expected = estimator.expected
        seen = 0
        for state, drafts, accepted in verifications:
            # What follows a rejection was verified, too, but says nothing of its own.
            tried = min(accepted + 1, drafts)
            if tried > 0:
                if not state.tried:
                    state.read(estimator)
                if seen == self._turn:
                    self._judge(state, drafts, accepted)
                seen += 1
                slot = state.slot
                its = expected[slot][tried]
                counts.add(slot, tried, accepted, state.frailty, state.deviation, its)
                state.verified(tried, accepted, estimator)
        if seen:
            self._turn = self._turn + 1 if self._turn + 1 < seen else 0

    def add(self, counts: Verified) -> None:
        """An interval is complete: its counts are learned from at the next observation."""
        self.estimator.add(counts)

    def observe(
        self,
        requests: Collection[RequestState],
        share: list[float],
        thresholds: Floats | None = None,
    ) -> list[float]:
        """The observation's fields from ``acceptance_1`` to the last ``later``.

        Args:
            requests: those that run.
            share: of each class among them.
            thresholds: hope from which on a position of theirs is verified, shape
                (len(requests),); None where all that is drafted is verified.
        """
        estimator = self.estimator
        estimator.refresh()
        for state in requests:
            if not state.tried:
                state.read(estimator)
        slots = [state.slot for state in requests]
        frailties = [state.frailty for state in requests]
        if not requests:  # then one is about to come, and nothing is in its way
            slots, frailties, thresholds = [0], [1.0], None
        seen = outlook(estimator.tables, np.array(slots, np.int64), np.array(frailties))
        means = kept_means(seen, np.zeros(len(slots)) if thresholds is None else thresholds)
        return [
            *estimator.position.tolist(),
            *means.ravel().tolist(),
            *share,
            *estimator.first.tolist(),
            *estimator.later.tolist(),
        ]

    def _judge(self, state: RequestState, drafts: int, accepted: int) -> None:
        """Hold a prediction, made before this verification was learned from, to its outcome."""
        predicted = self.estimator.predict(state.slot, state.frailty, drafts)
        self.calibration.add(predicted, accepted)
