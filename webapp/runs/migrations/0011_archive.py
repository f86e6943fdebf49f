"""Ended runs can be archived: they leave the list."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0010_drafts")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="archived_at",
            field=models.DateTimeField(blank=True, help_text="its owner took it off the list", null=True),
        ),
    ]
