"""When a run was last claimed from, so that people take turns."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0011_archive")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="served",
            field=models.BigIntegerField(
                blank=True, help_text="the token of its last claim: whose turn it was", null=True
            ),
        ),
    ]
