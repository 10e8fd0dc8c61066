"""The tiers that boot machines: the booted and the cluster tests."""

import os

import pytest
from machine import why_not_here


def need_machines():
    """In CI a host that can't boot a machine is a failure, elsewhere it leaves out the tests that call this."""
    if reason := why_not_here():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no machine can be booted here: {reason}")
