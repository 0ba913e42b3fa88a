"""A load generator: ``python -m flyball.benchmarks.load --url http://127.0.0.1:8000``."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import numpy as np
import typer

from ..inference.asking import LoadError, RequestRecord
from ..inference.load import LoadSettings
from ..inference.traffic import Traffic


def summary(records: list[RequestRecord], seconds: float) -> dict[str, Any]:
    """What some requests amount to.

    Args:
        records: of requests that ended.
        seconds: wall time in which they did.
    """
    good = [record for record in records if record.error is None]
    end_to_end = [record.end - record.start for record in good]
    first = [record.first - record.start for record in good if record.first == record.first]
    per_token = [
        (record.end - record.first) / (record.tokens - 1)
        for record in good
        if record.first == record.first and record.tokens > 1
    ]
    return {
        "requests": len(records),
        "failed": len(records) - len(good),
        "errors": sorted({record.error for record in records if record.error is not None})[:5],
        "tokens_per_second": sum(record.tokens for record in good) / seconds,
        "requests_per_second": len(good) / seconds,
        **_quantiles("end_to_end_s", end_to_end),
        **_quantiles("first_token_s", first),
        **_quantiles("per_output_token_s", per_token),
    }


def _quantiles(name: str, values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99 = np.percentile(values, (50, 99))
    return {f"{name}_p50": float(p50), f"{name}_p99": float(p99)}


def main(
    url: Annotated[str, typer.Option(help="Of the OpenAI API, without /v1.")],
    workload: Annotated[str, typer.Option(help="mixed, code, tool_calls or prose.")] = "mixed",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens per request.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the sampling.")] = 0.0,
    stream: Annotated[bool, typer.Option(help="Stream, to time the first token.")] = True,
    content_class: Annotated[
        str | None, typer.Option("--class", help="flyball_class to send along.")
    ] = None,
    speed: Annotated[float | None, typer.Option(help="flyball_speed to send along.")] = None,
    seed: Annotated[int, typer.Option(help="Of the prompts.")] = 0,
) -> None:
    """Send closed-loop traffic and print what was measured, as JSON."""
    hints = {"flyball_class": content_class, "flyball_speed": speed}
    try:
        settings = LoadSettings(
            url=url,
            workload=workload,
            concurrency=concurrency,
            max_tokens=max_tokens,
            temperature=temperature,
            stream=stream,
            arguments={name: value for name, value in hints.items() if value is not None},
            seed=seed,
        )
        traffic = Traffic(settings).start()
        start = time.perf_counter()
        while traffic.alive and time.perf_counter() < start + seconds:
            time.sleep(0.05)
        records = traffic.stop()
    except LoadError as e:
        typer.echo(f"error: {e}", err=True)
        raise typer.Exit(2) from None
    typer.echo(json.dumps(summary(records, time.perf_counter() - start), indent=2))


if __name__ == "__main__":
    typer.run(main)
