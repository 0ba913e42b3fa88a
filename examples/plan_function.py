r"""A plan in which a plain Python function runs ahead of a model.

    python examples/plan_function.py --key-variable OPENAI_API_KEY
    python examples/plan_function.py --url http://127.0.0.1:8000/v1 \
        --target large --price large=0/0/1

The function guesses the next step by rule, at no cost. Where the model agrees, time was won;
where it does not, the model's own step counts. At speed 1 it runs ahead whenever that is faster.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

import flyball
from flyball.inference.agents.prices import parse_prices

STOCK = {"apples": 3, "pears": 7, "plums": 5}


@flyball.pure
def count(fruit: str) -> int:
    """How many of a fruit are in stock."""
    return STOCK.get(fruit, 0)


def guess(task: str, steps: Sequence[flyball.Step]) -> flyball.Action:
    """Count each fruit that the task names, in turn; then add up."""
    fruits = [word.strip(",.?") for word in task.split() if word.strip(",.?") in STOCK]
    if len(steps) < len(fruits):
        return flyball.Action("count", {"fruit": fruits[len(steps)]})
    total = sum(int(step.observation) for step in steps)
    return flyball.Action("finish", {"answer": str(total)})


async def main(args: argparse.Namespace) -> None:
    """Run the task, and print every step."""
    async with flyball.Endpoint(args.url, key_variable=args.key_variable) as endpoint:
        done = await flyball.plan(
            "How many apples, pears and plums are there together? Answer with the number alone.",
            approximation=flyball.FunctionAgent(guess),
            target=flyball.OpenAIAgent(args.target, endpoint, flyball.ToolCalls([count])),
            tools=[count],
            speed=args.speed,
            prices=parse_prices(args.price),
        )
    for step in done.steps:
        print(f"{step.action} -> {step.observation} (ran ahead: {bool(step.matched)})")
    print(f"{done.seconds:.2f} s, {done.ledger.dollars:.6f} dollars")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a function runs ahead of a model")
    parser.add_argument("--url", default="https://api.openai.com/v1")
    parser.add_argument("--key-variable", help="environment variable that holds the API key")
    parser.add_argument("--target", default="gpt-4.1")
    parser.add_argument(
        "--price", action="append", default=[], help="MODEL=PROMPT/CACHED/COMPLETION"
    )
    parser.add_argument("--speed", type=float, default=1.0)
    asyncio.run(main(parser.parse_args()))
