"""What the adapter governs of vLLM, and what it leaves alone."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from flyball.inference.vllm.adapter import Adapter


def scheduler(method: str | None = "draft_model", ranks: int = 1) -> SimpleNamespace:
    """As much of vLLM's scheduler as is looked at before anything is governed."""
    speculation = SimpleNamespace(method=method) if method else None
    parallel = SimpleNamespace(data_parallel_size=ranks)
    config = SimpleNamespace(speculative_config=speculation, parallel_config=parallel)
    return SimpleNamespace(vllm_config=config, num_spec_tokens=6 if method else 0)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (scheduler(method=None), "without --speculative-config"),
        (scheduler(ranks=2), "data-parallel"),
        (scheduler(method="suffix"), "'suffix'"),
        (scheduler(method="custom_class"), "'custom_class'"),
    ],
    ids=["no speculation", "ranks", "suffix", "custom class"],
)
def test_what_cannot_be_governed_is_left_alone(
    what: SimpleNamespace, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flyball"):
        assert Adapter.attach(what) is None  # type: ignore[arg-type]
    assert says in caplog.text
