"""The random draws that the simulator's compiled loops share.

Draws come from no stream but from a hash of what they are for (splitmix64, Steele et al. 2014):
the seed, the purpose, the request and the position. So arms that decide differently meet the
same luck, which is what makes their comparison a paired one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from ...policies import spaces
from ...policies.compiling import compiled, forget_stale
from .. import requests

__all__ = ["compiled", "draw_key", "gamma", "mix", "normal", "uniform"]

_HERE: Final = Path(__file__).parent
_USED: Final = (requests,)  # beside the policies

forget_stale(
    _HERE,
    [
        *_HERE.glob("*.py"),
        *Path(spaces.__file__).parent.glob("*.py"),
        *(Path(module.__file__ or "") for module in _USED),
    ],
)

# What a draw is for.
ACCEPTANCE: Final = 1
REQUEST: Final = 2
GAP: Final = 3
DRIFT: Final = 4
NOISE: Final = 5
CONFIDENCE: Final = 6
OBJECTIVE: Final = 7

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_BY_30: Final = np.uint64(30)
_BY_27: Final = np.uint64(27)
_BY_31: Final = np.uint64(31)
_BY_11: Final = np.uint64(11)


@compiled
def mix(x: np.uint64) -> np.uint64:
    """Splitmix64's finalizer: 64 bits in, 64 well mixed bits out."""
    x = (x ^ (x >> _BY_30)) * _FIRST
    x = (x ^ (x >> _BY_27)) * _SECOND
    return x ^ (x >> _BY_31)


@compiled
def draw_key(seed: np.uint64, purpose: int, index: int) -> np.uint64:
    """The key of all draws of one purpose for one thing, such as one request."""
    return mix(mix(np.uint64(seed) + np.uint64(purpose) * _GOLDEN) + np.uint64(index) * _GOLDEN)


@compiled
def uniform(key: np.uint64, counter: int) -> float:
    """A draw in (0, 1)."""
    bits = mix(key + np.uint64(counter + 1) * _GOLDEN) >> _BY_11
    return (np.float64(bits) + 0.5) / 9007199254740992.0


@compiled
def normal(key: np.uint64, counter: int) -> float:
    """A standard normal draw (Box and Muller 1958); uses counters 2c and 2c + 1."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, 2 * counter)))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * counter + 1))


@compiled
def gamma(key: np.uint64, shape: float) -> float:
    """A gamma draw of the given shape and mean 1 (Marsaglia and Tsang 2000)."""
    # Below shape 1: a draw of shape + 1 times a power of a uniform one.
    boost = uniform(key, 0) ** (1.0 / shape) if shape < 1.0 else 1.0
    d = (shape + 1.0 if shape < 1.0 else shape) - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    for attempt in range(1, 64):
        x = normal(key, 2 * attempt)
        v = (1.0 + c * x) ** 3
        if v > 0.0:
            u = uniform(key, 4 * attempt + 2)
            if math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return boost * d * v / shape
    return boost  # 63 rejections in a row happen to nobody
