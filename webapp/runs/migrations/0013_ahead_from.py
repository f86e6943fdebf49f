"""In steady state the last candidates of a generation are told with the next one."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0012_served")]

    operations = [
        migrations.AddField(
            model_name="generation",
            name="ahead_from",
            field=models.PositiveIntegerField(
                blank=True, help_text="the index of its first candidate that is told with the next generation", null=True
            ),
        ),
    ]
