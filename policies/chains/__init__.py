"""Which models draft for a target, in what order, and how much each asks of the one below it.

A chain is some models of one family, smallest first: the smallest drafts, each further one verifies
and extends, and what the largest of them has verified is proposed to the target. Which chain is
best follows from seconds per call (``times``) and from how often drafts are accepted between two
models (``acceptance``), by dynamic programming (``programme``); ``prediction`` tells what a chain
costs as it is really run, in whole rounds; ``planner`` replans as load and acceptance move.
"""
