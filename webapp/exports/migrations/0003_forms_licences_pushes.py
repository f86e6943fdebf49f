"""Exports of several kinds, decisions on licences, and pushes to the Hub, whose ends are final too."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

TRIGGER = """
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON exports_push FOR EACH ROW
WHEN (OLD.status IN ('done', 'failed', 'dropped')) EXECUTE FUNCTION refuse_terminal_change()
"""
STATES = ("pending", "leased", "done", "failed", "dropped")
KINDS = ("folder", "gguf", "mergekit", "recipe", "bundle")


class Migration(migrations.Migration):
    dependencies = [
        ("exports", "0002_terminal"),
        ("runs", "0002_ledger"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("export", "kind", models.CharField(choices=[(k, k) for k in KINDS], default="folder", max_length=10)),
        migrations.AddField("export", "variant", models.CharField(blank=True, default="", max_length=10), preserve_default=False),
        migrations.AddField("export", "checks", models.JSONField(blank=True, default=dict)),
        migrations.AlterField(
            "export",
            "candidate",
            models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="exports", to="runs.candidate"),
        ),
        migrations.AddConstraint(
            "export", models.CheckConstraint(condition=models.Q(("kind__in", KINDS)), name="export_kind_known")
        ),
        migrations.AddConstraint(
            "export", models.UniqueConstraint(fields=("candidate", "kind", "variant"), name="export_once")
        ),
        migrations.CreateModel(
            name="LicenceDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("by", models.CharField(help_text="who decided, by user name", max_length=150)),
                ("licence", models.CharField(help_text="as the Hub calls it", max_length=80)),
                ("name", models.CharField(blank=True, max_length=100)),
                ("link", models.URLField(blank=True, max_length=300)),
                ("basis", models.JSONField(default=list)),
                ("created", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "candidate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="licence_decisions",
                        to="runs.candidate",
                    ),
                ),
            ],
            options={
                "ordering": ["-created", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("licence", "other"), _negated=True),
                            models.Q(("name", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="licence_other_has_a_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Push",
            fields=[
                ("status", models.CharField(choices=[(s, s) for s in STATES], default="pending", max_length=10)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("lease_token", models.BigIntegerField(blank=True, null=True)),
                ("lease_owner", models.CharField(blank=True, max_length=200)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("failure_kind", models.CharField(blank=True, max_length=40)),
                (
                    "failure",
                    models.TextField(blank=True, help_text="for a person: what went wrong, and what to do next"),
                ),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("repo", models.CharField(max_length=200)),
                ("is_private", models.BooleanField(default=True)),
                ("branch", models.CharField(default="main", max_length=100)),
                ("as_pull_request", models.BooleanField(default=False)),
                ("pull_request", models.PositiveIntegerField(blank=True, null=True)),
                ("stage", models.CharField(blank=True, max_length=20)),
                ("n_bytes", models.BigIntegerField(help_text="of all files")),
                ("n_bytes_sent", models.BigIntegerField(default=0)),
                ("commit", models.CharField(blank=True, max_length=40)),
                ("url", models.URLField(blank=True, max_length=400)),
                ("created", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished", models.DateTimeField(blank=True, null=True)),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pushes", to="exports.export"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pushes", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["-created", "id"],
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("status__in", STATES)), name="push_status_known"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lease_token__isnull", False), ("lease_until__isnull", False), ("status", "leased")
                            ),
                            models.Q(models.Q(("status", "leased"), _negated=True), ("lease_until__isnull", True)),
                            _connector="OR",
                        ),
                        name="push_leased_has_lease",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "failed"), models.Q(("failure_kind", ""), _negated=True)),
                            models.Q(models.Q(("status", "failed"), _negated=True), ("failure_kind", "")),
                            _connector="OR",
                        ),
                        name="push_failed_has_kind",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("pending", "leased"))),
                        fields=("export",),
                        name="push_one_at_a_time",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER terminal_is_final ON exports_push"),
    ]
