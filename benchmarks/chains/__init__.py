"""Chains of the embedded family, offline: predicted against measured seconds per token.

The target is a transformers model as well, so that nothing but the chain is in what is measured.
Times are profiled and acceptance is counted on prompts of their own; then every chain generates
from others. Passes and chains are visited in turn, in several rounds, so that what a shared machine
does meanwhile falls on both alike.
"""
