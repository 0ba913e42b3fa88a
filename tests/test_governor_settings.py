"""Environment variables of a governor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flyball.inference.guard_state import GuardSettings
from flyball.inference.reports import Mode
from flyball.inference.settings import from_environment
from flyball.policies.prices import compute_prices
from flyball.policies.slo import DEFAULT_CLASSES, Slo
from flyball.policies.snapshot import SnapshotError, analytic
from flyball.policies.step_time import PRIOR


def test_without_variables_the_governor_works_alone() -> None:
    settings = from_environment({})
    assert settings.controller is None
    assert settings.mode is Mode.APPLY
    assert settings.engine.startswith("engine-")
    assert settings.orders().runner is None
    assert settings.guard == GuardSettings()
    assert from_environment({"FLYBALL_GUARD": "off"}).guard is None
    assert settings.slo_classes is DEFAULT_CLASSES
    assert (settings.drafters, settings.drafter) == ((), None)


def test_reads_drafters() -> None:
    settings = from_environment(
        {"FLYBALL_DRAFTERS": "ngram,draft,mine.place:build", "FLYBALL_DRAFTER": "random"}
    )
    assert settings.drafters == ("ngram", "draft", "mine.place:build")
    assert settings.drafter == "random"
    with pytest.raises(ValueError, match=r"FLYBALL_DRAFTERS=n-gram: no drafter is called 'n-gram'"):
        from_environment({"FLYBALL_DRAFTERS": "n-gram"})


def test_reads_every_variable(tmp_path: Path) -> None:
    snapshot = tmp_path / "s.safetensors"
    analytic(5, 4, compute_prices(0.1), PRIOR.astype(np.float32), 0.0).save(snapshot)
    classes = tmp_path / "classes.toml"
    classes.write_text("[chat]\nttft_ms = 500\n")
    settings = from_environment(
        {
            "FLYBALL_CONTROLLER": "tcp://[::1]:6000",
            "FLYBALL_ENGINE": "a",
            "FLYBALL_STATIC_DEPTH": "0",
            "FLYBALL_SNAPSHOT": str(snapshot),
            "FLYBALL_MODE": "freeze",
            "FLYBALL_SPEED": "0",
            "FLYBALL_INTERVAL": "3",
            "FLYBALL_KEYS": str(tmp_path),
            "FLYBALL_PARAMETER_RATIO": "0.25",
            "FLYBALL_SEED": "0",
            "FLYBALL_GUARD": "on",
            "FLYBALL_GUARD_SHARE": "0.1",
            "FLYBALL_EXPLORE": "0",
            "FLYBALL_SLO_CLASSES": str(classes),
        }
    )
    assert settings.slo_classes.get("chat") == Slo(ttft=0.5, name="chat")
    assert settings.controller is not None
    assert settings.controller.broadcast == "tcp://[::1]:6001"
    assert (settings.static_depth, settings.speed, settings.seed) == (0, 0.0, 0)
    assert (settings.interval, settings.parameter_ratio) == (3, 0.25)
    assert settings.guard == GuardSettings(share=0.1, explore=0.0, explore_early=0.0)
    orders = settings.orders()
    assert orders.runner is not None
    assert orders.runner.snapshot.meta.number == 5
    assert orders.mode is Mode.FREEZE


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("FLYBALL_CONTROLLER", "127.0.0.1:5757", "tcp://HOST:PORT"),
        ("FLYBALL_CONTROLLER", "tcp://127.0.0.1:65535", "65533"),
        ("FLYBALL_ENGINE", "my engine", "1 to 64 letters"),
        ("FLYBALL_STATIC_DEPTH", "-1", "whole number"),
        ("FLYBALL_MODE", "auto", "shadow"),
        ("FLYBALL_SPEED", "1.2", r"\[0, 1\]"),
        ("FLYBALL_SPEED", "fast", "number"),
        ("FLYBALL_INTERVAL", "0", "1 or more"),
        ("FLYBALL_GUARD", "maybe", "on or off"),
        ("FLYBALL_GUARD_SHARE", "0.9", "at most 0.5"),
        ("FLYBALL_EXPLORE", "2", r"\[0, 1\]"),
        ("FLYBALL_EXPLORE", "x", r"\[0, 1\]"),
        ("FLYBALL_PARAMETER_RATIO", "x", r"\[0, 10\]"),
        ("FLYBALL_SLO_CLASSES", "nowhere.toml", "No such file"),
    ],
)
def test_says_which_variable_is_wrong_and_what_would_be_right(
    name: str, text: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        from_environment({name: text})
    assert name in str(caught.value)


def test_a_snapshot_that_is_none_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "s"
    damaged.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}nothing")
    with pytest.raises(SnapshotError):
        from_environment({"FLYBALL_SNAPSHOT": str(damaged)}).orders()
    with pytest.raises(SnapshotError, match="cannot read"):
        from_environment({"FLYBALL_SNAPSHOT": str(tmp_path / "none")}).orders()
