"""The simulator's engine once more, in plain Python around the real governor.

Requests in a closed loop, run as ``inference.vllm.adapter`` sees them, with no bound on the KV
cache. Lengths are constant, so that only classes and acceptance are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp

import numpy as np
from flyball.inference.flight import Flight
from flyball.inference.governor import Governor
from flyball.inference.moment import Load
from flyball.inference.orders import Orders
from flyball.inference.reports import EngineInfo
from flyball.inference.requests import RequestState
from flyball.inference.simulator.compiling import (
    ACCEPTANCE,
    REQUEST,
    draw_key,
    normal,
    uniform,
)
from flyball.inference.simulator.settings import SimulatorSettings
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.transition import Reason, Transition

FIRST_VISIT = 2**32


class Scripted(Governor):
    """A governor that decides as it is told, and keeps what it would have sent."""

    def __init__(self, settings: SimulatorSettings, script: list[int]) -> None:
        self.sent: list[Transition] = []
        self.script = script
        info = EngineInfo(
            engine="e",
            target="t",
            draft="d",
            k_max=settings.k_max,
            static_depth=settings.static_depth,
            parameter_ratio=settings.parameter_ratio,
        )
        super().__init__(info, self.keep, Orders(), settings.interval)
        self.deciding._choose = self.choose  # type: ignore[method-assign]

    def keep(self, transition: Transition) -> bool:
        self.sent.append(transition)
        return True

    def choose(self, *_: object) -> tuple[tuple[int, float, Reason], None]:
        return (self.script.pop(0), 1.0, Reason.PINNED), None


@dataclass
class Request:
    state: RequestState
    key: np.uint64
    acceptance: list[float]
    prompt: int
    generated: int
    computed: int = 0
    emitted: int = 0
    drafts: int = 0
    tokens: int = 0
    top: int = 0

    @property
    def decodes(self) -> bool:
        return self.computed >= self.prompt

    def accepted(self, drafts: int) -> int:
        for j in range(drafts):
            if uniform(self.key, self.emitted + j) >= self.acceptance[j]:
                return j
        return drafts


@dataclass
class PythonEngine:
    settings: SimulatorSettings
    seed: int
    governor: Scripted
    clock: float = 0.0
    admitted: int = 0
    running: list[Request] = field(default_factory=list)
    waiting: list[Request] = field(default_factory=list)
    drafted: int = -1
    rows: dict[int, np.ndarray] = field(default_factory=dict)

    def arrive(self) -> None:
        phase, classes = self.settings.workload.phases[0], self.settings.workload.classes
        while len(self.running) + len(self.waiting) < phase.concurrency:
            number = FIRST_VISIT + self.admitted
            key = np.uint64(draw_key(self.seed, REQUEST, number))
            kind = classes[int(uniform(key, 0) * len(classes))]
            offset = kind.effect * normal(key, 3)
            hints = {"flyball_class": kind.name} if kind.named else None
            self.waiting.append(
                Request(
                    self.governor.admit(hints),
                    np.uint64(draw_key(self.seed, ACCEPTANCE, number)),
                    [1 / (1 + exp(-logit - offset)) for logit in kind.logits],
                    int(kind.prompt.mean),
                    int(kind.output.mean),
                )
            )
            self.admitted += 1

    def load(self) -> Load:
        p = self.settings
        held = sum(-(-self.most(r) // p.block_size) for r in self.running)
        return Load(len(self.waiting), held / p.kv_blocks)

    def most(self, request: Request) -> int:
        """Tokens a request has had blocks for; drafts rejected leave theirs behind."""
        request.top = max(request.top, request.computed + request.tokens)
        return request.top

    @property
    def batch(self) -> int:
        return len(self.running) or min(len(self.waiting), self.settings.max_num_seqs)

    def schedule(self) -> None:
        p = self.settings
        budget = p.max_num_batched_tokens
        for request in self.running:
            wanted = 1 + request.drafts if request.decodes else request.prompt - request.computed
            request.tokens = min(wanted, budget)
            budget -= request.tokens
        while self.waiting and budget and len(self.running) < p.max_num_seqs:
            request = self.waiting.pop(0)
            request.tokens = min(request.prompt, budget)
            budget -= request.tokens
            self.running.append(request)
        for request in self.running:
            self.most(request)

    def flight(self) -> Flight:
        decoding = [r for r in self.running if r.decodes and r.tokens]
        asked = self.settings.max_tokens
        return Flight(
            {str(id(r)): r.state for r in decoding},
            [sum(r.tokens > j for r in decoding) for j in range(1, MAX_DEPTH + 1)],
            sum(r.tokens for r in self.running if not r.decodes),
            sum(r.computed for r in decoding),
            sum(max(asked, r.generated) + r.prompt - r.computed for r in decoding),
        )

    def step(self) -> None:
        self.arrive()
        governor = self.governor
        depth = governor.depth(self.batch, self.load)
        self.schedule()
        flight = self.flight()
        governor.launch(flight, depth)
        governor.prepare(self.batch, self.load)
        decoding = len(flight.requests)
        seconds = float(
            self.settings.cost_model.seconds(
                decoding, flight.context, flight.verified, depth, flight.prefill
            )
        )
        self.clock += seconds
        verifications, emitted, finished = self.land(depth)
        governor.land(flight, self.clock, verifications, emitted, finished)
        self.count(flight, depth, seconds, verifications, emitted, finished)
        self.drafted = depth

    def land(self, depth: int) -> tuple[list[tuple[RequestState, int, int]], int, int]:
        verifications, emitted = [], 0
        for request in self.running:
            if not request.tokens:
                continue  # the budget did not reach it
            if request.decodes:
                drafts = request.tokens - 1
                accepted = request.accepted(drafts)
                if drafts > 0:
                    verifications.append((request.state, drafts, accepted))
                new = min(accepted + 1, request.generated - request.emitted)
                emitted += new
                request.emitted += new
                request.computed += new
                request.drafts = depth
            else:
                request.computed += request.tokens
                if request.decodes:
                    request.emitted, request.drafts = 1, depth
            request.tokens = 0
        before = len(self.running)
        self.running = [r for r in self.running if r.emitted < r.generated]
        return verifications, emitted, before - len(self.running)

    def count(
        self,
        flight: Flight,
        depth: int,
        seconds: float,
        verifications: list[tuple[RequestState, int, int]],
        emitted: int,
        finished: int,
    ) -> None:
        """Rows by decision, for the steps that draft to the depth they verify."""
        decoding = len(flight.requests)
        row = self.rows.setdefault(self.governor.decisions, np.zeros(10 + 3 * MAX_DEPTH))
        if not decoding or depth != self.drafted:
            return
        row[:10] += (
            *(seconds, 1, seconds * decoding, decoding, emitted, depth * decoding),
            *(flight.verified, flight.prefill, flight.context, finished),
        )
        checked, tried, all_accepted = np.split(row[10:], 3)
        for _, drafts, accepted in verifications:
            checked[:drafts] += 1
            tried[: min(accepted + 1, drafts)] += 1
            all_accepted[:accepted] += 1
