"""The package as a whole: its public names, its weight, its rooms."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import flyball
import pytest

HEAVY = ("torch", "vllm", "transformers", "stable_baselines3", "gymnasium", "matplotlib")


@pytest.mark.parametrize("module", ["flyball", "flyball.controller.cli", "flyball.inference.vllm"])
def test_importing_is_light(module: str) -> None:
    code = f"import {module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found == "[]"


def test_every_public_name_is_there() -> None:
    for name in flyball.__all__:
        assert getattr(flyball, name) is not None
    assert set(flyball._HOMES) == set(flyball.__all__) - {"__version__"}


def test_what_plans_take_is_public() -> None:
    for name in ("Budget", "Limits", "ModelPrice", "Planner", "RateLimit"):
        assert name in flyball.__all__
        assert getattr(flyball, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = flyball.nothing


def test_every_package_is_listed() -> None:
    root = Path(flyball.__file__).parent
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = ("policies", "inference", "envs", "benchmarks", "controller")
    folders = [f.parent.relative_to(root) for r in rooms for f in (root / r).rglob("__init__.py")]
    assert sorted(listed) == sorted(
        ["flyball", *(".".join(("flyball", *f.parts)) for f in folders)]
    )
