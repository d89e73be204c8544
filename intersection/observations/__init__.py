"""Observation kinds: one file each says which detectors a policy sees, and which of their values."""
