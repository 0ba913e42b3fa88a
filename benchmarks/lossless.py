"""Whether governing changes what is generated: it must not, at any depth, switched at any time.

A governed engine draws its depth at random, every interval anew, under mixed traffic; a second
engine runs the target alone; both in float32, where near-ties cannot flip with the batch's shape.
At temperature 0 every output must be the same, token for token. At temperature 1 the first tokens
(which no draft precedes) and the second ones (the first that are verified) must be distributed
alike, by a two-sample chi-square test, prompts taken together.

A test that cannot fail is worth nothing, so the same test is applied to what a leak would give:
tokens sampled from the drafter in the place of the target's. Its p must be next to nought.

Figures:
    prompts, identical: prompts at temperature 0, and how many outputs were the same.
    chi2_p_first, chi2_p_second: of the tests at temperature 1.
    chi2_p_first_leak, chi2_p_second_leak: of the same tests on the drafter's own tokens.
    samples: at temperature 1, per engine.
    switches, depths: changes of depth during the run, and how many different depths there were.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..inference.address import parse_address
from ..inference.asking import RequestRecord
from ..inference.load import LoadSettings, prompt_stream, run_load
from ..inference.models.prompts import Prompt, prompts
from ..inference.reports import Mode
from ..inference.vllm.server import EngineProcess
from .drafts import drafted_pairs
from .engines import BenchError, Models, free_ports, models, running
from .listener import Listener
from .options import EngineOptions
from .result import result
from .snapshots import random_snapshot
from .stats import ChiSquare, chi_square

Progress = Callable[[str], None]
Pair = tuple[int, int]
"""First and second token of a sample."""


@dataclass(frozen=True, kw_only=True)
class LosslessOptions(EngineOptions):
    """Every option of the benchmark."""

    concurrency: int = 8
    """requests under way"""
    prompts: int = 200
    """prompts at temperature 0; 12 with quick"""
    max_tokens: int = 64
    """tokens per prompt at temperature 0; 32 with quick"""
    sampled_prompts: int = 6
    """prompts at temperature 1; 2 with quick"""
    samples: int = 600
    """samples of each of them; 200 with quick"""

    def sized(self) -> LosslessOptions:
        """With quick's own sizes where it is asked for."""
        if not self.quick:
            return self
        return replace(self, prompts=12, max_tokens=32, sampled_prompts=2, samples=200)


def run(options: LosslessOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result."""
    options = options.sized()
    pair = models(options.target, options.draft)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        address = parse_address(f"tcp://127.0.0.1:{free_ports(3)}")
        listener = stack.enter_context(Listener(address))
        governed, alone = _engines(options, pair, str(address), Path(scratch))
        progress("starting two engines in float32")
        stack.enter_context(running([governed, alone]))
        identical = _greedy(options, governed, alone, progress)
        distribution = _sampled(options, pair, governed, alone, progress)
        depths = [t.decision.applied for t in listener.transitions]
    if len(set(depths)) <= options.k_max // 2:
        raise BenchError(f"the governed engine did not change its depth: it had {set(depths)}")
    figures = {
        "prompts": options.prompts,
        "identical": identical,
        **distribution,
        "samples": options.samples * options.sampled_prompts,
        "switches": sum(a != b for a, b in itertools.pairwise(depths)),
        "depths": len(set(depths)),
    }
    shared = {"dtype": "float32", "concurrency": options.concurrency}
    arms = {
        "governed": {**shared, "depth": "random every interval", "k_max": options.k_max},
        "alone": {**shared, "depth": "no speculation"},
    }
    return result("lossless", options.seed, arms, figures)


def _engines(
    options: LosslessOptions, pair: Models, address: str, scratch: Path
) -> tuple[EngineProcess, EngineProcess]:
    snapshot = scratch / "random.safetensors"
    random_snapshot(options.k_max, options.seed).save(snapshot)
    governed = EngineProcess(
        pair.target,
        pair.draft,
        free_ports(),
        k_max=options.k_max,
        controller=address,
        cores=options.cores,
        extra=options.serve_extra,
        dtype="float32",
        env={
            "FLYBALL_SNAPSHOT": str(snapshot),
            "FLYBALL_MODE": Mode.APPLY.value,
            "FLYBALL_SEED": str(options.seed),
            "FLYBALL_INTERVAL": "3",  # more switches than in use
            "FLYBALL_GUARD": "off",  # a policy that only explores is what it would stop
        },
        log=scratch / "governed.log",
    )
    alone = EngineProcess(
        pair.target,
        None,
        free_ports(),
        cores=options.cores,
        extra=options.serve_extra,
        dtype="float32",
        log=scratch / "alone.log",
    )
    return governed, alone


def _greedy(
    options: LosslessOptions, governed: EngineProcess, alone: EngineProcess, progress: Progress
) -> int:
    """How many outputs at temperature 0 are the same from both engines."""
    source = prompt_stream("mixed", options.seed, pool=-(-options.prompts // 3))
    work = list(itertools.islice(source, options.prompts))
    outputs = []
    for name, engine in (("governed", governed), ("alone", alone)):
        progress(f"{len(work)} prompts at temperature 0, {name}")
        records = _load(options, engine, work, options.max_tokens, 0.0)
        outputs.append([record.token_ids for record in records])
    return sum(a == b and a is not None for a, b in zip(*outputs, strict=True))


def _sampled(
    options: LosslessOptions,
    pair: Models,
    governed: EngineProcess,
    alone: EngineProcess,
    progress: Progress,
) -> dict[str, float]:
    """The tests at temperature 1."""
    first, second, first_leak, second_leak = (ChiSquare() for _ in range(4))
    for i, prompt in enumerate(prompts("prose", options.sampled_prompts, options.seed)):
        progress(f"prompt {i + 1} of {options.sampled_prompts} at temperature 1")
        ours = _samples(options, governed, prompt)
        theirs = _samples(options, alone, prompt)
        leak = drafted_pairs(pair.draft, prompt.text, [a for a, _ in theirs], options.seed + i)
        first += chi_square([a for a, _ in ours], [a for a, _ in theirs])
        second += chi_square([b for _, b in ours], [b for _, b in theirs])
        first_leak += chi_square([a for a, _ in leak], [a for a, _ in theirs])
        second_leak += chi_square([b for _, b in leak], [b for _, b in theirs])
    return {
        "chi2_p_first": first.p,
        "chi2_p_second": second.p,
        "chi2_p_first_leak": first_leak.p,
        "chi2_p_second_leak": second_leak.p,
    }


def _samples(options: LosslessOptions, engine: EngineProcess, prompt: Prompt) -> list[Pair]:
    """First and second tokens of many samples of one prompt."""
    # Four tokens, so that the second is not the last and is drafted like any other.
    records = _load(options, engine, [prompt] * options.samples, 4, 1.0)
    return [(ids[0], ids[1]) for record in records if (ids := record.token_ids or [])]


def _load(
    options: LosslessOptions,
    engine: EngineProcess,
    work: list[Prompt],
    max_tokens: int,
    temperature: float,
) -> list[RequestRecord]:
    """Every request's record, in the order of the work."""
    settings = LoadSettings(
        url=engine.url,
        concurrency=options.concurrency if temperature == 0 else 32,
        max_tokens=max_tokens,
        temperature=temperature,
        ignore_eos=True,
        token_ids=True,
    )
    records = sorted(run_load(settings, iter(work)), key=lambda record: record.number)
    failed = [record.error for record in records if record.error is not None]
    if failed or len(records) != len(work):
        raise BenchError(f"{len(failed)} of {len(work)} requests failed: {failed[:1]}")
    return records
