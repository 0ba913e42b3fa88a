"""The chain drafter: models of one family, where larger ones verify what smaller ones draft.

Importing this package imports neither torch nor transformers; ``loading`` and ``drafter`` do.
"""
