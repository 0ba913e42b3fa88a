"""The suffix memory: drafts what followed where the context's end stood before.

Model-free speculation from suffixes is SuffixDecoding's (Oliaro et al. 2024, arXiv 2411.04975), a
memory over sessions AgentSAM's (arXiv 2512.18337). Tokens are kept as log-structured merge trees
keep keys (O'Neil et al. 1996): new ones behind hash chains, older ones in generations sorted by
what stands before each position, which are merged in the background.
"""

from pathlib import Path

from ....policies import compiling

_HERE = Path(__file__).parent

# Before anything of this folder is imported: what was compiled would be loaded with it.
compiling.forget_stale(_HERE, (*_HERE.glob("*.py"), Path(compiling.__file__)))

from .drafter import Draft, SuffixDrafter  # noqa: E402
from .engine import build  # noqa: E402
from .memory import Memory  # noqa: E402

__all__ = ["Draft", "Memory", "SuffixDrafter", "build"]
