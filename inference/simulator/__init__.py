"""The simulator: many engines with continuous batching in virtual time, governed as live ones are.

``settings`` says what engine and what traffic, ``presets`` has ready ones, ``engine`` runs them.
What runs compiled, by numba, is in ``kernel`` and the modules it uses.
"""
