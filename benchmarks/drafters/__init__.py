"""``flyball bench drafters``: what drafts, compared."""
