"""What ./tests/run.sh says at its end, and when it fails."""

import tiers
from tiers import Result, chosen


def test_all_tiers_run_unless_some_are_named_and_those_that_boot_run_side_by_side():
    assert chosen([]) == ["lint", "unit", "process", "booted and cluster"]
    assert chosen(["process", "unit"]) == ["unit", "process"]
    assert chosen(["cluster"]) == ["cluster"]
    assert chosen(["--soak"]) == ["soak"]


def test_what_was_left_out_is_said_with_its_reason():
    result = Result("booted", 61.0, passed=2, left_out=tiers.Counter({"no machine boots here: not permitted": 230}))
    assert str(result).split() == (
        [
            "booted",
            "1",
            "min",
            "1",
            "s",
            "2",
            "passed;",
            "0",
            "failed;",
            "230",
            "left",
            "out:",
            "no",
            "machine",
            "boots",
            "here:",
            "not",
            "permitted",
        ]
    )


def test_a_tier_that_boots_may_be_left_out_by_a_user_but_not_in_ci(monkeypatch):
    left_out = Result("booted and cluster", left_out=tiers.Counter({"needs root": 0}))
    monkeypatch.setattr(tiers, "IN_CI", False)
    assert not left_out.is_bad
    monkeypatch.setattr(tiers, "IN_CI", True)
    assert left_out.is_bad


def test_without_promtool_the_alert_rules_are_left_out_and_not_passed(monkeypatch, tmp_path):
    monkeypatch.setattr(tiers, "package_alone", lambda: tmp_path)
    monkeypatch.setattr(tiers, "render", lambda page: 0)
    monkeypatch.setattr(tiers, "call", lambda *command, cwd=None: 0)
    complete = tiers.lint()
    monkeypatch.setattr(tiers, "call", lambda *command, cwd=None: 3 if "promtool" in command[0] else 0)
    result = tiers.lint()
    assert (result.passed, result.failed, sum(result.left_out.values())) == (complete.passed - 1, 0, 1)


def test_a_failed_test_is_a_failure_anywhere():
    assert Result("unit", passed=100, failed=1).is_bad
