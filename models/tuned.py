"""The baselines' tuned parameters, as `phasewise tune` found them on validation seeds."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "tuned_parameters"
"""One file a preset: for each scenario and policy the parameters, and the scores of the whole grid."""


@cache
def _read(preset: str) -> Mapping[str, Any]:
    path = FOLDER / f"{preset}.json"
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def parameters(policy: str, *, scenario: str, preset: str) -> dict[str, float]:
    """Give the parameters that were best for a policy on a scenario; empty where it was not tuned there."""
    found = _read(preset).get(scenario, {}).get(policy, {})
    return {key: float(value) for key, value in found.get("best", {}).items()}
