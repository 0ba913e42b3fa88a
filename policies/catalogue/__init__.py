"""Every policy that is not ours, and our structure alone: what a user would otherwise run.

``registry`` makes one from a specification such as ``ucb?c=0.5&objective=J``.
"""
