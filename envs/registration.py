"""Registers the environments with Gymnasium: `import envs`, or `gymnasium.make("envs:phasewise/Intersection-v0")`."""

import gymnasium

INTERSECTION = "phasewise/Intersection-v0"


def register() -> None:
    """Register the environments that are not registered yet. Their modules are imported when one is made."""
    if INTERSECTION not in gymnasium.registry:
        gymnasium.register(INTERSECTION, entry_point="envs.intersection_env:IntersectionEnv")
