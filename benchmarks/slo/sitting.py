"""A live run of ``flyball bench slo``: the engine and its controller are started for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...inference.client import ControllerError
from ...inference.simulator.traces import Trace
from ..engines import BenchError, models
from ..session import SMALL_SHARE, session
from .live import LiveRun
from .measured import Measured
from .options import SloOptions
from .texts import Texts

Progress = Callable[[str], None]


def sit(options: SloOptions, traces: Sequence[Trace], progress: Progress = print) -> Measured:
    """Measure all arms in turn on one engine.

    Raises:
        BenchError, EngineError, LoadError: if nothing could be measured.
    """
    pair = models(options.target, options.draft)
    texts = Texts(pair.target)
    folder = options.folder / f"slo__{options.seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    progress(f"starting the engine and its controller; their logs are in {folder}")
    # Prompts come once per arm: a cache of them would favour whoever comes later.
    extra = ["--no-enable-prefix-caching", *options.serve_extra]
    env = {"FLYBALL_GUARD": "off"}  # what it does would be the guard's doing as well
    try:
        with session(
            pair,
            folder,
            options.seed,
            options.k_max,
            options.cores,
            env=env,
            extra=extra,
            learner_share=SMALL_SHARE,
        ) as running:
            return LiveRun(running, options, traces, texts, progress).run()
    except ControllerError as e:
        raise BenchError(str(e)) from e
