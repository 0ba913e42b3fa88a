"""The comparison: profile, count, generate, predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...inference.drafters.chain.level import Level
from ...inference.drafters.chain.loading import load_level
from ...inference.models import family
from ...inference.models.corpus import CLASSES as CONTENTS
from ...policies.chains.load import Family
from ...policies.chains.planner import ChainPlanner
from ...policies.chains.prediction import predict
from ...policies.chains.times import Pass, fit_times
from ...policies.spaces import MAX_DEPTH
from .figures import NAMES, Measured, trimmed
from .measuring import STRIDE, WARM, Bench
from .options import ChainOptions


def run(options: ChainOptions, progress: Callable[[str], None] = lambda _: None) -> list[Measured]:
    """Profile, count and measure everything.

    Args:
        options: how much.
        progress: is told what goes on.
    """
    bench = Bench(options, _levels(options))
    found: list[Measured] = []
    for batch in options.batches:
        progress(f"batch {batch}")
        found += _compare(bench, batch)
    return found


def _compare(bench: Bench, batch: int) -> list[Measured]:
    """Every chain at a batch size."""
    load, acceptance = bench.load(batch), bench.acceptance(batch)
    bench.profile(batch)
    passes = bench.profile(batch)
    # Windows are planned by a first look; what they take is predicted from all that is measured.
    table = ChainPlanner(_family(passes)).table(load, acceptance)
    found = [Measured(batch, candidate.plan, candidate.prediction) for candidate in table]
    for number in range(bench.options.rounds):
        for measured in found:
            passes += bench.profile(batch, number)
            bench.visit(measured, number)
    models = _family(passes)
    survivals = {pair: acceptance.survival(pair) for pair in models.pairs()}
    for measured in found:
        measured.prediction = predict(measured.plan, models, load, survivals)
    return found


def _family(passes: Sequence[tuple[str, Pass]]) -> Family:
    """Times of all models at one batch size."""
    cells: dict[tuple[str, int, int], list[float]] = {}
    for name, one in passes:
        cells.setdefault((name, one.batch, one.tokens), []).append(one.seconds)
    means = [
        (name, Pass(batch, tokens, trimmed(seconds)))
        for (name, batch, tokens), seconds in cells.items()
    ]
    times = {name: fit_times(one for other, one in means if other == name) for name in NAMES}
    return Family(NAMES, times)


def _levels(options: ChainOptions) -> dict[str, Level]:
    """All models, with room for what any visit writes."""
    capacity = options.tokens + (options.steps + WARM + 1) * (MAX_DEPTH + 1 + STRIDE)
    slots = max(*options.batches, len(CONTENTS))
    return {name: load_level(name, family.path(name), slots, capacity) for name in NAMES}
