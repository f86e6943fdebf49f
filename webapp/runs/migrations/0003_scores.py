"""A score for every benchmark of an evaluation, outcomes by score, the final exam's date, and what a random search is compared with."""

import django.contrib.postgres.fields
import django.db.models.deletion
import webapp.runs.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0002_ledger")]

    operations = [
        migrations.RenameModel("Outcomes", "OutcomesAsJson"),
        migrations.AlterField(
            "OutcomesAsJson",
            "evaluation",
            models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="runs.evaluation"
            ),
        ),
        migrations.AddField(
            "run",
            "baseline_of",
            models.ForeignKey(
                blank=True,
                help_text="the run that this random search of the same budget is compared with",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="baseline_runs",
                to="runs.run",
            ),
        ),
        migrations.AddField(
            "run",
            "examined",
            models.DateTimeField(blank=True, help_text="the end of the final exam, which is locked since", null=True),
        ),
        migrations.AddField(
            "generation",
            "plan",
            models.JSONField(blank=True, help_text="what its candidates are asked, when that is less than all", null=True),
        ),
        migrations.AddField(
            "evaluation",
            "is_estimate",
            models.BooleanField(
                db_default=False, default=False, help_text="fewer samples were asked than the run's, and the mean is inferred"
            ),
        ),
        migrations.AddField(
            "evaluation",
            "is_healthy",
            models.BooleanField(
                db_default=True, default=True, help_text="its answers can be trusted; the scores say why not"
            ),
        ),
        migrations.CreateModel(
            "Score",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("index", models.PositiveSmallIntegerField()),
                ("benchmark", models.CharField(max_length=200)),
                ("digest", models.CharField(help_text="of the benchmark's samples and how they are asked and judged", max_length=80)),
                ("scorer", models.CharField(help_text="name and version", max_length=80)),
                ("mean", models.FloatField()),
                ("low", models.FloatField()),
                ("high", models.FloatField()),
                ("n", models.PositiveIntegerField()),
                ("right", models.FloatField(help_text="share of right answers in whatever language")),
                (
                    "in_language",
                    models.FloatField(blank=True, help_text="share of completions in the expected language", null=True),
                ),
                ("health", models.JSONField(default=dict, help_text="merging.health.Health; empty when it was not taken")),
                (
                    "concerns",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, default=list, size=None),
                ),
                ("seconds", models.FloatField(help_text="wall time of asking, the model included")),
                (
                    "evaluation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="scores", to="runs.evaluation"
                    ),
                ),
            ],
            options={
                "ordering": ["evaluation", "index"],
                "constraints": [
                    models.UniqueConstraint(fields=("evaluation", "index"), name="score_once"),
                    models.CheckConstraint(condition=models.Q(("n__gte", 1)), name="score_has_samples"),
                    models.CheckConstraint(
                        condition=models.Q(("high__lte", 1.0), ("low__gte", 0.0), ("mean__gte", 0.0), ("mean__lte", 1.0)),
                        name="score_is_share",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            "Outcomes",
            [
                (
                    "score",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="outcomes",
                        serialize=False,
                        to="runs.score",
                    ),
                ),
                (
                    "positions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveIntegerField(), blank=True, null=True, size=None
                    ),
                ),
                (
                    "scores",
                    django.contrib.postgres.fields.ArrayField(base_field=webapp.runs.models.Real(), size=None),
                ),
                ("rest", models.BinaryField()),
            ],
            options={"verbose_name_plural": "outcomes"},
        ),
    ]
