"""The family of embedded models: names, shapes, where they are, and whether two belong together.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

TARGET, MIDDLE, DRAFT = "target", "middle", "draft"
NAMES = (TARGET, MIDDLE, DRAFT)
DRAFTERS = (MIDDLE, DRAFT)

WEIGHTS = Path(__file__).parent / "weights"
WEIGHT_FILES = (".safetensors", ".bin", ".gguf", ".pt")
VOCABULARY = 4096
CONTEXT = 2048
HEAD_DIM = 64  # one that vLLM's CPU attention has a kernel for
ROPE_THETA = 10000.0
NORM_EPS = 1e-6


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes; the rest is the same for the whole family.

    The key-value heads of drafters divide the target's, so that their KV pages do, too. Drafters
    have few layers: each drafted token waits for all of them, one after another.

    Attributes:
        hidden: Width of the residual stream.
        layers: Number of blocks.
        heads: Query heads of `HEAD_DIM`.
        kv_heads: Key-value heads of `HEAD_DIM`.
        feed_forward: Inner width of the gated feed-forward network.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int

    @property
    def parameters(self) -> int:
        """Number of parameters, with tied embeddings counted once."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * HEAD_DIM
        block = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        return VOCABULARY * self.hidden + self.layers * block + self.hidden


SHAPES = {
    TARGET: Shape(hidden=512, layers=8, heads=8, kv_heads=4, feed_forward=1408),
    MIDDLE: Shape(hidden=320, layers=3, heads=4, kv_heads=2, feed_forward=896),
    DRAFT: Shape(hidden=192, layers=2, heads=4, kv_heads=1, feed_forward=512),
}


def path(name: str) -> Path:
    """Return the folder of a shipped model, in Hugging Face format.

    Raises:
        ValueError: No such model in the family.
        FileNotFoundError: It is not there, for example because it was never trained here.
    """
    if name not in NAMES:
        raise ValueError(f"no embedded model {name!r}; there are {', '.join(NAMES)}")
    folder = WEIGHTS / name
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"the embedded model {name!r} is not in {folder}; `flyball models train` makes it"
        )
    return folder


def parameters(folder: Path) -> int:
    """Count a model's parameters from the headers of its safetensors files; reads no weights.

    Tensors that are stored twice (tied embeddings written out) are counted as stored.

    Raises:
        ValueError: The folder has no readable safetensors file.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no *.safetensors file")
    return sum(
        math.prod(tensor["shape"])
        for file in files
        for name, tensor in _header(file).items()
        if name != "__metadata__"
    )


def check_pair(target: Path, draft: Path) -> None:
    """Check that two model folders can serve as target and draft.

    Both must be there, with weights. Speculation compares token ids, so both must mean the same
    by every id.

    Raises:
        ValueError: With what is wrong, and what would be right.
    """
    sizes = {folder: _vocabulary_size(folder) for folder in (target, draft)}
    if sizes[target] != sizes[draft]:
        raise ValueError(
            f"the vocabularies differ: {target} has {sizes[target]} tokens, {draft} has "
            f"{sizes[draft]}; a draft model must be trained on its target's tokenizer"
        )
    ours, theirs = _vocabulary(target), _vocabulary(draft)
    if ours != theirs:
        raise ValueError(
            f"the tokenizers of {target} and {draft} have the same size but different tokens: "
            f"{_difference(ours, theirs)}; a draft model must be trained on its target's tokenizer"
        )
    for folder in (target, draft):
        _check_weights(folder)


def fingerprint(folder: Path) -> str:
    """What the ids of a model's tokens mean, as a digest: the same for models of one tokenizer.

    Raises:
        ValueError: The folder has no readable tokenizer.
    """
    said = json.dumps(_vocabulary(folder), sort_keys=True, ensure_ascii=True).encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _check_weights(folder: Path) -> None:
    """Refuse a folder without weights, which an engine would find out only after a minute."""
    found = {file.suffix for file in folder.iterdir() if file.suffix in WEIGHT_FILES}
    if not found:
        raise ValueError(
            f"{folder} has no weights, such as model.safetensors; give a folder in Hugging Face "
            "format"
        )
    if ".safetensors" in found and not parameters(folder):
        raise ValueError(f"the safetensors files in {folder} hold no weights")


def _vocabulary_size(folder: Path) -> int:
    if not folder.is_dir():
        raise ValueError(f"no model folder {folder}; give a folder in Hugging Face format")
    size = _json(folder, "config.json").get("vocab_size")
    if not isinstance(size, int):
        raise ValueError(f"{folder / 'config.json'} has no whole number vocab_size: {size!r}")
    return size


def _vocabulary(folder: Path) -> dict[str, Any]:
    """Return what decides on tokens and their ids: kind, vocabulary, merges, added tokens."""
    tokenizer = _json(folder, "tokenizer.json")
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        raise ValueError(f"{folder / 'tokenizer.json'} has no model; is it a fast tokenizer?")
    return {
        "type": model.get("type"),
        "vocab": model.get("vocab"),
        "merges": model.get("merges"),
        "added": sorted(
            (t.get("id"), t.get("content")) for t in tokenizer.get("added_tokens") or ()
        ),
    }


def _difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Name the first thing in which two vocabularies differ, ours first."""
    name = next(name for name in ours if ours[name] != theirs[name])
    pair = ours[name], theirs[name]
    if name == "vocab" and all(isinstance(vocabulary, dict) for vocabulary in pair):
        mine, other = ({number: token for token, number in v.items()} for v in pair)
        at = min(n for n in mine.keys() | other.keys() if mine.get(n) != other.get(n))
        return f"token {at} is {mine.get(at)!r} in the one and {other.get(at)!r} in the other"
    if name in {"merges", "added"} and all(isinstance(entries, list) for entries in pair):
        rows = enumerate(zip_longest(*pair))
        at, (one, two) = next((at, both) for at, both in rows if both[0] != both[1])
        return f"of their {name}, number {at} is {one} in the one and {two} in the other"
    return f"their {name}"


def _json(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        raise ValueError(f"{folder} has no {name}; give a folder in Hugging Face format")
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a JSON object, it holds a {type(content).__name__}")
    return content


def _header(file: Path) -> dict[str, Any]:
    """Read a safetensors header: eight bytes of length (little endian), then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= file.stat().st_size - 8:
            raise ValueError(f"{file} is no safetensors file, or it is cut off")
        try:
            header: dict[str, Any] = json.loads(stream.read(length))
        except ValueError as error:
            raise ValueError(f"{file} is no safetensors file: {error}") from error
    return header
