"""Traffic that is up before anything is measured."""

from __future__ import annotations

import time
from typing import Any, Self

from ..inference.load import LoadSettings
from ..inference.traffic import Traffic


class RampedTraffic(Traffic):
    """Traffic whose clients all ask when the ``with`` statement begins.

    Args:
        settings: what traffic.
        ramp: seconds until they do.
        kwargs: further arguments of ``Traffic``.
    """

    def __init__(self, settings: LoadSettings, *, ramp: float, **kwargs: Any) -> None:
        super().__init__(settings, **kwargs)
        self._ramp = ramp

    def __enter__(self) -> Self:
        self.start()
        time.sleep(self._ramp)
        if not self.alive:
            self.stop()  # raises the reason
        return self
