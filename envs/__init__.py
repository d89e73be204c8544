"""Turns any SUMO network into intersections, and its traffic into environments to learn in and be judged by."""
