"""A checkout that is older or newer than the server's tables says so."""

from __future__ import annotations

import pytest
from django.db.migrations.recorder import MigrationRecorder

from webapp.system.database import other_version

pytestmark = pytest.mark.django_db
Applied = MigrationRecorder.Migration


def test_the_same_version_is_no_other() -> None:
    assert other_version() == ""


def test_a_checkout_that_does_not_know_a_table_is_older() -> None:
    Applied.objects.create(app="runs", name="9999_of_tomorrow")
    assert "this checkout is older than the server: its version is 0.1.0" in other_version()
    assert (
        "has runs.9999_of_tomorrow, which is not known here. Bring this checkout to the server's version"
        in other_version()
    )


def test_a_checkout_whose_tables_are_not_there_is_newer() -> None:
    Applied.objects.filter(app="system", name="0004_other_hosts").delete()
    assert "this checkout is newer than the server" in other_version()
    assert "has no system.0004_other_hosts. Update the server first" in other_version()


def test_what_an_app_of_somebody_else_s_has_does_not_matter() -> None:
    Applied.objects.create(app="extension", name="0001_initial")
    assert other_version() == ""
