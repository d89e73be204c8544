"""Sets how hard the property tests try.

Repeatably in `make test`, and more briefly for each of a thousand mutants; long and by chance in `make long-tests`.
"""

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow]
"""A machine that does other things too is no fault of a test."""

settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("brief", max_examples=8, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("long", max_examples=5_000, deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile("quick")
