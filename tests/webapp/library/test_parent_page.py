"""The page of one model and the list of many: facts, licence, where it comes from, baselines, uses, fit with the others."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.webapp.library.folders import model_folder
from tests.webapp.runs.rows import PARENTS, make_run
from webapp.library.actions import install_demo_pack, register_parent
from webapp.library.licences import licence_of
from webapp.library.models import Parent
from webapp.runs.models import Run

HTMX = {"HX-Request": "true"}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture
def row(owner: User, tmp_path: Path) -> Parent:
    folder = model_folder(tmp_path / "tuned")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\nbase_model: org/ancestor\n---\n")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return register_parent(owner, folder)


def shown(client: Client, row: Parent, query: str = "", **options: Any) -> str:
    answer = client.get(reverse("library:parent", args=[row.pk]) + query, **options)
    assert answer.status_code == 200
    return str(answer.content.decode())


def registered_as_parent(owner: User) -> Parent:
    """The first parent of `make_run`, as a row."""
    model = PARENTS[0]
    facts = {"model_type": "llama", "n_layers": 4, "hidden_size": 8, "vocab_size": 9, "n_parameters": 10, "n_bytes": 20}
    return Parent.objects.create(
        owner=owner, name=model.name, title=model.name, folder=model.folder, fingerprint=model.fingerprint,
        dtype="float32", **facts,
    )  # fmt: skip


def test_the_page_tells_files_prompting_licence_and_ancestor(
    owner: User, owner_client: Client, row: Parent, tmp_path: Path
) -> None:
    ancestor = register_parent(owner, model_folder(tmp_path / "ancestor", fill=1))
    page = shown(owner_client, row)
    weights = Path(row.folder) / "model.safetensors"
    assert f">{weights.stat().st_size}</td>" in page and row.fingerprint in page
    assert hashlib.sha256(TEMPLATE.encode()).hexdigest() in page
    assert "not for business" in page and "no business" in page
    assert f'<a href="{reverse("library:parent", args=[ancestor.pk])}">org/ancestor</a>' in page


def test_a_folder_that_is_gone_is_said_where_its_template_would_be(owner_client: Client, row: Parent) -> None:
    (Path(row.folder) / "chat_template.jinja").unlink()
    (Path(row.folder) / "tokenizer_config.json").write_text("{")
    assert "tokenizer_config.json" in shown(owner_client, row)


@pytest.mark.parametrize(
    ("name", "word"), [("apache-2.0", "free"), ("LLAMA3", "own terms"), ("house-rules", "unknown"), ("", "not stated")]
)
def test_a_licence_is_a_plain_word(name: str, word: str) -> None:
    assert licence_of(name).word == word


def test_the_models_that_come_with_progeny_are_said_to(owner_client: Client) -> None:
    install_demo_pack()
    page = shown(owner_client, Parent.objects.get(name="demo/addition"))
    assert "comes with Progeny" in page and "allows nothing" not in page
    assert "comes with Progeny" in owner_client.get(reverse("library:parents")).content.decode()


def test_baselines_and_uses_are_of_the_runs_that_one_may_see(
    owner: User, owner_client: Client, member: User, member_client: Client
) -> None:
    row = registered_as_parent(owner)
    run = make_run(owner, n_generations=1, population=2, n_samples=50)
    page = shown(owner_client, row)
    assert "1 run:" in page and run.name in page and "japanese-sums" in page and "n 50" in page
    Parent.objects.filter(pk=row.pk).update(owner=None)
    foreign = shown(member_client, row)
    assert "no run" in foreign and "No run of yours has measured it yet" in foreign


def test_the_final_score_is_shown_when_the_exam_is_over(owner: User, owner_client: Client) -> None:
    row = registered_as_parent(owner)
    run = make_run(owner, n_generations=1, population=2, n_samples=50, state="finishing", ending=True)
    address = reverse("library:parent", args=[row.pk])
    final = [dict(one.cells)["final"] for one in owner_client.get(address).context["baselines"]]
    assert final == [None]
    Run.objects.filter(pk=run.pk).update(examined=run.created)
    final = [dict(one.cells)["final"] for one in owner_client.get(address).context["baselines"]]
    assert final[0] is not None and final[0].n == 50


def test_the_fit_with_each_other_model_is_one_line_the_most_alike_first(
    owner: User, owner_client: Client, row: Parent, tmp_path: Path
) -> None:
    register_parent(owner, model_folder(tmp_path / "deep", n_layers=3))
    register_parent(owner, model_folder(tmp_path / "worded", more_words=["e"]))
    twin = model_folder(tmp_path / "twin", fill=1)
    (twin / "chat_template.jinja").write_text(TEMPLATE)
    register_parent(owner, twin)
    assert "umber of layers is" not in shown(owner_client, row)
    part = shown(owner_client, row, "?fit=1", headers=HTMX)
    assert "<html" not in part and part.index(">twin<") < part.index(">worded<") < part.index(">deep<")
    assert [part.count(word) for word in ("</svg>fit</a>", "fit with a remedy</a>", "do not fit</a>")] == [1, 1, 1]
    assert "Number of layers is 3 in deep" in part
    assert "fit with a remedy" in shown(owner_client, row, "?fit=1")


def test_another_s_model_is_not_found(member_client: Client, row: Parent) -> None:
    assert member_client.get(reverse("library:parent", args=[row.pk])).status_code == 404


def many(owner: User, n: int) -> None:
    facts = {"n_layers": 2, "hidden_size": 2, "vocab_size": 4, "n_bytes": 8, "dtype": "float32", "owner": owner}
    Parent.objects.bulk_create(
        Parent(
            name=f"org/model-{i:04}", title="", folder=f"/models/{i:04}", fingerprint=f"sha256:{i}", n_parameters=i,
            model_type="llama" if i % 2 else "qwen2", **facts,
        )
        for i in range(n)
    )  # fmt: skip


def test_a_thousand_models_are_found_filtered_sorted_and_paged_with_few_queries(
    owner: User, owner_client: Client, django_assert_max_num_queries: Any
) -> None:
    many(owner, 1000)
    make_run(owner, n_generations=1, population=2)

    def names(query: str) -> list[str]:
        with django_assert_max_num_queries(14):
            return [row.name for row, *_ in owner_client.get(f"/models/{query}").context["rows"]]

    assert len(names("")) == 50 and names("?page=2")[0] == "org/model-0050"
    assert names("?q=model-0007") == names("?q=MODEL-0007 /models") == ["org/model-0007"]
    assert names("?sort=large&kind=qwen2")[:2] == ["org/model-0998", "org/model-0996"]
    assert names("?q=nothing-of-the-kind") == [] and len(names("?page=x")) == 50


def test_what_is_ticked_stays_chosen_wherever_one_looks(owner: User, owner_client: Client, tmp_path: Path) -> None:
    rows = [register_parent(owner, model_folder(tmp_path / name, fill=i)) for i, name in enumerate(("one", "two"))]
    many(owner, 60)
    ticked = "&".join(f"model={row.pk}" for row in rows)
    page = owner_client.get(f"/models/?sort=new&{ticked}").content.decode()
    assert [f'type="hidden" name="model" value="{row.pk}"' in page for row in rows] == [True, True]
    assert f"?sort=new&amp;page=2&amp;{ticked.replace('&', '&amp;')}" in page


def test_every_two_are_a_cell_that_opens_its_findings(owner: User, owner_client: Client, tmp_path: Path) -> None:
    one, two = (register_parent(owner, model_folder(tmp_path / name, fill=i)) for i, name in enumerate(("one", "two")))
    deep = register_parent(owner, model_folder(tmp_path / "deep", n_layers=3))
    address = f"/models/?model={one.pk}&model={two.pk}&model={deep.pk}"
    answer = owner_client.get(address)
    found = {key: (pair.word, pair.n) for key, pair in answer.context["matrix"].pairs.items()}
    assert found[f"{one.pk}-{two.pk}"] == found[f"{two.pk}-{one.pk}"] == ("OK", 0)
    assert found[f"{one.pk}-{deep.pk}"] == ("ERROR", 1) and len(found) == 6
    assert f"&amp;pair={one.pk}-{deep.pk}#pair" in answer.content.decode()
    opened = owner_client.get(f"{address}&pair={one.pk}-{deep.pk}").content.decode()
    assert "one first, with deep: do not fit" in opened
    for wrong in ("x", "1", f"{one.pk}-{one.pk}", "9-9"):
        assert owner_client.get(f"{address}&pair={wrong}").context["pair"] is None


def test_more_than_a_dozen_are_not_compared_in_silence(owner: User, owner_client: Client) -> None:
    many(owner, 14)
    ticked = "&".join(f"model={pk}" for pk in Parent.objects.values_list("pk", flat=True))
    page = owner_client.get(f"/models/?{ticked}").content.decode()
    assert "2 of the models that you ticked are left out" in page


def test_without_models_staff_is_offered_the_small_ones_and_nobody_else(
    owner: User, owner_client: Client, member_client: Client
) -> None:
    assert "Put the small ones here" not in member_client.get("/models/").content.decode()
    assert member_client.post("/starters/").status_code == 403
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    assert "Put the small ones here" in owner_client.get("/models/").content.decode()
    assert owner_client.post("/starters/", {"back": "models"}).url == "/models/"
    assert Parent.objects.filter(name="demo/base").exists()
    assert owner_client.post("/starters/").url == "/benchmarks/"


def test_a_tokenizer_s_words_are_those_that_the_library_gives_templates(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from merging.demo import PACK
    from merging.tokenizers import special_words

    expected = AutoTokenizer.from_pretrained(PACK / "base").special_tokens_map
    assert special_words(PACK / "base") == {name: str(text) for name, text in expected.items()}
    old = {
        "bos_token": {"content": "<s>", "lstrip": False},
        "additional_special_tokens": ["<x>"],
        "add_bos_token": True,
    }
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(old))
    assert special_words(tmp_path) == {"bos_token": "<s>"}


def test_a_copy_says_whose_runs_and_scores_it_shows_too(
    owner: User, owner_client: Client, row: Parent, tmp_path: Path
) -> None:
    assert "Same files as" not in shown(owner_client, row)
    copy = register_parent(owner, Path(shutil.copytree(row.folder, tmp_path / "copy")))
    assert f'Same files as</dt><dd><a href="{reverse("library:parent", args=[row.pk])}">' in shown(owner_client, copy)
