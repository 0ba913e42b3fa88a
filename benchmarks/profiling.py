"""Measures a profile: one live engine walks through batch sizes, depths and contexts.

Closed-loop traffic holds the batch size, pins hold the depth. Everything is visited in several
rounds, shuffled anew each time, so that what a shared machine does meanwhile averages out.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from ..inference import identity
from ..inference.address import parse_address
from ..inference.asking import RequestRecord
from ..inference.conditions import collect, meant
from ..inference.fit import fit, held_out
from ..inference.load import LoadSettings, prompt_stream
from ..inference.models.prompts import Prompt
from ..inference.profile import Condition, Profile, check
from ..inference.traffic import Traffic
from ..inference.vllm.server import EngineProcess
from ..policies.spaces import MAX_DEPTH
from ..policies.step_time import FEATURES
from .engines import BenchError, free_ports, models, running
from .listener import Listener
from .options import EngineOptions

Progress = Callable[[float, str], None]
"""Is told the share that is done, in [0, 1], and what goes on."""

_ENGINE: Final = "profiled"
_INTERVAL: Final = 4  # steps of an interval: short enough that many see no prompt
_VISIT: Final = 6  # intervals of a visit to a depth that count
_PATIENCE: Final = 4.0  # seconds for them at most
_AGAIN: Final = 0.5  # seconds after which a pin that is not followed is sent again
_WARM_UP: Final = 4.0  # seconds of traffic before anything counts
_POOL: Final = 16  # prompts per content class; a number makes each one new
_CHARACTERS: Final = 3600  # of a long prompt: about 1,200 tokens


@dataclass(frozen=True)
class Stage:
    """Traffic of one kind.

    Attributes:
        batch: requests under way.
        long: whether their prompts are long.
    """

    batch: int
    long: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"batch {self.batch}, {'long' if self.long else 'short'} prompts"


_FULL: Final = (
    *(Stage(batch, long=False) for batch in (1, 2, 4, 8, 16, 32)),
    *(Stage(batch, long=True) for batch in (1, 4, 16)),
)
_QUICK: Final = (*(Stage(batch, long=False) for batch in (1, 4, 16)), Stage(4, long=True))


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(EngineOptions):
    """Every option.

    Raises:
        ValueError: naming the option, what it was and what it may be.
    """

    minutes: float | None = None
    """how long to measure, once the engine serves; 4 by default, .75 with quick"""
    dtype: str = "bfloat16"
    """of the weights"""
    extra: tuple[str, ...] = ()
    """further arguments to vLLM"""

    def __post_init__(self) -> None:
        if not 1 <= self.k_max <= MAX_DEPTH:
            raise ValueError(f"--k-max must be in [1, {MAX_DEPTH}], not {self.k_max}")
        if self.minutes is not None and not 0.0 < self.minutes <= 24 * 60:
            raise ValueError(f"--minutes must be in (0, 1440], not {self.minutes}")
        identity.check_dtype(self.dtype)

    @property
    def seconds(self) -> float:
        """How long to measure."""
        return 60.0 * (self.minutes or (0.75 if self.quick else 4.0))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What to measure under."""
        return _QUICK if self.quick else _FULL


def identify(options: ProfileOptions) -> identity.Identity:
    """The engine that would be profiled.

    Raises:
        ValueError, OSError: if its models are not there or do not belong together.
    """
    pair = models(options.target, options.draft)
    return identity.of_models(
        pair.target.resolve(),
        pair.draft.resolve(),
        options.k_max,
        options.dtype,
        options.cores,
        options.extra,
    )


def run(options: ProfileOptions, progress: Progress) -> Profile:
    """Start an engine, measure it and fit its step times.

    Raises:
        ValueError, OSError: if the models are not there or do not belong together.
        EngineError: if the engine does not start.
        BenchError: if too little could be measured.
    """
    measured = identify(options)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        address = parse_address(f"tcp://127.0.0.1:{free_ports(3)}")
        listener = stack.enter_context(Listener(address))
        engine = _engine(options, str(address), Path(scratch))
        progress(0.0, "starting an engine")
        stack.enter_context(running([engine]))
        walk = Walk(options, engine.url, listener, progress)
        walk.run()
    if listener.beat is None:
        raise BenchError("the engine reported nothing: it was not governed")
    if listener.beat.faults:
        raise BenchError(f"the engine's governor failed: {listener.beat.last_fault}")
    info = listener.beat.info
    profile = to_profile(measured, walk.conditions(), info.parameter_ratio or None)
    check(profile, identity.of_info(info))
    return profile


def to_profile(
    measured: identity.Identity, conditions: list[Condition], parameter_ratio: float | None = None
) -> Profile:
    """Fit what was measured.

    Args:
        measured: the engine.
        conditions: what its steps took.
        parameter_ratio: the drafter's parameters over the target's, where that is known.

    Raises:
        BenchError: if it was too little.
    """
    k_max = measured.k_max or 0
    seen = {c.depth for c in conditions}
    if seen != set(range(k_max + 1)):
        missing = sorted(set(range(k_max + 1)) - seen)
        raise BenchError(f"too few steps at depths {missing}; give it more --minutes")
    found = fit(conditions, k_max)
    median, p90 = held_out(conditions, k_max)
    return Profile(
        identity=measured,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        conditions=conditions,
        coefficients=dict(zip(FEATURES, found.coefficients.tolist(), strict=True)),
        batches=found.batches.tolist(),
        grid=found.grid.tolist(),
        noise=found.noise,
        error_median=median,
        error_p90=p90,
        parameter_ratio=parameter_ratio,
    )


def _engine(options: ProfileOptions, address: str, scratch: Path) -> EngineProcess:
    pair = models(options.target, options.draft)
    return EngineProcess(
        pair.target,
        pair.draft,
        free_ports(),
        k_max=options.k_max,
        static_depth=0,
        controller=address,
        engine=_ENGINE,
        cores=options.cores,
        dtype=options.dtype,
        extra=list(options.extra),
        env={"FLYBALL_INTERVAL": str(_INTERVAL)},
        log=scratch / "engine.log",
    )


@dataclass
class Walk:
    """The way through all stages and depths of an engine that serves.

    Attributes:
        options: of the profile.
        url: of the engine.
        listener: hears it and pins its depth.
        progress: is told how far it is.
    """

    options: ProfileOptions
    url: str
    listener: Listener
    progress: Progress
    _records: list[RequestRecord] = field(default_factory=list)
    _start: float = 0.0
    _since: int = 0

    def __post_init__(self) -> None:
        self._rng = Random(self.options.seed)
        self._prompts = prompt_stream("mixed", self.options.seed, _POOL)
        self._number = itertools.count()

    def run(self) -> None:
        """Every stage at least once, and then on until the time is over.

        Raises:
            BenchError: if requests fail.
            LoadError: if the engine does not answer.
        """
        self.progress(0.0, "warming up")
        with self._traffic(Stage(4, long=False)):
            time.sleep(_WARM_UP)
        self._since = len(self.listener.transitions)
        self._start = time.monotonic()
        for number in itertools.count(1):
            for stage in self._rng.sample(self.options.stages, len(self.options.stages)):
                if number > 1 and self._share() >= 1.0:
                    return
                self._stage(stage, f"round {number}: {stage.name}")

    def visit(self, stage: Stage, depth: int) -> None:
        """Hold a depth until enough was measured at the stage's batch size, or for long enough."""
        seen = len(self.listener.transitions)
        pin = self.listener.pin(_ENGINE, depth)
        over = time.monotonic() + _PATIENCE
        again = 0.0
        while time.monotonic() < over:
            mine = [t for t in self.listener.transitions[seen:] if t.decision.pin == pin.number]
            if sum(meant(t, [stage.batch]) is not None for t in mine) >= _VISIT:
                return
            if not mine and time.monotonic() >= again:
                self.listener.publish(pin)
                again = time.monotonic() + _AGAIN
            time.sleep(0.02)

    def conditions(self) -> list[Condition]:
        """What was measured."""
        return collect(self.listener.transitions[self._since :], self._batches())

    def _batches(self) -> list[int]:
        return sorted({stage.batch for stage in self.options.stages})

    def _share(self) -> float:
        return (time.monotonic() - self._start) / self.options.seconds

    def _stage(self, stage: Stage, name: str) -> None:
        """All depths, under traffic that goes on."""
        depths = range(self.options.k_max + 1)
        with self._traffic(stage) as traffic:
            for depth in self._rng.sample(depths, len(depths)):
                self.progress(min(self._share(), 1.0), f"{name}, depth {depth}")
                self.visit(stage, depth)
            failed = [r.error for r in traffic.records if r.error is not None]
        if failed:
            raise BenchError(f"{len(failed)} requests failed: {failed[0]}")

    def _traffic(self, stage: Stage) -> Traffic:
        settings = LoadSettings(
            url=self.url,
            concurrency=stage.batch,
            max_tokens=400 if stage.long else 120 if stage.batch <= 4 else 240,
            ignore_eos=True,
        )
        return Traffic(settings, source=self._source(stage.long))

    def _source(self, long: bool) -> Iterator[Prompt]:
        """Endless prompts, none of which begins as another: no prefix is found in a cache."""
        while True:
            prompt = next(self._prompts)
            text = prompt.text
            while long and len(text) < _CHARACTERS:
                text += "\n" + next(self._prompts).text
            yield Prompt(f"{next(self._number)}\n{text[:_CHARACTERS]}", prompt.content_class)
