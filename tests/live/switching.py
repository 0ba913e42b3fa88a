"""Schedulers of an engine that offers several drafters, and drafters that are not to be trusted.

An engine loads them from this folder. What became of each drafter is written next to the file that
the environment variable ``PLANNED`` names, whenever the engine has run out of requests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
from flyball.inference.drafters.catalogue import DrafterContext
from flyball.inference.drafters.drafter import Ask, Drafter, Owner
from flyball.inference.drafters.suffix import Draft, SuffixDrafter
from flyball.inference.drafters.suffix.memory import Memory
from flyball.inference.vllm import GovernedAsyncScheduler
from planning import Planned


class SwitchingScheduler(Planned, GovernedAsyncScheduler):
    """Plans every step at random, and says how the drafters fare."""

    def _write(self) -> None:
        super()._write()
        assert self._adapter is not None
        records = self._adapter.governor.drafters
        records.settle()
        beats = {name: msgspec.structs.asdict(beat) for name, beat in records.beats().items()}
        path = Path(os.environ["PLANNED"]).with_name("drafters.json")
        part = path.with_suffix(".part")
        part.write_text(json.dumps(beats))
        part.rename(path)


class Wild(Drafter):
    """Drafts at random, up to all that was asked for: almost nothing of it is accepted."""

    def __init__(self, context: DrafterContext) -> None:
        self.random = Random(0)
        self.vocabulary = context.vocabulary

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None: ...

    def extend(self, request: str, tokens: Sequence[int]) -> None: ...

    def end(self, request: str) -> None: ...

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        return [self._draft(self.random.randint(0, ask.depth)) for ask in asks]

    def _draft(self, length: int) -> list[int]:
        return [self.random.randrange(self.vocabulary) for _ in range(length)]


class Faulty(Wild):
    """Now and then drafts what is not allowed, or fails; each way once in a while."""

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        drafts = super().propose(asks)
        kind = self.random.randrange(60)
        if kind == 0:
            raise RuntimeError("out of ideas")
        if kind == 1:
            drafts[0] = [self.vocabulary]
        if kind == 2:
            drafts[0] = [1] * (asks[0].depth + 1)
        return drafts if kind != 3 else drafts[1:]


class Remembering(Drafter):
    """Drafts what followed the last tokens in requests of the same tenant that have ended."""

    def __init__(self) -> None:
        self.contexts: dict[str, list[int]] = {}
        self.tenants: dict[str, str] = {}
        self.memory: dict[tuple[str, int, int], list[int]] = {}

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        self.contexts[request] = [*prompt]
        self.tenants[request] = owner.tenant

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        self.contexts[request] += tokens

    def end(self, request: str) -> None:
        tokens, tenant = self.contexts.pop(request), self.tenants.pop(request)
        for i in range(len(tokens) - 2):
            self.memory[tenant, tokens[i], tokens[i + 1]] = tokens[i + 2 : i + 10]

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        return [self._draft(ask.request)[: ask.depth] for ask in asks]

    def _draft(self, request: str) -> list[int]:
        last, end = self.contexts[request][-2:]
        return self.memory.get((self.tenants[request], last, end), [])


class Telling(SuffixDrafter):
    """A suffix memory that tells how many tokens each tenant was drafted from its store.

    It is written next to the file that ``PLANNED`` names, whenever a request ends; and what is
    remembered is kept in a folder there.
    """

    def __init__(self) -> None:
        folder = Path(os.environ["PLANNED"]).with_name("told")
        folder.mkdir(exist_ok=True)
        super().__init__(Memory(folder=folder, tokenizer="the target's"))
        self.counts: dict[str, int] = {}

    def draft(self, ask: Ask) -> Draft:
        drafted = super().draft(ask)
        request = self._requests[ask.request]
        sources = request.used[: len(drafted.tokens), 0]  # 0 is the request itself
        stored = self.counts.get(request.tenant, 0) + int((sources > 0).sum())
        self.counts[request.tenant] = stored
        return drafted

    def end(self, request: str) -> None:
        super().end(request)
        path = Path(os.environ["PLANNED"]).with_name("stored.json")
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.counts))
        part.rename(path)


def telling(context: DrafterContext) -> Drafter:
    del context
    return Telling()


def remembering(context: DrafterContext) -> Drafter:
    del context
    return Remembering()


def wild(context: DrafterContext) -> Drafter:
    return Wild(context)


def faulty(context: DrafterContext) -> Drafter:
    return Faulty(context)
