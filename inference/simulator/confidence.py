"""How sure a simulated drafter is of the tokens that it drafts: compiled.

The simulator has no text, so its drafts have no probabilities. What peers such as AdaSpec read off
the drafter is given to them as a signal of known strength: normal with standard deviation 1, its
mean d/2 for a draft that would be accepted and -d/2 for one that would not, which is the
equal-variance model of signal detection (Green and Swets 1966). The confidence is the posterior
probability of acceptance by that signal and the request's own rate: calibrated, which real ones
are not. The embedded drafter gives its tokens in code .37 on average, of which the greedy target
accepts .69: it learned how likely the target is to say a token, but a greedy target accepts
whenever it finds none likelier.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import CONFIDENCE, compiled, draw_key, normal


@compiled
def confidence(key: np.uint64, place: int, p: float, accepted: bool, sensitivity: float) -> float:
    """The probability that a drafter gives the token that it drafted.

    It is calibrated: of drafts with confidence q, a share q is accepted. Among drafts of equal p it
    ranks an accepted one above a rejected one with probability ``Phi(sensitivity / sqrt(2))``. The
    draw belongs to the place in the request's output, as that of acceptance does: who asks, and
    how often, changes nothing.

    Args:
        key: ``REQUEST.key``, of the request's acceptance draws.
        place: of the draft in the request's output, tokens.
        p: probability that the draft is accepted if all before it were, in [0, 1].
        accepted: whether it would be, if all before it were.
        sensitivity: d, how far apart accepted and rejected drafts are, in standard deviations of
            the signal; 0 tells nothing more than p.

    Returns:
        In [0, 1].
    """
    signal = normal(draw_key(key, CONFIDENCE, place), 0)
    signal += 0.5 * sensitivity if accepted else -0.5 * sensitivity
    # sigmoid(logit(p) + d x signal), for a p of 0 or 1, too
    return float(p / (p + (1.0 - p) * math.exp(-sensitivity * signal)))
