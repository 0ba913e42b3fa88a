"""How a chain drafts: rounds in which each model verifies what the one below it delivers.

Between models verification is greedy: a model keeps of what it is given what it would have said
itself, and adds its own next token. So what a level delivers is its own greedy continuation, token
by token, whatever the levels below it said; they only make it cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ....policies.chains.plan import Plan
from .level import Level


@dataclass(slots=True)
class Row:
    """One request while a draft is made for it.

    Attributes:
        request: its name.
        slot: where its keys and values are.
        text: its tokens, committed and proposed.
        wanted: tokens that are to be proposed at most.
    """

    request: str
    slot: int
    text: list[int]
    wanted: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one verification between two models of a chain.

    Attributes:
        request: whose.
        lower: who drafted.
        upper: who verified.
        drafted: tokens verified.
        accepted: of them, from the first.
    """

    request: str
    lower: str
    upper: str
    drafted: int
    accepted: int


@dataclass(slots=True)
class Rounds:
    """A plan carried out for a batch of requests.

    Attributes:
        levels: the plan's models, smallest first.
        plan: how many rounds each has.
        runs: of all verifications.
    """

    levels: Sequence[Level]
    plan: Plan
    runs: list[Run] = field(default_factory=list)

    def propose(self, rows: Sequence[Row]) -> list[list[int]]:
        """What the largest model proposes, 1 to ``wanted`` tokens of each row."""
        return self._deliver(len(self.levels) - 1, rows)

    def _deliver(self, level: int, rows: Sequence[Row]) -> list[list[int]]:
        if level == 0:
            return self._draft(rows)
        out: dict[int, list[int]] = {row.slot: [] for row in rows}
        for _ in range(self.plan.rounds[level - 1]):
            open_rows = [row for row in rows if len(out[row.slot]) < row.wanted]
            if not open_rows:
                break
            texts = [row.text + out[row.slot] for row in open_rows]
            found = self._round(level, open_rows, texts, out)
            for row, tokens in zip(open_rows, found, strict=True):
                out[row.slot] += tokens
        return [out[row.slot] for row in rows]

    def _draft(self, rows: Sequence[Row]) -> list[list[int]]:
        count = min(self.plan.draft, max(row.wanted for row in rows))
        drafts = self.levels[0].draft([row.slot for row in rows], [r.text for r in rows], count)
        return [draft[: row.wanted] for draft, row in zip(drafts, rows, strict=True)]

    def _round(
        self, level: int, rows: Sequence[Row], texts: list[list[int]], out: dict[int, list[int]]
    ) -> list[list[int]]:
        """One round: have drafts made, and keep of them what the level would have said."""
        below = [
            # One token is the level's own, so that nothing is drafted in vain.
            Row(row.request, row.slot, text, row.wanted - len(out[row.slot]) - 1)
            for row, text in zip(rows, texts, strict=True)
        ]
        asking = [row for row in below if row.wanted > 0]
        made = self._deliver(level - 1, asking) if asking else []
        by_slot = {row.slot: draft for row, draft in zip(asking, made, strict=True)}
        drafts = [by_slot.get(row.slot, []) for row in rows]
        whole = [text + draft for text, draft in zip(texts, drafts, strict=True)]
        ends = [len(draft) + 1 for draft in drafts]
        said = self.levels[level].read([row.slot for row in rows], whole, ends)
        return [
            self._kept(level, row, draft, own)
            for row, draft, own in zip(rows, drafts, said, strict=True)
        ]

    def _kept(self, level: int, row: Row, draft: list[int], own: list[int]) -> list[int]:
        """The draft's tokens that are the level's own as well, and its own next one.

        Args:
            level: who verifies.
            row: the request.
            draft: what is verified.
            own: the level's token before and after each of the draft's: one more than those.
        """
        pairs = enumerate(zip(draft, own, strict=False))
        accepted = next((k for k, (given, mine) in pairs if given != mine), len(draft))
        if draft:
            lower, upper = self.levels[level - 1].name, self.levels[level].name
            self.runs.append(Run(row.request, lower, upper, len(draft), accepted))
        return own[: accepted + 1]
