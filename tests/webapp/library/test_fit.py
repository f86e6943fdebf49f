"""Check fit on the Models page and in a terminal: who sees which models, what is said, and the exit code."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from merging.errors import RecipeError
from tests.ledger import world
from tests.webapp.library.folders import model_folder
from webapp.library.actions import register_parent
from webapp.library.fit import fit_of
from webapp.library.models import Parent
from webapp.system import services


@pytest.fixture
def rows(owner: User, tmp_path: Path) -> dict[str, Parent]:
    """Two of the owner's models that fit, and a deeper one that fits none."""
    folders = [model_folder(tmp_path / name, fill=i) for i, name in enumerate(("one", "two"))]
    folders.append(model_folder(tmp_path / "deep", n_layers=3))
    return {folder.name: register_parent(owner, folder) for folder in folders}


def address(*rows: Parent) -> str:
    return "/models/?" + "&".join(f"model={row.pk}" for row in rows)


def test_ticked_models_are_compared_and_stay_ticked(owner_client: Client, rows: dict[str, Parent]) -> None:
    page = owner_client.get(address(rows["one"], rows["two"])).content.decode()
    assert "These models can be merged." in page and "licence: apache-2.0 in one, two." in page
    assert page.count(' form="check-fit" checked') == 2 and page.count(' type="checkbox" aria-label="Compare') == 3


def test_what_bars_a_merge_is_said_with_its_remedy(owner_client: Client, rows: dict[str, Parent]) -> None:
    page = owner_client.get(address(rows["one"], rows["deep"])).content.decode()
    assert "These models cannot be merged as they are: 1 problem." in page
    assert "number of layers is 3 in deep and 2 in one." in page and "fine-tunes of one base model" in page
    assert "Side by side" in page


def test_nobody_learns_of_other_people_s_models(
    member_client: Client, stranger_client: Client, rows: dict[str, Parent]
) -> None:
    asked = address(*rows.values())
    page = member_client.get(asked).content.decode()
    assert "can be merged" not in page and rows["one"].folder not in page
    assert stranger_client.get(asked).status_code == 302


@pytest.mark.parametrize("asked", ["model=", "model=x", "model=-1", "model=99999999999999999999", "model=123456", ""])
def test_an_address_that_names_no_model_is_the_page_without_a_verdict(
    owner_client: Client, rows: object, asked: str
) -> None:
    found = owner_client.get(f"/models/?{asked}")
    assert found.status_code == 200 and "can be merged" not in found.content.decode()


def test_a_folder_that_is_gone_is_a_finding(owner_client: Client, rows: dict[str, Parent]) -> None:
    (Path(rows["two"].folder) / "config.json").unlink()
    page = owner_client.get(address(rows["one"], rows["two"])).content.decode()
    assert "has no config.json" in page and "Mend the folder of two" in page


def test_a_base_model_among_the_parents_counts_once(rows: dict[str, Parent]) -> None:
    assert fit_of([rows["one"], rows["two"]], rows["one"]).models == ("one", "two")
    assert fit_of([rows["two"]], rows["one"]).models == ("one", "two")


def test_an_unlisted_family_is_said_on_the_page(owner: User, owner_client: Client, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "home-made")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "home_made"}
    (folder / "config.json").write_text(json.dumps(config))
    row = register_parent(owner, folder)
    page = owner_client.get(address(row)).content.decode()
    assert "unlisted: merged as one whole" in page and "layer groups are not possible" in page


def test_a_search_cannot_tell_the_layers_of_an_unlisted_family_apart(tmp_path: Path) -> None:
    chosen = world.config(tmp_path)
    for parent in chosen.parents:
        path = Path(parent.folder) / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "home_made"}))
    assert chosen.space().n_genes > 0
    with pytest.raises(RecipeError, match="expected one group over the whole model"):
        replace(chosen, groups="block").space()


def said(*words: str) -> str:
    out = StringIO()
    call_command("fit", *words, stdout=out)
    return out.getvalue()


def test_the_terminal_says_what_was_found_and_ends_well(rows: dict[str, Parent]) -> None:
    one, two = rows["one"].folder, rows["two"].folder
    text = said(one, two)
    assert "INFO   licence: apache-2.0" in text and text.rstrip().endswith("These models can be merged.")
    assert "ERROR" not in said(two, "--base", one, "--method", "ties")


def test_the_terminal_ends_badly_with_a_table_when_models_do_not_fit(rows: dict[str, Parent]) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="cannot be merged as they are: 1 problem") as raised:
        call_command("fit", rows["one"].folder, rows["deep"].folder, stdout=out)
    assert raised.value.returncode == 1
    assert "ERROR  number of layers is 3 in" in out.getvalue()
    (row,) = [line.split() for line in out.getvalue().splitlines() if line.startswith("number of layers")]
    assert row == ["number", "of", "layers", "2", "3"]


def test_the_terminal_is_asked_for_a_path_too(rows: dict[str, Parent]) -> None:
    folders = rows["one"].folder, rows["deep"].folder
    assert "ERROR" not in said(*folders, "--path")
    assert not fit_of([rows["one"], rows["deep"]], is_path=True).errors and fit_of([rows["one"], rows["deep"]]).errors


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "there is no model 'nowhere'"), (["demo/base", "--base", "nowhere"], "there is no model 'nowhere'")],
)
@pytest.mark.django_db
def test_a_model_that_is_nowhere_is_named(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "ensure_services", lambda say: nullcontext())
    with pytest.raises(CommandError, match=message):
        said(*words)


def test_bundled_models_fit_each_other() -> None:
    text = said("demo/japanese", "demo/addition", "--base", "demo/base", "--method", "ties")
    assert text.rstrip().endswith("These models can be merged.")
