"""Runs one cabinet in real time: reads it, asks a policy, passes the gate, and falls back when in doubt."""
