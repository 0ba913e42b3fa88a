"""The C++ compiler that PyTorch compiles models with, where there is one."""

from __future__ import annotations

import os
import shutil
import sys


def has_compiler() -> bool:
    """Whether ``torch.compile`` finds a C++ compiler for CPUs: the one CXX names, else g++."""
    return sys.platform == "linux" and shutil.which(os.environ.get("CXX", "g++")) is not None
