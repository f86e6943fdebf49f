"""What an evaluation's score and its outcomes say now is taken from the evaluation."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_pack_outcomes")]

    operations = [
        migrations.DeleteModel("OutcomesAsJson"),
        migrations.RemoveField("evaluation", "in_language"),
        migrations.RemoveField("evaluation", "right"),
        migrations.RemoveField("evaluation", "scorer"),
    ]
