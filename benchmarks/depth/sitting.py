"""A sitting: the live engine is started, and measured with as long as a record lacks visits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ...inference.asking import LoadError
from ...inference.client import ControllerError
from ...inference.vllm.server import EngineError
from ..arms import PHASES
from ..engines import BenchError, Models, models
from ..machine import machine, versions
from ..session import session
from .figures import OFF, OURS
from .live import LiveOptions, LiveRun
from .options import DepthOptions
from .record import Record, Setup, check_setup, load_record
from .tally import Arm, fixed_depths

Progress = Callable[[str], None]

_QUICK_SLICE: Final = 0.8  # seconds per arm and visit


def sit(options: DepthOptions, progress: Progress = print) -> Record:
    """Measure what is not measured yet; the record, which is also kept in a file.

    The file is written after every visit. A sitting that ends early, by Ctrl-C or because
    something failed, gives what was measured by then.

    Raises:
        RecordError: if the record to go on with is none, or was measured otherwise.
        BenchError, EngineError, LoadError: if nothing was measured.
    """
    pair = models(options.target, options.draft)
    live = live_options(options)
    setup = setup_of(options, pair, live)
    if options.resume is None:
        record = Record(setup, options.seed)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = options.folder / f"tally__{options.seed}__{stamp}.json"
    else:
        record, path = load_record(options.resume), options.resume
        check_setup(record, setup)
    if any(record.left(number) for number in range(live.rounds)):
        _measure(options, pair, record, path, live, progress)
    return record


def _measure(
    options: DepthOptions,
    pair: Models,
    record: Record,
    path: Path,
    live: LiveOptions,
    progress: Progress,
) -> None:
    folder = path.parent / f"{path.stem}__sitting-{record.sittings}"
    if folder.exists():  # a start that failed; a cold start must find no checkpoint
        folder = folder.with_name(f"{folder.name}__{time.time_ns()}")
    progress(f"starting the engine and its controller; what is measured is kept in {path}")
    # Prompts come once per arm: a cache of them would favour whoever comes later.
    uncached = ["--no-enable-prefix-caching"]
    env = {"FLYBALL_GUARD": "on" if options.guard else "off"}
    try:
        with session(
            pair, folder, record.seed, options.k_max, options.cores, env=env, extra=uncached
        ) as running:
            LiveRun(running, record, live, progress, lambda: record.save(path)).run()
    except (KeyboardInterrupt, BenchError, EngineError, ControllerError, LoadError) as e:
        if not record.warm():
            if isinstance(e, ControllerError):
                raise BenchError(str(e)) from e
            raise
        progress(f"ended early: {str(e) or 'interrupted'}")
    done, asked = len(record.warm()), live.rounds * len(record.setup.phases)
    if done < asked:
        progress(f"{done} of {asked} visits were measured; go on with --resume {path}")


def live_arms(options: DepthOptions) -> list[Arm]:
    """What is compared: off, fixed depths, the other policies at the greatest speed, and ours.

    All fixed depths, unless some are named among the policies.
    """
    speeds = options.sized_speeds
    named = [p for p in options.policies if p.startswith("fixed?depth=")]
    fixed = named or fixed_depths(options.k_max)
    peers = [p for p in options.policies if p not in {*named, OFF.policy, OURS}]
    arms = [OFF, *(Arm(p) for p in fixed), *(Arm(p, speeds[-1]) for p in peers)]
    return list(dict.fromkeys([*arms, *(Arm(OURS, speed) for speed in speeds)]))


def live_options(options: DepthOptions) -> LiveOptions:
    """How the time is spent."""
    usual = LiveOptions()
    return LiveOptions(
        rounds=options.sized_rounds,
        slice_seconds=_QUICK_SLICE if options.quick else usual.slice_seconds,
        cold_seconds=options.sized_cold,
    )


def setup_of(options: DepthOptions, pair: Models, live: LiveOptions) -> Setup:
    """What another sitting has to share."""
    return Setup(
        target=pair.target.name,
        draft=pair.draft.name,
        k_max=options.k_max,
        max_tokens=live.max_tokens,
        guard=options.guard,
        slice_seconds=live.slice_seconds,
        cold_seconds=live.cold_seconds,
        arms=[(arm.policy, arm.speed) for arm in live_arms(options)],
        phases=[phase.name for phase in PHASES],
        machine=machine(),
        versions=versions(),
    )
