"""``flyball bench drafters``: one live engine with all drafters, and what needs no engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ...inference.asking import LoadError
from ...inference.client import ControllerError
from ...inference.vllm.server import EngineError
from ..chains import run as chains
from ..chains.figures import figures as chain_figures
from ..chains.options import ChainOptions
from ..engines import BenchError, Models, models
from ..machine import machine, versions
from ..result import result
from ..session import SMALL_SHARE, session
from . import memory
from .arctic import has_arctic
from .arms import OFFERED, SESSIONS
from .figures import figures, table
from .live import LiveRun
from .options import DraftersOptions
from .record import Record, Setup, load_record

Progress = Callable[[str], None]

_QUICK_TOKENS: Final = 200_000  # in the store
_QUICK_SESSIONS: Final = 40


def run(options: DraftersOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result.

    What was measured is in a file after every visit. A run that ends early, by Ctrl-C or because
    something failed, gives what was measured by then, and can be gone on with.

    Args:
        options: what to measure.
        progress: is told what happens.

    Raises:
        RecordError: if the record to go on with is none, or was measured otherwise.
        BenchError, EngineError, LoadError: if nothing was measured.
    """
    pair = models(options.target, options.draft)
    setup = setup_of(options, pair)
    if options.resume is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        record, path = Record(setup), options.folder / f"drafters__{options.seed}__{stamp}.json"
    else:
        record, path = load_record(options.resume, setup), options.resume
    if any(record.left(number) for number in range(options.sized_rounds)):
        _live(options, pair, record, path, progress)
    _offline(options, record, path, progress)
    return result("drafters", options.seed, table(record), figures(record))


def setup_of(options: DraftersOptions, pair: Models) -> Setup:
    """What another sitting has to share."""
    return Setup(
        target=pair.target.name,
        draft=pair.draft.name,
        k_max=options.k_max,
        seed=options.seed,
        quick=options.quick,
        phases=[*(phase.name for phase in options.phases), SESSIONS],
        machine=machine(),
        versions=versions(),
    )


def _live(
    options: DraftersOptions, pair: Models, record: Record, path: Path, progress: Progress
) -> None:
    folder = path.with_suffix("") / f"sitting-{time.time_ns()}"
    progress(f"starting the engine and its controller; what is measured is kept in {path}")
    # Prompts come once per arm: a cache of them would favour whoever comes later.
    extra = ["--no-enable-prefix-caching", *options.serve_extra]
    try:
        with session(
            pair,
            folder,
            options.seed,
            options.k_max,
            options.cores,
            env={"FLYBALL_GUARD": "off"},
            extra=extra,
            drafters=OFFERED,
            learner_share=SMALL_SHARE,  # who drafts is learned inside the engine
        ) as running:
            LiveRun(running, record, options, progress, lambda: record.save(path)).run()
    except (KeyboardInterrupt, BenchError, EngineError, ControllerError, LoadError) as e:
        if not record.visits:
            if isinstance(e, ControllerError):
                raise BenchError(str(e)) from e
            raise
        progress(f"ended early: {str(e) or 'interrupted'}; go on with --resume {path}")


def _offline(options: DraftersOptions, record: Record, path: Path, progress: Progress) -> None:
    """The suffix memory against arctic-inference, what a large store costs, and chains."""
    seed, quick = options.seed, options.quick

    def compared() -> dict[str, float]:
        sessions = _QUICK_SESSIONS if quick else memory.SESSIONS
        return memory.compare(seed, sessions)

    def cost() -> dict[str, float]:
        return memory.cost(seed, _QUICK_TOKENS if quick else memory.TOKENS)

    def chained() -> dict[str, float]:
        small = ChainOptions(batches=(4,), rounds=2, steps=8, seed=seed)
        return chain_figures(chains.run(small if quick else ChainOptions(seed=seed), progress))

    if not has_arctic():
        progress("arctic-inference is not installed: no suffix_accepted_over_arctic")
    for part, measure in (("memory", compared), ("store", cost), ("chains", chained)):
        if part not in record.offline:
            progress(f"without an engine: {part}")
            record.offline[part] = measure()
            record.save(path)
