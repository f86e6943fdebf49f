"""A search for a path tells with every generation how many of its candidates pass each slot."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0007_probes")]

    operations = [
        migrations.AddField(
            "generation",
            "passed",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.PositiveIntegerField(),
                blank=True,
                help_text="of a search for a path: how many of its candidates pass each slot",
                null=True,
                size=None,
            ),
        ),
    ]
