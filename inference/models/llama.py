"""The Llama architecture in plain PyTorch, for training; engines load the exported folders.

Parameter names and the rotary layout are those of Hugging Face's `LlamaForCausalLM`, so a
state dict is exported as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import causal
from .family import HEAD_DIM, NORM_EPS, ROPE_THETA, VOCABULARY, Shape


class Cache:
    """Keys and values of all positions so far, for generation.

    Attributes:
        keys: (layers, batch, kv heads, capacity, HEAD_DIM), filled up to `length`.
        values: The same for values.
        length: Positions that are filled.
    """

    def __init__(self, shape: Shape, batch: int, capacity: int, like: Tensor) -> None:
        size = (shape.layers, batch, shape.kv_heads, capacity, HEAD_DIM)
        self.keys, self.values = like.new_zeros(size), like.new_zeros(size)
        self.length = 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values after `length`; returns all of its."""
        stop = self.length + key.shape[2]
        self.keys[layer, :, :, self.length : stop] = key
        self.values[layer, :, :, self.length : stop] = value
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]


def rotation(start: int, stop: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each (stop - start, HEAD_DIM), of the positions' angles."""
    steps = torch.arange(0, HEAD_DIM, 2, device=device).float() / HEAD_DIM
    angles = torch.arange(start, stop, device=device).float()[:, None] / ROPE_THETA**steps
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys (batch, heads, positions, HEAD_DIM) by their positions."""
    cos, sin = (part.to(x.dtype) for part in turn)
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


class Norm(nn.Module):
    """Root-mean-square normalisation over the last dimension."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., size) to the same."""
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), NORM_EPS)


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer = layer
        inner, shared = shape.heads * HEAD_DIM, shape.kv_heads * HEAD_DIM
        self.q_proj = nn.Linear(shape.hidden, inner, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shared, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shared, bias=False)
        self.o_proj = nn.Linear(inner, shape.hidden, bias=False)
        self.repeats = shape.heads // shape.kv_heads

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: Cache | None, mask: Tensor | None
    ) -> Tensor:
        """Attend from x (batch, positions, hidden); with a past, to that as well."""
        batch, positions, _ = x.shape
        query, key, value = (
            proj(x).view(batch, positions, -1, HEAD_DIM).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, turn), rotate(key, turn)
        if past is not None:
            key, value = past.extend(self.layer, key, value)
        if positions == 1:
            # One position's query heads stand as positions of their key head: no copies of keys.
            query = query.reshape(batch, -1, self.repeats, HEAD_DIM)
        else:
            key = key.repeat_interleave(self.repeats, 1)
            value = value.repeat_interleave(self.repeats, 1)
        if mask is None:
            out = causal(query, key, value)
        else:
            out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out = out.view(batch, -1, positions, HEAD_DIM)
        joined: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, positions, -1))
        return joined


class FeedForward(nn.Module):
    """The gated feed-forward network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden) to the same."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised before and added after."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden)
        self.self_attn = Attention(shape, layer)
        self.post_attention_layernorm = Norm(shape.hidden)
        self.mlp = FeedForward(shape)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: Cache | None, mask: Tensor | None
    ) -> Tensor:
        """(batch, positions, hidden) to the same."""
        x = x + self.self_attn(self.input_layernorm(x), turn, past, mask)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):
    """Embeddings, blocks, last norm; a module of its own for the names' sake."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, shape.hidden)
        self.layers = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = Norm(shape.hidden)


class Llama(nn.Module):
    """A causal language model with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids (batch, positions) to logits (batch, positions, VOCABULARY)."""
        return self.logits(self.run(tokens))

    def logits(self, x: Tensor) -> Tensor:
        """Last hidden states (..., hidden) to logits (..., VOCABULARY)."""
        return functional.linear(x, self.model.embed_tokens.weight)

    def run(self, tokens: Tensor, past: Cache | None = None, mask: Tensor | None = None) -> Tensor:
        """Run token ids (batch, positions), after the past's positions if there is one.

        Args:
            tokens: Token ids.
            past: What came before; it takes up these positions, too.
            mask: True where attended, (batch, 1, positions, past and positions). Causal without
                one, which is right only without a past.

        Returns:
            The last hidden states (batch, positions, hidden).
        """
        start = past.length if past else 0
        turn = rotation(start, start + tokens.shape[1], tokens.device)
        x: Tensor = self.model.embed_tokens(tokens)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for layer in self.model.layers:
            x = layer(x, turn, past, mask)
        if past is not None:
            past.length += tokens.shape[1]
        out: Tensor = self.model.norm(x)
        return out
