"""Fixtures for more than one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flyball.controller.learner import Learner
from flyball.controller.settings import LearnerSettings
from hypothesis import settings

# What is compiled takes its time at the first example.
settings.register_profile("flyball", deadline=None)
settings.load_profile("flyball")

QUICK = {"publish_seconds": 0.0, "board_seconds": 3600.0, "keep_snapshots": 5}


@pytest.fixture
def make_learner(tmp_path: Path) -> Iterator[Callable[..., Learner]]:
    """Learners that are closed in the end; the same run unless another is named."""
    made: list[Learner] = []

    def make(run: str = "run", **options: object) -> Learner:
        settings = LearnerSettings(**{**QUICK, **options})  # type: ignore[arg-type]
        made.append(Learner(settings, tmp_path / run))
        return made[-1]

    yield make
    for learner in made:
        learner.board.close()
