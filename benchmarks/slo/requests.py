"""The requests of a live run: made of a trace's window beforehand, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from ...inference.arriving import Arrival
from ...inference.asking import RequestRecord
from ...inference.simulator.traces import Trace
from ...policies.slo import NO_SLO, Slo
from .score import Served
from .texts import Texts

PROMPT_SHARE: Final = 0.25
"""Of a trace's prompts, how much is asked of a live engine. On processors a prompt's token costs
much more of a decoding step than on the accelerators that the traces are of: at full length nearly
all of the time would be the prompts', and speculation could win or lose nothing."""

MOST_PROMPT: Final = 1024
MOST_OUTPUT: Final = 192
"""Tokens of a request at most, live: the embedded models take 2,048, and time is short."""


def fitted(trace: Trace) -> Trace:
    """A trace with the lengths that a live engine is asked for."""
    return Trace(
        trace.arrivals,
        np.clip(np.round(PROMPT_SHARE * trace.context), 1, MOST_PROMPT).astype(np.int64),
        np.clip(trace.generated, 1, MOST_OUTPUT),
        trace.name,
    )


def requests(trace: Trace, texts: Texts, seed: int) -> list[Arrival]:
    """A window's requests, without objectives.

    Args:
        trace: the window, fitted.
        texts: of which prompts are made.
        seed: of the prompts.
    """
    prompts = texts.prompts(trace.context.tolist(), seed)
    return [
        Arrival(at, ids, tokens, name)
        for at, tokens, (name, ids) in zip(
            trace.arrivals.tolist(), trace.generated.tolist(), prompts, strict=True
        )
    ]


def promised(arrivals: Sequence[Arrival], slos: Sequence[Slo], seed: int) -> list[Arrival]:
    """The same requests, each with the objectives of a class drawn at random, in equal shares."""
    drawn = np.random.default_rng(seed).permutation(np.arange(len(arrivals)) % len(slos))
    return [
        Arrival(a.at, a.prompt, a.tokens, a.content_class, slos[i])
        for a, i in zip(arrivals, drawn.tolist(), strict=True)
    ]


def served(records: Sequence[RequestRecord], slos: Sequence[Slo], offered: float) -> Served:
    """What became of requests, as their clients saw it.

    One that failed or was broken off never ended, and gave no token in no time per token.

    Args:
        records: of all, at least one of them ended.
        slos: by which they were promised.
        offered: seconds in which they arrived.
    """
    order = {slo: i for i, slo in enumerate(slos)}
    good = [ended(r) for r in records]
    start = np.array([r.start for r in records])
    first = np.array([_known(r.first) if r.error is None else math.inf for r in records])
    end = np.array([r.end if g else math.inf for r, g in zip(records, good, strict=True)])
    tokens = np.array([r.tokens if g else 0 for r, g in zip(records, good, strict=True)])
    span = max((r.end for r, g in zip(records, good, strict=True) if g), default=math.inf)
    with np.errstate(invalid="ignore"):  # of those that never ended
        tpot = np.where(good, (end - first) / np.maximum(tokens - 1, 1), math.inf)
    return Served(
        slo=np.array([order.get(r.slo, 0) for r in records]),
        ttft=first - start,
        tpot=tpot,
        end=end - start,
        tokens=tokens,
        span=span - float(start.min()),
        offered=offered,
    )


def ended(record: RequestRecord) -> bool:
    """Whether a request got all its tokens."""
    return record.error is None and not math.isnan(record.end)


def _known(first: float) -> float:
    return math.inf if math.isnan(first) else first


WITHOUT: Final = (NO_SLO,)
"""The promises of requests that were promised nothing."""
