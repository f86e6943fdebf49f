import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('runs', '0009_algo_version_and_room'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Mark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_starred', models.BooleanField(default=False)),
                ('note', models.TextField(blank=True, max_length=4000)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), blank=True, default=list, size=None)),
                ('changed', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marks', to='runs.candidate')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marks', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('candidate', 'owner'), name='mark_once'), models.CheckConstraint(condition=models.Q(('is_starred', True), models.Q(('note', ''), _negated=True), models.Q(('tags', []), _negated=True), _connector='OR'), name='mark_says_something')],
            },
        ),
    ]
