"""Sets how hard the property tests try: little and repeatably in `make test`, long and by chance in `make long-tests`."""

from hypothesis import settings

settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile("quick")
