"""``python -m flyball.controller``: the same as ``flyball controller``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "controller")
    main()
