"""Simulated cabinets: they speak the wire protocols, and can be ordered to fail."""
