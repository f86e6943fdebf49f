"""Terminal exports never change, as evaluations: what is shown for download is what was built."""

from django.db import migrations

TRIGGER = """
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON exports_export FOR EACH ROW
WHEN (OLD.status IN ('done', 'failed', 'dropped')) EXECUTE FUNCTION refuse_terminal_change()
"""


class Migration(migrations.Migration):
    dependencies = [("exports", "0001_initial"), ("runs", "0002_ledger")]

    operations = [migrations.RunSQL(TRIGGER, "DROP TRIGGER terminal_is_final ON exports_export")]
