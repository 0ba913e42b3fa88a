"""``flyball bench depth``: every policy of the depth control point against every other."""
