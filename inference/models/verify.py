"""Verification of the shipped family: hashes first, then the measures, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from . import manifest
from .corpus import CLASSES
from .family import DRAFTERS, NAMES, WEIGHTS, check_pair


def verify_family(
    weights: Path = WEIGHTS,
    *,
    samples: int = 32,
    tasks: int = 4,
    measure: bool = True,
    console: Console | None = None,
) -> bool:
    """Check every file against the manifest, then print what the models do on held-out data.

    Args:
        weights: The family's folder.
        samples: Held-out prompts per class for acceptance.
        tasks: Held-out tasks per difficulty and style; 0 leaves agents out.
        measure: Whether to measure at all; hashes alone take a second.
        console: Where to print.

    Returns:
        Whether every file is as it was shipped. Damaged models are not measured.
    """
    console = console or Console()
    found = manifest.problems(weights)
    for problem in found:
        console.print(f"[red]{problem}[/]", highlight=False, soft_wrap=True)
    if found:
        return False
    for name in DRAFTERS:
        check_pair(weights / NAMES[0], weights / name)
    console.print(f"{len(manifest.read(weights)['files'])} files are as they were shipped")
    if measure:
        from .evaluate import measure_family

        figures = measure_family(weights, samples=samples, tasks=tasks, progress=console)
        for table in tables(figures):
            console.print(table)
    return True


def tables(figures: dict[str, Any]) -> list[Table]:
    """Lay out the figures of `measure_family`."""
    return [_perplexity(figures), _acceptance(figures), *_success(figures)]


def _perplexity(figures: dict[str, Any]) -> Table:
    table = Table("model", "parameters", *CLASSES, title="perplexity per token, held out")
    for name in NAMES:
        values = (f"{figures['perplexity'][name][one]:.2f}" for one in CLASSES)
        table.add_row(name, f"{figures['parameters'][name] / 1e6:.1f} M", *values)
    return table


def _acceptance(figures: dict[str, Any]) -> Table:
    title = "share of greedy drafts accepted up to position"
    table = Table("drafter", "class", "1", "2", "3", "4", "5", "6", title=title)
    for name in DRAFTERS:
        for content_class in CLASSES:
            shares = figures["acceptance"][name][content_class]
            table.add_row(name, content_class, *(f"{share:.2f}" for share in shares))
    return table


def _success(figures: dict[str, Any]) -> list[Table]:
    if not figures["success"]:
        return []
    table = Table("style", "1", "2", "3", "4", "5", title="share of tasks solved, by difficulty")
    for style, by_difficulty in figures["success"].items():
        table.add_row(style, *(f"{share:.2f}" for share in by_difficulty.values()))
    return [table]
