"""Sets how hard the property tests try.

Repeatably in `make test`, and more briefly for each of a thousand mutants; long and by chance in `make long-tests`.
"""

from hypothesis import settings

settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("brief", max_examples=8, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile("quick")
