"""Names become parts of headers and of files that programs open: they stay names."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.access.world import World, body_of
from tests.webapp.exports.rows import built
from webapp.exports.models import Export
from webapp.runs.models import Candidate, Run

NAMES = (
    'a"; filename="evil.exe', "a\r\nSet-Cookie: x=y", "a\nX-Evil: 1", "a\x00b", "../../etc/passwd", "..\\..\\evil", "C:\\evil.exe",
    "CON", "a;b=c", "名前", "🧬", "\u202egnp.exe", "a\u2028b", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "%2e%2e%2f", "a" * 200,
    " ", ".", "'", "<b>", "a\x1b[31mb",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_no_more_than_a_name(world: World, name: str) -> None:
    owner = world.client("owner")
    owner.post(world.address("runs:rename"), {"name": name})
    stored = name.replace("\x00", "")  # which Postgres has no room for
    Run.objects.filter(pk=world.run.pk).update(name=stored)
    Candidate.objects.filter(run=world.run).update(name=stored)
    for address in (world.address("exports:zip"), world.address("runs:candidate") + "?recipe=json"):
        answer = owner.get(address)
        assert answer.status_code == 200 and body_of(answer)
        disposition = answer["Content-Disposition"]
        assert disposition.startswith("attachment; filename") and disposition.isascii() and disposition.isprintable()
        assert disposition.count('"') == 2 and ".." not in disposition and "/" not in disposition
        assert set(answer.headers).isdisjoint({"Set-Cookie", "X-Evil"})


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_has_one_line_and_no_controls(world: World, name: str) -> None:
    world.client("owner").post(world.address("runs:rename"), {"name": name})
    world.run.refresh_from_db()
    assert world.run.name in (name.strip(), "Paths of Japanese sums")
    assert not any(ord(letter) < 32 for letter in world.run.name)


def test_a_zip_unpacks_into_one_folder(world: World) -> None:
    Run.objects.filter(pk=world.run.pk).update(name="../../evil")
    answer = world.client("owner").get(world.address("exports:zip"))
    names = zipfile.ZipFile(io.BytesIO(body_of(answer))).namelist()
    assert names and all(name.split("/")[0] == "evil-g0-0" and ".." not in name for name in names)


def test_a_file_of_a_download_is_asked_for_by_its_row(world: World) -> None:
    """Not by a path: what no row names is not there, whatever lies in the folder."""
    export = Export.objects.get(pk=world.things["export_id"])
    (export.folder / "secret").write_text("x")
    assert built(world.run.candidates.get(name="g0.1"), {"README.md": b"x"}).files.count() == 1
    for name in (
        "secret",
        "README.md",
        "..",
        ".",
        "config.json\x00",
        "%2e%2e%2fconfig.json",
        "..\\config.json",
        "CONFIG.JSON",
    ):
        assert (name, world.ask("owner", "GET", "exports:file", name=name).status_code) == (name, 404)
