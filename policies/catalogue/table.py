"""A table from batch size to depth, as vLLM's ``num_speculative_tokens_per_batch_size``."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from ..policy import Choice, Integers
from ..spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from ..structure import Structure
from .base import CataloguePolicy
from .objective import BATCH, CONTEXT, KEPT, SURVIVAL, weighed
from .options import Objective, OfObjective, Options, refusal

LARGEST: Final = 256
"""Batch size up to which a table tells sizes apart."""

MEAN_ACCEPTANCE: Final = 0.7
MEAN_CONTEXT: Final = 512.0  # tokens

_RANGE: Final = re.compile(r"(\d{1,6})-(\d{0,6}):(\d{1,2})", re.ASCII)
_FORM: Final = (
    "ranges of batch sizes and their depths such as 1-4:6,5-16:3,17-:1, from 1 on and without gaps"
)


class TableOptions(Options, frozen=True):
    """Options of ``table``."""

    table: Annotated[
        str, Meta(description=f"{_FORM}; by default the best depths at acceptance 0.7")
    ] = ""
    objective: OfObjective = "throughput"


class Table(CataloguePolicy):
    """Depth by batch size alone.

    Without a table of the user's own, the depths are those that the structure predicts to be
    best at a mean acceptance of .7 and a context of 512 tokens: for tokens per second, as a
    table is tuned today, or for J at the speed of the decision.
    """

    name = "table"
    about = "depth by batch size (vLLM's num_speculative_tokens_per_batch_size)"
    kind: ClassVar[type[Options]] = TableOptions
    options: TableOptions

    def _prepare(self) -> None:
        text = self.options.table
        self._given = parse(text, self.k_max) if text else None
        self._components = predicted(self.structure)

    def use_structure(self, structure: Structure) -> None:
        """Take newer step times; a table of the user's own stays as it is."""
        super().use_structure(structure)
        self._components = predicted(structure)

    def act(self, raw: Array) -> Choice:
        """Look the depths up."""
        size = np.minimum(np.maximum(raw[:, BATCH].astype(np.int64), 1), LARGEST) - 1
        if self._given is not None:
            return Choice.certain(self._given[size])
        speed = _speed(raw, self.options.objective)
        return Choice.certain(weighed(self._components[size], speed).argmin(axis=1))


def _speed(raw: Array, objective: Objective) -> Array:
    """The speed that tokens per second are equal to, or the observations' own."""
    return raw[:, SPEED_INDEX] if objective == "J" else np.ones(len(raw), np.float32)


def predicted(structure: Structure) -> Array:
    """Components by batch size 1..LARGEST and depth: shape (LARGEST, k_max + 1, 2)."""
    raw: npt.NDArray[np.float32] = np.zeros((LARGEST, DEPTH_SPACE.size), np.float32)
    raw[:, BATCH] = np.arange(1, LARGEST + 1)
    raw[:, CONTEXT] = MEAN_CONTEXT
    raw[:, KEPT] = 1.0
    raw[:, SURVIVAL] = MEAN_ACCEPTANCE ** np.arange(1, MAX_DEPTH + 1)
    return structure.components(raw)


def parse(text: str, k_max: int) -> Integers:
    """A table from text: the depth of batch sizes 1..LARGEST, shape (LARGEST,).

    Args:
        text: ``FIRST-LAST:DEPTH`` for each range, commas between; the last range holds for all
            sizes above, too.
        k_max: greatest depth.

    Raises:
        ValueError: saying what is wrong with it.
    """
    depths = np.zeros(LARGEST, np.int64)
    following: int | None = 1
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or following is None or int(found[1]) != following:
            raise refusal(Table.name, "table", text, f"{_FORM}; not {part[:40]!r}")
        first, last, depth = following, int(found[2] or LARGEST), int(found[3])
        if (found[2] and last < first) or depth > k_max:
            wanted = f"{_FORM}, depths in [0, {k_max}]; not {part[:40]!r}"
            raise refusal(Table.name, "table", text, wanted)
        depths[first - 1 :] = depth
        following = last + 1 if found[2] else None
    return depths
