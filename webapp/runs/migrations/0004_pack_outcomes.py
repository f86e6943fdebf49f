"""Every evaluation of one benchmark becomes an evaluation with one score; its outcomes are packed by column and compressed."""

import json
import zlib
from typing import Any

from django.db import migrations

COLUMNS = ("id", "prompt_hash", "completion", "extracted", "language", "right", "n_tokens", "seconds", "finished", "error")
NOT_KEPT_THEN = {"prompt_hash": "", "seconds": 0.0, "finished": True}

ADD_SCORES = """
INSERT INTO runs_score (evaluation_id, index, benchmark, digest, scorer, mean, low, high, n, "right", in_language, health, concerns, seconds)
SELECT e.id, 0, r.config->'benchmark'->>'name', r.config->'benchmark'->>'digest', e.scorer, e.mean,
       greatest(0, coalesce(e.low, 0)), least(1, coalesce(e.high, 1)),
       e.n, coalesce(e."right", e.mean), e.in_language, '{}', '{}', coalesce(e.evaluate_seconds, 0)
  FROM runs_evaluation e JOIN runs_run r ON r.id = e.run_id
 WHERE e.status = 'done'
"""
DATE_EXAMS = """
UPDATE runs_run r SET examined = r.ended
 WHERE r.state IN ('done', 'stopped')
   AND EXISTS (SELECT FROM runs_evaluation e WHERE e.run_id = r.id AND e.split = 'final' AND e.status = 'done')
"""


def pack_outcomes(apps: Any, schema_editor: object) -> None:
    score, outcomes = apps.get_model("runs", "Score"), apps.get_model("runs", "Outcomes")
    scores = dict(score.objects.values_list("evaluation_id", "pk"))
    packed = []
    for row in apps.get_model("runs", "OutcomesAsJson").objects.iterator(chunk_size=100):
        if row.pk in scores:
            packed.append(outcomes(score_id=scores[row.pk], **_packed(row.samples)))
        if len(packed) == 100:
            outcomes.objects.bulk_create(packed)
            packed = []
    outcomes.objects.bulk_create(packed)


def _packed(samples: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {name: [(NOT_KEPT_THEN | sample).get(name) for sample in samples] for name in COLUMNS}
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return {"scores": [sample["score"] for sample in samples], "rest": zlib.compress(text.encode())}


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_scores")]

    operations = [
        migrations.RunSQL(ADD_SCORES, migrations.RunSQL.noop),
        migrations.RunSQL(DATE_EXAMS, migrations.RunSQL.noop),
        migrations.RunPython(pack_outcomes, migrations.RunPython.noop),
    ]
