"""What the policies of the catalogue share: options, declared by each."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..policy import Integers, Policy
from ..structure import Structure
from .options import Options


class CataloguePolicy(Policy):
    """A policy that is made by name and options.

    Args:
        structure: the analytic prediction: step times, prices and the greatest depth.
        engines: how many.
        seed: of everything random.
        options: of the policy's own kind; None for the defaults.

    Raises:
        ValueError: if an option does not fit the engine, naming it and what it may be.
    """

    kind: ClassVar[type[Options]] = Options
    """What options it has."""

    options: Options

    def __init__(
        self,
        structure: Structure,
        engines: int = 1,
        seed: int = 0,
        options: Options | None = None,
    ) -> None:
        super().__init__(structure, engines, seed)
        self.options = self.kind() if options is None else options
        self._each: Integers = np.arange(engines)
        self._prepare()

    def _prepare(self) -> None:
        """Make what the policy remembers; its options are there.

        Raises:
            ValueError: if an option does not fit the engine.
        """
