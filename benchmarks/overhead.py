"""What governing costs: plain vLLM at a fixed depth against the governed engine frozen at it.

Both engines are up at once and are loaded in turn, A B B A, each time with the very same requests:
what is compared is the time for identical work. The governed one observes, evaluates a network of
the learned one's size, applies and reports at every interval, and plans every step; its best action
is always the same depth, all of which is verified: the work is the plain engine's.

Figures:
    throughput_ratio: governed over plain, tokens per second, geometric mean over rounds of two
        pairs without the lowest and the highest fifth; with ``_low`` and ``_high``.
    decide_us_p50, decide_us_p99: how long a decision holds the engine up, microseconds.
    prepare_us_p50, prepare_us_p99: how long deciding takes meanwhile, while the model runs.
    plan_us_p50, plan_us_p99: how long a step's plan takes, while the model runs.
    plain_tokens_per_second, governed_tokens_per_second: means over the pairs.
    pairs, decisions, dropped, faults: counts.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..inference.address import parse_address
from ..inference.load import LoadSettings, prompt_stream, run_load
from ..inference.models.prompts import Prompt
from ..inference.reports import Mode
from ..inference.vllm.server import EngineProcess
from .engines import BenchError, Models, free_ports, models, running
from .listener import Listener
from .options import EngineOptions
from .result import result
from .snapshots import fixed_snapshot
from .stats import ratio_interval

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class OverheadOptions(EngineOptions):
    """Every option of the benchmark."""

    depth: int = 4
    """draft depth of both engines, tokens"""
    concurrency: int = 8
    """requests under way"""
    max_tokens: int = 96
    """tokens per request; 40 with quick"""
    pairs: int = 80
    """pairs of slices, an even number; 4 with quick"""

    def sized(self) -> OverheadOptions:
        """With quick's own sizes where it is asked for."""
        return replace(self, max_tokens=40, pairs=4) if self.quick else self


def run(options: OverheadOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result."""
    options = options.sized()
    pair = models(options.target, options.draft)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        address = parse_address(f"tcp://127.0.0.1:{free_ports(3)}")
        listener = stack.enter_context(Listener(address))
        plain, governed = _engines(options, pair, str(address), Path(scratch))
        progress("starting two engines")
        stack.enter_context(running([plain, governed]))
        measured = _measure(options, plain, governed, progress)
        figures = _figures(options, measured, listener)
    settings = {"depth": options.depth, "concurrency": options.concurrency}
    arms = {
        "plain": {**settings, "scheduler": "vLLM's own", "k_max": options.depth},
        "governed": {**settings, "mode": Mode.FREEZE.value, "k_max": options.k_max},
    }
    return result("overhead", options.seed, arms, figures)


def _engines(
    options: OverheadOptions, pair: Models, address: str, scratch: Path
) -> tuple[EngineProcess, EngineProcess]:
    snapshot = scratch / "fixed.safetensors"
    fixed_snapshot(options.k_max, options.depth, options.seed).save(snapshot)
    plain = EngineProcess(
        pair.target,
        pair.draft,
        free_ports(),
        k_max=options.depth,
        scheduler=None,
        cores=options.cores,
        extra=options.serve_extra,
        log=scratch / "plain.log",
    )
    governed = EngineProcess(
        pair.target,
        pair.draft,
        free_ports(),
        k_max=options.k_max,
        static_depth=options.depth,
        controller=address,
        cores=options.cores,
        extra=options.serve_extra,
        env={"FLYBALL_SNAPSHOT": str(snapshot), "FLYBALL_MODE": Mode.FREEZE.value},
        log=scratch / "governed.log",
    )
    return plain, governed


def _measure(
    options: OverheadOptions,
    plain: EngineProcess,
    governed: EngineProcess,
    progress: Progress,
) -> list[tuple[float, float]]:
    """Tokens per second of (governed, plain) for every pair."""
    source = prompt_stream("mixed", options.seed)
    for engine in (plain, governed) * (1 if options.quick else _WARM_UP):
        _slice(options, engine, _work(options, source))
    measured = []
    for i in range(options.pairs):
        work = _work(options, source)
        order = (plain, governed) if i % 2 == 0 else (governed, plain)
        rates = {engine.url: _slice(options, engine, work) for engine in order}
        measured.append((rates[governed.url], rates[plain.url]))
        progress(f"pair {i + 1} of {options.pairs}: ratio {measured[-1][0] / measured[-1][1]:.3f}")
    return measured


def _work(options: OverheadOptions, source: Iterator[Prompt]) -> list[Prompt]:
    """The requests of one slice: one for every client, so that all run side by side."""
    return list(itertools.islice(source, options.concurrency))


def _slice(options: OverheadOptions, engine: EngineProcess, work: list[Prompt]) -> float:
    """Tokens per second of an engine on some work."""
    settings = LoadSettings(
        url=engine.url,
        concurrency=options.concurrency,
        max_tokens=options.max_tokens,
        ignore_eos=True,
        seed=options.seed,
    )
    records = run_load(settings, iter(work))
    failed = [record.error for record in records if record.error is not None]
    if failed or len(records) != len(work):
        raise BenchError(f"{len(failed)} of {len(work)} requests failed: {failed[:1]}")
    elapsed = max(r.end for r in records) - min(r.start for r in records)
    return sum(r.tokens for r in records) / elapsed


def _rounds(measured: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Geometric means of two pairs each, the second in the other order.

    Whoever was idle before its slice is some 4 % slower in it, and in a pair that is the second.
    """
    logs = np.log(measured)
    means = np.exp(0.5 * (logs[0::2] + logs[1::2]))
    return [(governed, plain) for governed, plain in means.tolist()]


_LEAST_TRANSITIONS: Final = 4
_LEAST_VERIFIED: Final = 0.9  # share of its drafts: those made with a request's last step are not
_TRIM: Final = 0.2  # of the ratios at either end: a shared machine's hiccups are long
_WARM_UP: Final = 3  # slices of each engine before anything is compared


def _figures(
    options: OverheadOptions, measured: list[tuple[float, float]], listener: Listener
) -> dict[str, float]:
    """The figures, once it is sure that the governed engine was governed."""
    beat, transitions = listener.beat, listener.transitions
    if beat is None or len(transitions) < _LEAST_TRANSITIONS:
        raise BenchError("the governed engine reported nothing: it was not governed")
    other = {t.decision.applied for t in transitions} - {options.depth}
    if other or beat.faults:
        raise BenchError(
            f"the governed engine did not hold its depth: depths {sorted(other)}, "
            f"{beat.faults} faults, {beat.last_fault!r}"
        )
    totals = beat.totals
    verified = (totals.verified - totals.request_steps) / max(totals.drafted, 1)
    if verified < _LEAST_VERIFIED:
        raise BenchError(f"the governed engine verified only {verified:.0%} of its drafts")
    governed, plain = np.mean(measured, axis=0)
    return {
        **ratio_interval([_rounds(measured)], options.seed, trim=_TRIM).figures("throughput_ratio"),
        "decide_us_p50": beat.decide_us_p50,
        "decide_us_p99": beat.decide_us_p99,
        "prepare_us_p50": beat.prepare_us_p50,
        "prepare_us_p99": beat.prepare_us_p99,
        "plan_us_p50": beat.plan_us_p50,
        "plan_us_p99": beat.plan_us_p99,
        "plain_tokens_per_second": float(plain),
        "governed_tokens_per_second": float(governed),
        "pairs": len(measured),
        "decisions": beat.decisions,
        "dropped": beat.dropped,
        "faults": beat.faults,
    }
