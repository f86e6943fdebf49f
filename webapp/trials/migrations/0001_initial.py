import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models

# Terminal trials never change, as evaluations.
TRIGGER = """
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON trials_trial FOR EACH ROW
WHEN (OLD.status IN ('done', 'failed', 'dropped')) EXECUTE FUNCTION refuse_terminal_change()
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('runs', '0002_ledger'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Trial',
            fields=[
                ('status', models.CharField(choices=[('pending', 'pending'), ('leased', 'leased'), ('done', 'done'), ('failed', 'failed'), ('dropped', 'dropped')], default='pending', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('lease_token', models.BigIntegerField(blank=True, null=True)),
                ('lease_owner', models.CharField(blank=True, max_length=200)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('failure_kind', models.CharField(blank=True, max_length=40)),
                ('failure', models.TextField(blank=True, help_text='for a person: what went wrong, and what to do next')),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(help_text='of the model, for its owner', max_length=200)),
                ('recipe', models.JSONField(help_text='merging.recipes.Recipe')),
                ('benchmarks', models.JSONField(help_text='list of merging.benchmarks.BenchmarkSpec')),
                ('n_questions', models.PositiveSmallIntegerField(help_text='of each benchmark, or all where it has fewer')),
                ('stage', models.CharField(blank=True, max_length=20)),
                ('result', models.JSONField(blank=True, null=True)),
                ('seconds', models.FloatField(blank=True, help_text='of merging and asking together', null=True)),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished', models.DateTimeField(blank=True, null=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created', 'id'],
                'abstract': False,
            },
        ),
        migrations.AddIndex(
            model_name='trial',
            index=models.Index(fields=['owner', '-created'], name='trial_of_owner'),
        ),
        migrations.AddConstraint(
            model_name='trial',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ('pending', 'leased', 'done', 'failed', 'dropped'))), name='trial_status_known'),
        ),
        migrations.AddConstraint(
            model_name='trial',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('lease_token__isnull', False), ('lease_until__isnull', False), ('status', 'leased')), models.Q(models.Q(('status', 'leased'), _negated=True), ('lease_until__isnull', True)), _connector='OR'), name='trial_leased_has_lease'),
        ),
        migrations.AddConstraint(
            model_name='trial',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'failed'), models.Q(('failure_kind', ''), _negated=True)), models.Q(models.Q(('status', 'failed'), _negated=True), ('failure_kind', '')), _connector='OR'), name='trial_failed_has_kind'),
        ),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER terminal_is_final ON trials_trial"),
    ]
