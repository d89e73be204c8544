"""Simulated cabinets: they speak the wire protocols, and stand on a `Street`."""
