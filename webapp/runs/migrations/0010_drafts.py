"""Forms of new runs are kept while they are filled in."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("runs", "0009_algo_version_and_room"),
    ]

    operations = [
        migrations.CreateModel(
            name="RunDraft",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=32)),
                ("data", models.JSONField()),
                ("notes", models.JSONField(blank=True, default=list)),
                ("updated", models.DateTimeField(auto_now=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="run_drafts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["-updated"]},
        ),
        migrations.AddConstraint(
            model_name="rundraft", constraint=models.UniqueConstraint(fields=("owner", "key"), name="draft_once")
        ),
    ]
