"""Traffic drawn at random: what an engine may meet, for a policy that is to meet anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ...policies.spaces import MAX_DEPTH
from .settings import SimulatorSettings
from .workload import Drift, Length, Phase, RequestClass, Workload

_CLASSES: Final = 3
_PHASES: Final = 4

# Ranges, of most of them the logarithm is drawn.
_PROMPT: Final = (32.0, 2048.0)  # tokens, mean of a class
_OUTPUT: Final = (16.0, 512.0)  # the same
_CV: Final = (0.2, 1.5)  # of both
_SECONDS: Final = (15.0, 90.0)  # of a phase
_LOAD: Final = (0.3, 1.1)  # arrivals over what a batch of the phase's size can serve
_BURSTS: Final = (0.5, 4.0)  # coefficient of variation of the time between arrivals
_FIRST: Final = (-1.5, 3.5)  # log-odds of the first position's acceptance: 18 % to 97 %
_TREND: Final = (-0.6, 0.6)  # what each of the next two positions adds to them


def drawn_traffic(settings: SimulatorSettings, rng: np.random.Generator) -> SimulatorSettings:
    """An engine under other traffic: loads, lengths, bursts, acceptance and its drift are drawn.

    Args:
        settings: of the engine.
        rng: draws.

    Returns:
        The same engine under classes and phases that repeat for ever.
    """
    classes = tuple(_drawn_class(f"class {i}", rng) for i in range(_CLASSES))
    phases = tuple(_drawn_phase(settings, classes, rng) for _ in range(_PHASES))
    drift = Drift(sigma=rng.uniform(0.0, 0.6), every=rng.uniform(20.0, 120.0), memory=0.7)
    workload = Workload(classes=classes, phases=phases, drift=drift)
    return replace(settings, workload=workload, horizon=np.inf)


def _drawn_class(name: str, rng: np.random.Generator) -> RequestClass:
    logits = rng.uniform(*_FIRST) + rng.uniform(*_TREND) * np.minimum(np.arange(MAX_DEPTH), 2)
    return RequestClass(
        name,
        tuple((1.0 / (1.0 + np.exp(-logits))).tolist()),
        named=bool(rng.random() < 0.3),
        effect=rng.uniform(0.0, 0.6),
        prompt=Length(_log_uniform(rng, *_PROMPT), rng.uniform(*_CV)),
        output=Length(_log_uniform(rng, *_OUTPUT), rng.uniform(*_CV)),
    )


def _drawn_phase(
    settings: SimulatorSettings, classes: tuple[RequestClass, ...], rng: np.random.Generator
) -> Phase:
    """As many requests at once as the engine holds or fewer; half of them come at a rate."""
    weights = rng.dirichlet(np.full(len(classes), 0.7))
    mix = {c.name: float(w) for c, w in zip(classes, weights, strict=True)}
    seconds = rng.uniform(*_SECONDS)
    batch = _log_uniform(rng, 1.0, settings.max_num_seqs)
    if rng.random() < 0.5:
        return Phase(seconds=seconds, concurrency=max(round(batch), 1), mix=mix)
    tokens = float(weights @ [c.output.mean for c in classes])
    prompt = float(weights @ [c.prompt.mean for c in classes])
    decode = settings.cost_model.seconds(batch, batch * prompt, batch, 0.0, 0.0)
    prefill = settings.cost_model.seconds(0.0, 0.0, 0.0, 0.0, prompt)
    served = 1.0 / (tokens * float(decode) / batch + float(prefill))
    rate = served * rng.uniform(*_LOAD)
    return Phase(seconds=seconds, rate=rate, cv=_log_uniform(rng, *_BURSTS), mix=mix)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
