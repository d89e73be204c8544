"""Gives Phasewise its command line, the only place that wires the other packages together."""
