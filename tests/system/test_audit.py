"""What the audit of the pinned versions makes of pip-audit's reports."""

from __future__ import annotations

import json

from tests.audit import verdict


def report(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


SOUND = {"name": "django", "version": "5.2.19", "vulns": []}
HOLE = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "torch", "skip_reason": "not found"}


def test_a_known_hole_fails_and_is_named_with_its_remedy() -> None:
    status, words = verdict(report(SOUND, HOLE, UNKNOWN), "")
    assert status == 1 and "old 1.0: PYSEC-1, mended in 1.1" in words and "1 are unknown" in words


def test_without_a_hole_it_passes_and_says_of_how_many() -> None:
    assert verdict(report(SOUND), "") == (0, "No known holes in 1 packages")


def test_without_a_database_it_says_that_nothing_was_audited() -> None:
    for written, errors in ((report(UNKNOWN), ""), ("", "ERROR: connection refused"), ("{}", "")):
        status, words = verdict(written, errors)
        assert status == 0 and words.startswith("NOT AUDITED")
    assert "connection refused" in verdict("", "x\nERROR: connection refused")[1]
