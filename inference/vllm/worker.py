"""A worker of vLLM's whose model runner offers several drafters (``runner``).

Use it with ``vllm serve --worker-cls flyball.inference.vllm.DraftingWorker`` and the environment
variable ``FLYBALL_DRAFTERS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm.platforms import current_platform

from .drafting import Drafting
from .runner import extend

if TYPE_CHECKING:
    from vllm.v1.worker.gpu_worker import Worker as _Base
elif current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as _Base
else:
    from vllm.v1.worker.gpu_worker import Worker as _Base


class DraftingWorker(_Base):
    """The platform's worker, with drafters."""

    drafting: Drafting | None = None

    def init_device(self) -> None:
        """Make the model runner, and extend it."""
        super().init_device()
        self.drafting = extend(self.model_runner, self.vllm_config)

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Stop; drafters keep what is to be kept."""
        if self.drafting is not None:
            self.drafting.pool.close()
        super().shutdown(*args, **kwargs)
