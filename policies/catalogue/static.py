"""Policies that remember nothing: off, a fixed depth, and our structure alone."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from ..policy import Choice
from ..spaces import SPEED_INDEX, Array
from .base import CataloguePolicy
from .objective import weighed
from .options import Options, refusal


class Off(CataloguePolicy):
    """Depth 0, always."""

    name = "off"
    about = "no speculation: depth 0"

    def act(self, raw: Array) -> Choice:
        """Choose depth 0."""
        return Choice.certain(np.zeros(len(raw), np.int64))


class FixedOptions(Options, frozen=True):
    """Options of ``fixed``."""

    depth: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="an integer in [0, k_max]; by default k_max, as vLLM has it"),
    ] = None


class Fixed(CataloguePolicy):
    """One depth, always: vLLM's ``num_speculative_tokens``."""

    name = "fixed"
    about = "one depth, whatever the load (vLLM's num_speculative_tokens)"
    kind: ClassVar[type[Options]] = FixedOptions
    options: FixedOptions

    def _prepare(self) -> None:
        depth = self.options.depth
        self.depth = self.k_max if depth is None else depth
        if self.depth > self.k_max:
            raise refusal(self.name, "depth", depth, f"an integer in [0, {self.k_max}]")

    def act(self, raw: Array) -> Choice:
        """Choose the depth."""
        return Choice.certain(np.full(len(raw), self.depth, np.int64))


class Analytic(CataloguePolicy):
    """The least J by survival and step times, with nothing learned on top."""

    name = "analytic"
    about = "the least J by our structure alone: survival and step times, nothing learned on top"

    def act(self, raw: Array) -> Choice:
        """Choose the depth that is predicted to be best."""
        components = self.structure.components(raw)
        return Choice.certain(weighed(components, raw[:, SPEED_INDEX]).argmin(axis=1))
