"""Finalists whose search scores are estimates are asked all search samples; the best are those whose answers can be trusted."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0005_drop_unpacked_outcomes")]

    operations = [
        migrations.RemoveConstraint("evaluation", "evaluation_search_has_fitness"),
        migrations.AlterField(
            "evaluation",
            "split",
            models.CharField(
                choices=[("search", "search"), ("full", "full"), ("validation", "validation"), ("final", "final")], max_length=10
            ),
        ),
        migrations.RemoveIndex("evaluation", "evaluation_best"),
        migrations.AddIndex(
            "evaluation", models.Index(fields=["run", "split", "-is_healthy", "-fitness"], name="evaluation_best")
        ),
        migrations.AddConstraint(
            "evaluation",
            models.CheckConstraint(
                condition=models.Q(
                    models.Q(("split__in", ("search", "full")), ("status", "done"), _negated=True),
                    ("fitness__isnull", False),
                    _connector="OR",
                ),
                name="evaluation_search_has_fitness",
            ),
        ),
    ]
