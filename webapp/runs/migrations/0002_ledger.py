"""What columns cannot say: fencing tokens come from one sequence, and terminal work never changes."""

from django.db import migrations

SEQUENCE = "CREATE SEQUENCE lease_seq"

REFUSE = """
CREATE FUNCTION refuse_terminal_change() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION '% % is % and never changes', TG_TABLE_NAME, OLD.id, OLD.status USING ERRCODE = 'integrity_constraint_violation';
END
$$ LANGUAGE plpgsql
"""

TRIGGER = """
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON runs_evaluation FOR EACH ROW
WHEN (OLD.status IN ('done', 'failed', 'dropped')) EXECUTE FUNCTION refuse_terminal_change()
"""

EVENT_REFUSE = """
CREATE FUNCTION refuse_event_change() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION 'event % of run % was written once and never changes', OLD.seq, OLD.run_id USING ERRCODE = 'integrity_constraint_violation';
END
$$ LANGUAGE plpgsql
"""

EVENT_TRIGGER = """
CREATE TRIGGER event_is_final BEFORE UPDATE ON runs_event FOR EACH ROW
WHEN (OLD.relayed IS NOT NULL OR (OLD.run_id, OLD.seq, OLD.kind, OLD.payload) IS DISTINCT FROM (NEW.run_id, NEW.seq, NEW.kind, NEW.payload))
EXECUTE FUNCTION refuse_event_change()
"""


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [
        migrations.RunSQL(SEQUENCE, "DROP SEQUENCE lease_seq"),
        migrations.RunSQL(REFUSE, "DROP FUNCTION refuse_terminal_change"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER terminal_is_final ON runs_evaluation"),
        migrations.RunSQL(EVENT_REFUSE, "DROP FUNCTION refuse_event_change"),
        migrations.RunSQL(EVENT_TRIGGER, "DROP TRIGGER event_is_final ON runs_event"),
    ]
