"""Generation with a model in PyTorch: many texts at once, for distillation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .llama import Cache, Llama
from .tokenizer import PAD_ID


@torch.inference_mode()
def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    count: int,
    *,
    temperature: float = 0.0,
    stop: int | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """Continue prompts of any lengths, all at once.

    Args:
        model: The model; its parameters' type is the one computed in.
        prompts: Token ids, each at least one.
        count: Tokens to generate at most.
        temperature: 0 is greedy.
        stop: Token id after which a continuation ends; it is left out.
        seed: Seed of the sampling.

    Returns:
        The continuations' token ids, without the prompts.
    """
    device = model.model.embed_tokens.weight.device
    longest = max(map(len, prompts))
    # Padded on the left and masked. Rotary positions are relative, so the shift does no harm.
    padding = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)
    tokens = torch.tensor(
        [[PAD_ID] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device
    )
    places = torch.arange(longest + count, device=device)
    seen = (places >= padding[:, None])[:, None, None, :]
    causal = places[:longest, None] >= places[:longest]
    # A padded row that sees nothing would be a softmax over nothing: let it see itself.
    mask = (seen[..., :longest] & causal) | torch.eye(longest, dtype=torch.bool, device=device)
    cache = Cache(model.shape, len(prompts), longest + count, model.model.embed_tokens.weight)
    sampler = torch.Generator(device).manual_seed(seed)
    written, done = [], torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for step in range(count):
        hidden = model.run(tokens, cache, mask)
        chosen = _choose(model.logits(hidden[:, -1]).float(), temperature, sampler)
        written.append(chosen)
        if stop is not None:
            done |= chosen == stop
            if done.all():
                break
        tokens, mask = chosen[:, None], seen[..., : longest + step + 1]
    rows = torch.stack(written, 1).tolist()
    return [row[: row.index(stop)] if stop in row else row for row in rows]


def _choose(logits: Tensor, temperature: float, sampler: torch.Generator) -> Tensor:
    if not temperature:
        return logits.argmax(-1)
    shares = torch.softmax(logits / temperature, -1)
    return torch.multinomial(shares, 1, generator=sampler)[:, 0]
