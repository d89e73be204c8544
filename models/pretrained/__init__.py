"""Small bundles that are shipped, for demonstrations on simulated streets. README.md beside them says how each was made."""
