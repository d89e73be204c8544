"""Speaks to cabinets, real or simulated, by their wire protocols: reads what they show, and makes requests."""
