"""Requests of every kind that an engine may be given, and their answers."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import httpx
from flyball.inference.models.prompts import prompts

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "count": {"type": "integer"}},
    "required": ["name", "count"],
}


def bodies(seed: int = 0) -> list[dict[str, Any]]:
    """Greedy requests: short, long, with a prefix in common, structured, penalised."""
    kinds = ("code", "tool_calls", "prose")
    texts = [p.text for i in range(5) for p in (prompts(kind, 5, seed)[i] for kind in kinds)]
    long = ["\n\n".join(texts[i : i + 3])[:2200] for i in (0, 3, 6)]
    shared = [long[0] + "\n\n" + text[:80] for text in texts[9:13]]
    asked: list[dict[str, Any]] = [{"prompt": text} for text in (*texts, *long, *shared)]
    asked += [{"prompt": text, "presence_penalty": 0.7} for text in texts[:3]]
    asked += [
        {"prompt": texts[0], "structured_outputs": {"regex": r"[a-z]{3,9}( [a-z]{3,9}){4,12}\."}},
        {"prompt": texts[1], "structured_outputs": {"json": SCHEMA}},
        {"prompt": texts[2], "structured_outputs": {"choice": ["def main():", "import os"]}},
    ]
    Random(seed).shuffle(asked)
    return asked


def complete(
    url: str, asked: list[dict[str, Any]], concurrency: int = 8, aborted: int = 0, **common: Any
) -> list[list[int]]:
    """The token ids that each request is answered by, in the order of the requests.

    Args:
        url: of the engine.
        asked: bodies, without what is common to all.
        concurrency: requests under way.
        aborted: so many streams are begun meanwhile and broken off after a token or two.
        common: what is the same in all of them.
    """
    return asyncio.run(_complete(url, asked, concurrency, aborted, common))


async def _complete(
    url: str, asked: list[dict[str, Any]], concurrency: int, aborted: int, common: dict[str, Any]
) -> list[list[int]]:
    turn = asyncio.Semaphore(concurrency)
    common = {"model": "target", "return_token_ids": True, "max_tokens": 48, **common}
    async with httpx.AsyncClient(base_url=url, timeout=300.0, trust_env=False) as client:

        async def answer(body: dict[str, Any]) -> list[int]:
            async with turn:
                response = await client.post("/v1/completions", json=common | body)
            assert response.status_code == 200, response.text
            ids: list[int] = response.json()["choices"][0]["token_ids"]
            return ids

        async def abort(number: int) -> None:
            await asyncio.sleep(0.3 * number)
            body = common | asked[number % len(asked)] | {"stream": True, "max_tokens": 400}
            async with client.stream("POST", "/v1/completions", json=body) as response:
                lines = response.aiter_lines()
                for _ in range(1 + number % 3):
                    await anext(lines)

        aborts = [asyncio.create_task(abort(number)) for number in range(aborted)]
        found = await asyncio.gather(*map(answer, asked))
        await asyncio.gather(*aborts)
        return found
