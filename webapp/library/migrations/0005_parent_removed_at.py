from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0004_not_finite")]

    operations = [
        migrations.AddField(
            model_name="parent",
            name="removed_at",
            field=models.DateTimeField(
                null=True, blank=True, help_text="its files, which can be fetched again: see webapp.hub.removals"
            ),
        ),
    ]
