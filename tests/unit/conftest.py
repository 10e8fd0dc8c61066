import os

from hypothesis import settings

# Bounded, and the same on every machine: what was found once belongs into a table of the tests.
settings.register_profile("bounded", max_examples=200, deadline=None, database=None, derandomize=True)
settings.load_profile("bounded")

# They speak to servers of this process only.
for name in ("http_proxy", "https_proxy", "no_proxy"):
    os.environ.pop(name, None)
