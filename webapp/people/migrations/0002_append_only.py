"""What columns cannot say: an act is written once."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION refuse_act_change() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION 'the trail is only ever added to' USING ERRCODE = 'integrity_constraint_violation';
END
$$ LANGUAGE plpgsql
"""
ROWS = "CREATE TRIGGER act_is_final BEFORE UPDATE OR DELETE ON people_act FOR EACH ROW EXECUTE FUNCTION refuse_act_change()"
ALL = "CREATE TRIGGER trail_is_kept BEFORE TRUNCATE ON people_act FOR EACH STATEMENT EXECUTE FUNCTION refuse_act_change()"


class Migration(migrations.Migration):
    dependencies = [("people", "0001_initial")]

    operations = [
        migrations.RunSQL(REFUSE, "DROP FUNCTION refuse_act_change"),
        migrations.RunSQL(ROWS, "DROP TRIGGER act_is_final ON people_act"),
        migrations.RunSQL(ALL, "DROP TRIGGER trail_is_kept ON people_act"),
    ]
