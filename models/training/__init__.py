"""Trains policies, and is never part of what a cabinet runs."""
