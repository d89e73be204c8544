"""Turns any SUMO network into intersections, and its traffic into environments to learn in and be judged by.

Importing it registers `phasewise/Intersection-v0`, where Gymnasium is installed.
"""

from importlib.util import find_spec

if find_spec("gymnasium") is not None:
    from envs.registration import register

    register()
