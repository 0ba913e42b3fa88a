"""Model folders in Hugging Face format: written after training, read for evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .family import CONTEXT, HEAD_DIM, NORM_EPS, ROPE_THETA, VOCABULARY, Shape
from .llama import Llama
from .tokenizer import END_ID, END_OF_TEXT_ID, PAD_ID

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def config(shape: Shape) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": END_OF_TEXT_ID,
        "eos_token_id": END_OF_TEXT_ID,
        "pad_token_id": PAD_ID,
        "use_cache": True,
    }


GENERATION = {
    "bos_token_id": END_OF_TEXT_ID,
    "eos_token_id": [END_OF_TEXT_ID, END_ID],
    "pad_token_id": PAD_ID,
}


def save(model: Llama, tokenizer: Path, folder: Path) -> None:
    """Write a model in bfloat16, with the tokenizer of another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    for name, content in (("config", config(model.shape)), ("generation_config", GENERATION)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    for name in _TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, folder / name)


def load(folder: Path, device: str = "cpu") -> Llama:
    """Read a model of the family's architecture, in the type in which it is stored."""
    read = json.loads((folder / "config.json").read_text("utf-8"))
    shape = Shape(
        hidden=read["hidden_size"],
        layers=read["num_hidden_layers"],
        heads=read["num_attention_heads"],
        kv_heads=read["num_key_value_heads"],
        feed_forward=read["intermediate_size"],
    )
    weights = load_file(folder / "model.safetensors", device=device)
    model = Llama(shape).to(device, next(iter(weights.values())).dtype)
    model.load_state_dict(weights)
    return model.eval()
