"""What a drafter alone would generate: the leak that the lossless benchmark must be able to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..policies.transition import Floats

_BATCH = 32


def drafted_pairs(folder: Path, text: str, firsts: list[int], seed: int) -> list[tuple[int, int]]:
    """The drafter's first token, and its second after the target's first, at temperature 1.

    Args:
        folder: of the drafter.
        text: the prompt.
        firsts: first tokens that the target gave, one per sample.
        seed: of the sampling.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    ids = tokenizer(text).input_ids
    rng = np.random.default_rng(seed)
    own = rng.choice(model.config.vocab_size, len(firsts), p=_next(model, [ids])[0])
    followers = sorted(set(firsts))
    after = dict(zip(followers, _next(model, [[*ids, first] for first in followers]), strict=True))
    seconds = [int(rng.choice(len(after[first]), p=after[first])) for first in firsts]
    return list(zip(own.tolist(), seconds, strict=True))


def _next(model: object, sequences: list[list[int]]) -> Floats:
    """Probabilities of the token after each sequence, all of one length: (n, vocabulary)."""
    import torch

    found: list[npt.NDArray[np.float64]] = []
    with torch.no_grad():
        for i in range(0, len(sequences), _BATCH):
            batch = torch.tensor(sequences[i : i + _BATCH])
            logits = model(batch).logits[:, -1].double()  # type: ignore[operator]
            found.append(logits.softmax(-1).numpy())
    return np.concatenate(found)
