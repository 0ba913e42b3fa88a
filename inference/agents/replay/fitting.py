"""Fits the generator to a planning trace: by moments where they are plain, simulated otherwise.

The matches' random effects are fitted by simulated moments (McFadden 1989): of a grid of models,
each with the trace's match rate at every step, the one whose simulated runs come nearest to the
trace in how matches follow matches, how alike two runs of one task are, and how runs differ.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from .fitted import LONGEST, Bools, Fitted, Floats, Lengths, Luck, MatchModel
from .recorded import TERMINATE
from .trace import PlanTraceError, TraceRun, TraceStep

_POSITIONS: Final = 7  # told apart; later steps are few
_SIMULATED: Final = 1000  # templates, met twice
_ROUNDS: Final = 12  # of fixed-point iteration to the match rates
_AFTER: Final = (0.0, 0.3, 0.6, 0.9)
_TASK_SD: Final = (0.0, 0.3, 0.6, 0.9)
_STEP_SD: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


def fit(runs: Sequence[TraceRun]) -> Fitted:
    """What the generator needs, from a trace.

    Raises:
        PlanTraceError: if no task was run twice, or there are fewer than 10 runs.
    """
    if len(runs) < 10 or not list(_pairs(runs)):
        raise PlanTraceError("a fit needs 10 runs at least, and a task that was run twice")
    steps = [step for run in runs for step in run.steps]
    answered = [s for s in steps if s.a_seconds and s.a_gen_tokens]
    place = np.array([s.step - 1.0 for s in steps])
    generated = np.array([float(s.t_gen_tokens) for s in steps])
    thoughts = np.array([float(s.t_thought_gen_tokens) for s in steps])
    seconds = np.array([s.t_seconds for s in steps])
    line = _line(generated, seconds)
    logs = np.log(np.maximum(thoughts, 1.0))
    means = [logs[_at(place, i)].mean() for i in range(_POSITIONS)]
    residual = logs - np.array(means)[np.minimum(place, _POSITIONS - 1).astype(int)]
    prompts = np.array([float(s.t_prompt_tokens - s.t_thought_prompt_tokens) for s in steps])
    lengths = np.bincount([len(run.steps) for run in runs], minlength=LONGEST + 1)
    return Fitted(
        match=_match_model(runs),
        lengths=tuple((lengths[1 : LONGEST + 1] / len(runs)).tolist()),
        terminates=_terminates(steps),
        repeats=_repeats(runs),
        a_log_seconds=_moments(np.log([s.a_seconds or 1.0 for s in answered])),
        a_tokens=_moments(np.array([float(s.a_gen_tokens or 0) for s in answered])),
        action_tokens=_moments(generated - thoughts),
        thought_log_tokens=tuple(float(m) for m in means),
        thought_log_sd=float(residual.std()),
        t_seconds=line,
        t_log_sd=float(np.log(seconds / (line[0] + line[1] * generated)).std()),
        a_prompt=_line(place, np.array([float(s.a_prompt_tokens) for s in steps])),
        thought_prompt=_line(place, np.array([float(s.t_thought_prompt_tokens) for s in steps])),
        action_prompt=_line(place, prompts - thoughts),
    )


def _at(place: Floats, position: int) -> Bools:
    """Which steps are at a position; the last position holds all later ones."""
    last = position == _POSITIONS - 1
    at: Bools = place >= position if last else place == position
    return at


def _moments(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Constant and slope, by least squares."""
    (a, b), *_ = np.linalg.lstsq(np.stack([np.ones_like(x), x], 1), y, rcond=None)
    return float(a), float(b)


def _terminates(steps: Sequence[TraceStep]) -> tuple[float, ...]:
    """By step, half an observation of either kind added: some steps had few misses."""
    out = []
    for i in range(_POSITIONS):
        here = [s for s in steps if min(s.step - 1, _POSITIONS - 1) == i]
        missed = [s for s in here if not s.match and s.t_action != TERMINATE]
        early = sum(s.a_action == TERMINATE for s in missed)
        out.append(0.0 if i == 0 and not early else (early + 0.5) / (len(missed) + 1.0))
    return tuple(out)


def _pairs(runs: Sequence[TraceRun]) -> Iterator[tuple[TraceRun, TraceRun]]:
    by_task = defaultdict(list)
    for run in runs:
        by_task[run.task].append(run)
    for same in by_task.values():
        yield from itertools.combinations(same, 2)


def _repeats(runs: Sequence[TraceRun]) -> float:
    """Two runs agree where both do as usual: the root of how often they do."""
    same = [
        a.t_action == b.t_action
        for one, other in _pairs(runs)
        for a, b in zip(one.steps[:-1], other.steps[:-1], strict=False)
    ]
    return float(np.sqrt(np.mean(same)))


def _match_model(runs: Sequence[TraceRun]) -> MatchModel:
    first, second = zip(*_pairs(runs), strict=True)
    both = [_matches(first), _matches(second)]
    wanted = _summary(both, [_lengths(first), _lengths(second)])
    rates, final = _rates(runs)
    always = float(np.mean([all(s.match for s in run.steps) for run in runs]))
    rng = np.random.default_rng(0)
    luck = Luck.of(rng, _SIMULATED)
    lucks = (luck, luck.again(rng))
    lengths = _lengths(runs)[np.arange(_SIMULATED) % len(runs)]
    best = (np.inf, MatchModel((), 0.0, 0.0, 0.0, 0.0, always))
    for after, task_sd, step_sd in itertools.product(_AFTER, _TASK_SD, _STEP_SD):
        start = MatchModel(
            tuple(_logit(rates)), float(_logit(final)), after, task_sd, step_sd, always
        )
        model = _calibrated(start, rates, final, lengths, lucks[0])
        found = _summary([model.draw(lengths, one) for one in lucks], [lengths, lengths])
        best = min(best, (float(((found - wanted) ** 2).sum()), model), key=lambda pair: pair[0])
    return best[1]


def _matches(runs: Sequence[TraceRun]) -> Bools:
    out = np.zeros((len(runs), LONGEST), np.bool_)
    for i, run in enumerate(runs):
        out[i, : len(run.steps)] = [s.match for s in run.steps[:LONGEST]]
    return out


def _lengths(runs: Sequence[TraceRun]) -> Lengths:
    return np.array([min(len(run.steps), LONGEST) for run in runs], np.intp)


def _rates(runs: Sequence[TraceRun]) -> tuple[Floats, Floats]:
    """Match rates by step and of the final one, half an observation of either kind added."""
    steps = [step for run in runs for step in run.steps]
    place = np.array([float(s.step - 1) for s in steps])
    match = np.array([s.match for s in steps])
    final = np.array([s.t_action == TERMINATE for s in steps])
    each = [match[_at(place, i) & ~final] for i in range(_POSITIONS)]
    rates = np.array([(m.sum() + 0.5) / (len(m) + 1.0) for m in each])
    return rates, np.array((match[final].sum() + 0.5) / (final.sum() + 1.0))


def _logit(rate: Floats) -> Floats:
    out: Floats = np.log(rate) - np.log1p(-rate)
    return out


def _calibrated(
    model: MatchModel,
    rates: Floats,
    final: Floats,
    lengths: Lengths,
    luck: Luck,
) -> MatchModel:
    """The model moved until its simulated match rates are the trace's."""
    place = np.broadcast_to(np.arange(float(LONGEST)), (len(lengths), LONGEST))
    ends = place == lengths[:, None] - 1
    inner = place < lengths[:, None] - 1
    for _ in range(_ROUNDS):
        drawn = model.draw(lengths, luck)
        found = np.array([_clipped(drawn[_at(place, i) & inner]) for i in range(_POSITIONS)])
        model = replace(
            model,
            position=tuple((np.array(model.position) + _logit(rates) - _logit(found)).tolist()),
            final=float(model.final + _logit(final) - _logit(_clipped(drawn[ends]))),
        )
    return model


def _clipped(matches: Bools) -> Floats:
    rate: Floats = np.clip(matches.mean(), 0.01, 0.99)
    return rate


def _summary(both: Sequence[Bools], lengths: Sequence[Lengths]) -> Floats:
    """How matches hang together in pairs of runs of the same tasks.

    Returns:
        P(match after a match) less that after a mismatch, the correlation of two runs' matches at
        the same step, and the standard deviation of the runs' match rates.
    """
    place = np.arange(LONGEST)
    inside = [place < n[:, None] for n in lengths]
    after, before = [], []
    for match, real in zip(both, inside, strict=True):
        after.append(match[:, 1:][real[:, 1:]])
        before.append(match[:, :-1][real[:, 1:]])
    now, then = np.concatenate(after), np.concatenate(before)
    shared = inside[0] & inside[1]
    alike = np.corrcoef(both[0][shared], both[1][shared])[0, 1]
    shares = [(m & i).sum(1) / i.sum(1) for m, i in zip(both, inside, strict=True)]
    return np.array([now[then].mean() - now[~then].mean(), alike, np.concatenate(shares).std()])
