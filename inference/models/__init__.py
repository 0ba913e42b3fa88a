"""The embedded models: a small family for trying and testing speculation, and how it is made.

Importing this package loads neither torch nor transformers; `train`, `evaluate` and what they
need do.
"""

from .family import DRAFT, MIDDLE, NAMES, TARGET, check_pair, parameters, path

__all__ = ["DRAFT", "MIDDLE", "NAMES", "TARGET", "check_pair", "parameters", "path"]
