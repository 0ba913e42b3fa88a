"""The chain drafter: models of one family, where larger ones verify what smaller ones draft."""
