"""The records that the simulator's compiled loops work on: their fields."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...policies.spaces import CLASSES, MAX_DEPTH
from .workload import MAX_KINDS

PARAMETERS: Final = np.dtype(
    [
        ("k_max", "i8"),
        ("static_depth", "i8"),
        ("interval", "i8"),
        ("max_num_seqs", "i8"),
        ("max_num_batched_tokens", "i8"),
        ("block_size", "i8"),
        ("kv_blocks", "i8"),
        ("max_model_len", "i8"),
        ("max_tokens", "i8"),
        ("parameter_ratio", "f8"),
        ("horizon", "f8"),
        ("noise", "f8"),
        ("drift_sigma", "f8"),
        ("drift_every", "f8"),
        ("drift_memory", "f8"),
        ("planner", "i8"),  # index into settings.PLANNERS
    ]
)

SLO: Final = np.dtype(
    [
        ("ttft", "f8"),
        ("tpot", "f8"),
        ("deadline", "f8"),
        ("share", "f8"),  # of the requests, cumulative
    ]
)

KIND: Final = np.dtype(
    [
        ("slot", "i8"),  # of the class in observations; -1 where requests do not name it
        ("logits", "f8", (MAX_DEPTH,)),
        ("effect", "f8"),
        ("sensitivity", "f8"),  # of the drafter's confidence to acceptance
        ("prompt", "f8", (2,)),  # mean and standard deviation of the logarithm
        ("output", "f8", (2,)),
    ]
)

PHASE: Final = np.dtype(
    [
        ("seconds", "f8"),
        ("rate", "f8"),  # 0 for none
        ("concurrency", "i8"),  # 0 for none
        ("cv", "f8"),
        ("mix", "f8", (MAX_KINDS,)),  # cumulative
    ]
)

WAITING: Final = np.dtype(
    [
        ("number", "i8"),
        ("kind", "i8"),
        ("arrival", "f8"),
        ("prompt", "i8"),
        ("generated", "i8"),
        ("offset", "f8"),  # on the logit of its acceptance: drift and its own effect
        ("slo", "i8"),  # which of the workload's
    ]
)

REQUEST: Final = np.dtype(
    [
        ("key", "u8"),  # of its acceptance draws
        ("named", "i8"),
        ("slot", "i8"),
        ("slo", "i8"),  # which of the workload's
        ("arrival", "f8"),
        ("first", "f8"),  # when its first token came
        ("generated", "i8"),  # tokens it will generate
        ("emitted", "i8"),
        ("prompt", "i8"),
        ("goal", "i8"),  # tokens to compute before it decodes: more after a preemption
        ("computed", "i8"),
        ("blocks", "i8"),
        ("drafts", "i8"),  # made for it by the step before, as far as they are to be verified
        ("tokens", "i8"),  # scheduled in this step
        ("acceptance", "f8", (MAX_DEPTH,)),
        ("sensitivity", "f8"),  # of its drafter's confidence
        ("tried", "f8"),  # its own history, decayed
        ("accepted", "f8"),
        ("expected", "f8"),  # rejections, by the estimates for its class
        ("deviation", "f8"),  # of its history from those of its class
        ("frailty", "f8"),  # times its class's hazards
    ]
)

ENGINE: Final = np.dtype(
    [
        ("seed", "u8"),
        ("clock", "f8"),
        ("done", "?"),
        # Arrivals.
        ("phase", "i8"),
        ("phase_end", "f8"),
        ("visit", "i8"),  # phases begun
        ("number", "i8"),  # of the next request, counted within the visit
        ("gaps", "i8"),
        ("next_arrival", "f8"),
        ("segment", "i8"),
        ("drift", "f8", (MAX_KINDS,)),
        # The scheduler.
        ("head", "i8"),
        ("queued", "i8"),
        ("running", "i8"),
        ("preempted", "i8"),
        ("free_blocks", "i8"),
        # The interval.
        ("depth", "i8"),
        ("drafted", "i8"),  # depth drafted by the step before; -1 before the first
        ("steps", "i8"),
        ("began", "i8"),  # phase in which the interval began
        ("batch", "i8"),  # requests when the interval was decided
        ("launches", "i8"),
        ("last_landing", "f8"),
        ("idled", "?"),
        # The step in the air.
        ("decoding", "i8"),
        ("verified", "i8"),
        ("prefill", "i8"),
        ("context", "i8"),
        ("remaining", "i8"),
        # Meters.
        ("arrivals", "i8"),
        ("since", "f8"),
        ("rate", "f8"),
        ("step_ms", "f8"),
        ("per_request", "f8"),
        # The plan of the next step.
        ("prompt_tokens", "i8"),  # most of them
        ("confidence", "f8"),  # of first drafts, moving average
        ("held", "i8"),
        ("admissions", "i8"),
        ("prompt_speed", "f8"),  # prompt tokens per second while there are any, moving average
        ("worth", "f8"),  # tokens that decoding gives for the cost of a step without speculation
        ("length", "f8"),  # tokens of requests that ended, moving average
        ("prefill_average", "f8"),
    ]
)

ESTIMATE: Final = np.dtype(
    [
        # Decayed counts, and those of the interval that is not complete, by class and position.
        ("tried", "f8", (CLASSES, MAX_DEPTH)),
        ("accepted", "f8", (CLASSES, MAX_DEPTH)),
        ("new_tried", "f8", (CLASSES, MAX_DEPTH)),
        ("new_accepted", "f8", (CLASSES, MAX_DEPTH)),
        ("usual", "f8", (2,)),  # first positions tried and accepted, long memory
        ("exposed", "f8", (CLASSES, MAX_DEPTH)),  # frailties of those that tried
        ("new_exposed", "f8", (CLASSES, MAX_DEPTH)),
        # The same of what requests' histories told, by class.
        ("excess", "f8", (CLASSES,)),
        ("told", "f8", (CLASSES,)),
        ("informed", "f8", (CLASSES,)),
        ("new_deviation", "f8", (CLASSES,)),
        ("new_told", "f8", (CLASSES,)),
        ("new_informed", "f8", (CLASSES,)),
        ("stale", "?"),  # whether the decayed counts hold what the rest does not know of
        # What follows from them, by the names that SurvivalEstimator gives it.
        ("hazard", "f8", (MAX_DEPTH,)),  # behind all classes
        ("frailty", "f8", (CLASSES,)),
        ("position", "f8", (MAX_DEPTH,)),
        ("acceptance", "f8", (CLASSES, MAX_DEPTH)),
        ("later", "f8", (CLASSES,)),
        ("hazards", "f8", (CLASSES, MAX_DEPTH)),  # of frailty 1
        ("hopeful", "f8", (CLASSES, MAX_DEPTH)),  # their lower bounds
        ("expected", "f8", (CLASSES, MAX_DEPTH + 1)),
        ("centre", "f8", (CLASSES,)),
        ("credibility", "f8", (CLASSES,)),
    ]
)

RESULT: Final = np.dtype(
    [
        ("slo", "i8"),
        ("arrival", "f8"),
        ("first", "f8"),
        ("end", "f8"),
        ("prompt", "i8"),
        ("tokens", "i8"),
    ]
)
"""A request that ended; times in virtual seconds."""

TOTALS: Final = np.dtype(
    [
        ("seconds", "f8"),
        ("steps", "i8"),
        ("request_seconds", "f8"),
        ("request_steps", "i8"),
        ("emitted", "i8"),
        ("prompted", "i8"),
        ("drafted", "i8"),
        ("verified", "i8"),
        ("prefill", "i8"),
        ("arrived", "i8"),
        ("started", "i8"),
        ("finished", "i8"),
        ("finished_tokens", "i8"),
        ("first_token_seconds", "f8"),
        ("end_to_end_seconds", "f8"),
        ("preemptions", "i8"),
    ]
)
"""Sums over all that an engine did, whatever the intervals counted. ``seconds`` is busy time;
``emitted`` counts tokens of decoding requests and ``prompted`` those that came with a prompt (or
with what a preemption made compute anew), together all; ``started`` counts requests that got
their first token, ``first_token_seconds`` sums their time to it; ``finished_tokens`` is the length
of the finished, ``end_to_end_seconds`` sums their time from arrival to the last token."""
