"""``flyball bench plan``: who runs agents' plans ahead best, seconds against dollars."""
