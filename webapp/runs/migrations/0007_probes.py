"""A probe is a candidate that leaves something out of another: what it scores says what that is worth."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

KINDS = [(kind, kind) for kind in ("parent", "baseline", "probe", "evolved")]
SPLITS = [(split, split) for split in ("search", "full", "probe", "validation", "final")]


class Migration(migrations.Migration):
    dependencies = [("runs", "0006_estimates")]

    operations = [
        migrations.AlterField("candidate", "kind", models.CharField(choices=KINDS, max_length=10)),
        migrations.AddField(
            "candidate",
            "probe_of",
            models.ForeignKey(
                "runs.candidate", blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="probes"
            ),
        ),
        migrations.AddConstraint(
            "candidate",
            models.CheckConstraint(
                condition=Q(kind="probe", probe_of__isnull=False) | (~Q(kind="probe") & Q(probe_of__isnull=True)),
                name="candidate_probe_is_of_another",
            ),
        ),
        migrations.AlterField("evaluation", "split", models.CharField(choices=SPLITS, max_length=10)),
        migrations.RemoveConstraint("evaluation", "evaluation_search_has_fitness"),
        migrations.AddConstraint(
            "evaluation",
            models.CheckConstraint(
                condition=~Q(status="done", split__in=("search", "full", "probe")) | Q(fitness__isnull=False),
                name="evaluation_search_has_fitness",
            ),
        ),
    ]
