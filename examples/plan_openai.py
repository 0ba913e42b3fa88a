r"""A plan with two models behind an OpenAI-compatible API.

    python examples/plan_openai.py --key-variable OPENAI_API_KEY
    python examples/plan_openai.py --url http://127.0.0.1:8000/v1 --approximation small \
        --target large --price small=0/0/0.1 --price large=0/0/1

With ``--client openai`` (the default where the package is installed) the calls are made by OpenAI's
own client, in a function of ours; with ``--client flyball`` by flyball's, which also counts what
a call that is cancelled had generated.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
from collections.abc import Sequence
from typing import Any

import flyball
from flyball.inference.agents.prices import parse_prices

AREA = {"Norway": 385_207, "Sweden": 450_295, "Denmark": 42_943}
NOTES: list[str] = []


@flyball.pure
def area(country: str) -> str:
    """The area of a country in square kilometres."""
    return str(AREA[country]) if country in AREA else f"Error: no country {country}"


@flyball.effectful
def note(text: str) -> str:
    """Write something down."""
    NOTES.append(text)
    return f"written: {text}"


TOOLS = [area, note]


def by_openai(client: Any, model: str, style: flyball.ToolCalls) -> flyball.FunctionAgent:
    """An agent that asks by OpenAI's client."""

    async def act(task: Any, steps: Sequence[flyball.Step], call: flyball.Call) -> flyball.Turn:
        answer = await client.chat.completions.create(
            model=model, temperature=0, **style.request(task, steps)
        )
        call.usage.prompt = answer.usage.prompt_tokens
        call.usage.completion = answer.usage.completion_tokens
        message = answer.choices[0].message
        if not message.tool_calls:
            return flyball.Turn(flyball.Action("finish", {"answer": message.content}))
        asked = message.tool_calls[0].function
        action = flyball.Action(asked.name, json.loads(asked.arguments))
        return flyball.Turn(action, message.content or "")

    return flyball.FunctionAgent(act, model=model)


async def run(args: argparse.Namespace, small: flyball.Agent, large: flyball.Agent) -> None:
    """Run the task, and print every step."""
    done = await flyball.plan(
        "Which is larger, Norway or Sweden? Note its name, then answer with it.",
        approximation=small,
        target=large,
        tools=TOOLS,
        speed=args.speed,
        prices=parse_prices(args.price),
    )
    for step in done.steps:
        print(f"{step.action} -> {step.observation} (ran ahead: {bool(step.matched)})")
    print(f"{done.seconds:.2f} s, {done.ledger.dollars:.6f} dollars, notes: {NOTES}")


async def main(args: argparse.Namespace) -> None:
    """Make both agents, and run."""
    style = flyball.ToolCalls(TOOLS)
    if args.client == "openai":
        from openai import AsyncOpenAI

        key = os.environ[args.key_variable] if args.key_variable else "none"
        async with AsyncOpenAI(base_url=args.url, api_key=key) as client:
            asking = (
                by_openai(client, model, style) for model in (args.approximation, args.target)
            )
            await run(args, *asking)
    else:
        async with flyball.Endpoint(args.url, key_variable=args.key_variable) as endpoint:
            small = flyball.OpenAIAgent(args.approximation, endpoint, style)
            await run(args, small, flyball.OpenAIAgent(args.target, endpoint, style))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a plan with two models")
    parser.add_argument("--url", default="https://api.openai.com/v1")
    parser.add_argument("--key-variable", help="environment variable that holds the API key")
    parser.add_argument("--approximation", default="gpt-4.1-nano")
    parser.add_argument("--target", default="gpt-4.1")
    parser.add_argument(
        "--price", action="append", default=[], help="MODEL=PROMPT/CACHED/COMPLETION"
    )
    parser.add_argument("--speed", type=float, default=0.8)
    there = importlib.util.find_spec("openai") is not None
    parser.add_argument(
        "--client", choices=["openai", "flyball"], default="openai" if there else "flyball"
    )
    asyncio.run(main(parser.parse_args()))
