"""Lets vLLM schedule asynchronously on a CPU: its platform switches that off, though it works.

Python imports a module of this name at its start, in each of an engine's processes whose path has
this folder: tests of what happens while steps overlap need no GPU then.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PLATFORM = "vllm.platforms.cpu"


class Finder:
    """Finds vLLM's platform, once, and has its check of the configuration followed by ours."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != PLATFORM:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _overlap(module.CpuPlatform)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _overlap(platform: Any) -> None:
    check = platform.check_and_update_config

    def check_and_overlap(config: Any) -> None:
        check(config)
        config.scheduler_config.async_scheduling = True

    platform.check_and_update_config = staticmethod(check_and_overlap)


sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
