"""An ended fetch does not begin anew: its benchmark may be deleted, its state may not change."""

from django.db import migrations

TRIGGER = """
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON library_fetch FOR EACH ROW
WHEN (OLD.status IN ('done', 'failed', 'dropped') AND OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION refuse_terminal_change()
"""


class Migration(migrations.Migration):
    dependencies = [("library", "0005_parent_removed_at"), ("runs", "0002_ledger")]

    operations = [migrations.RunSQL(TRIGGER, "DROP TRIGGER terminal_is_final ON library_fetch")]
