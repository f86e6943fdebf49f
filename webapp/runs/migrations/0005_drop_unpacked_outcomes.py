"""What an evaluation's score and its outcomes say now is taken from the evaluation. From here on there is no way back with scores."""

from typing import Any

from django.db import migrations
from django.db.migrations.exceptions import IrreversibleError


def refuse_to_lose_scores(apps: Any, schema_editor: object) -> None:
    if apps.get_model("runs", "Score").objects.exists():
        raise IrreversibleError(
            "the older tables have no place for scores by benchmark: restore the database from a backup of before the update"
        )


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_pack_outcomes")]

    operations = [
        migrations.DeleteModel("OutcomesAsJson"),
        migrations.RemoveField("evaluation", "in_language"),
        migrations.RemoveField("evaluation", "right"),
        migrations.RemoveField("evaluation", "scorer"),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose_scores),
    ]
