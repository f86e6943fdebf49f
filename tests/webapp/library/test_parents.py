"""Models: who sees them, who registers them, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from merging.errors import ParentError
from merging.fingerprints import Inventory
from tests.webapp.library.folders import model_folder
from webapp.library.actions import register_parent
from webapp.library.models import Parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "expert")


@pytest.fixture
def staff_client(owner: User, owner_client: Client) -> Client:
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    return owner_client


def test_a_registered_folder_has_the_facts_of_its_files(owner: User, folder: Path) -> None:
    row = register_parent(owner, folder)
    assert (row.name, row.folder, row.licence) == ("expert", str(folder), "apache-2.0")
    assert (row.model_type, row.n_layers, row.hidden_size, row.vocab_size, row.dtype) == ("llama", 2, 2, 4, "float32")


def test_a_registered_folder_has_an_inventory_of_its_files(owner: User, folder: Path) -> None:
    register_parent(owner, folder)
    row = Parent.objects.get()
    assert "inventory" in row.get_deferred_fields()
    assert Inventory.from_json(row.inventory).fingerprint == row.fingerprint


def test_registering_again_reads_the_files_again(owner: User, folder: Path) -> None:
    first = register_parent(owner, folder)
    (folder / "tokenizer_config.json").write_text("{}")
    again = register_parent(owner, folder)
    assert again.pk == first.pk
    assert again.fingerprint != first.fingerprint


def test_two_folders_of_one_name_are_told_apart(owner: User, folder: Path, tmp_path: Path) -> None:
    register_parent(owner, folder)
    assert register_parent(owner, model_folder(tmp_path / "other" / "expert", fill=1)).name == "other/expert"
    with pytest.raises(ParentError, match="named expert already"):
        register_parent(owner, model_folder(tmp_path / "third"), "expert")


def test_each_person_sees_the_shared_models_and_their_own(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client, folder: Path, tmp_path: Path
) -> None:
    register_parent(owner, folder)
    register_parent(None, model_folder(tmp_path / "shared", fill=1))
    of_owner, of_member = (client.get("/models/").content.decode() for client in (owner_client, member_client))
    assert ("expert" in of_owner, "shared" in of_owner) == (True, True)
    assert ("expert" in of_member, "shared" in of_member) == (False, True)
    assert stranger_client.get("/models/").status_code == 302


def test_only_staff_registers_folders(
    staff_client: Client, member_client: Client, stranger_client: Client, folder: Path
) -> None:
    asked = {"folder": str(folder), "name": "", "shared": "on"}
    assert stranger_client.post("/models/", asked).status_code == 302
    assert member_client.post("/models/", asked).status_code == 403
    assert not Parent.objects.exists()
    assert staff_client.post("/models/", asked).url == "/models/"
    assert Parent.objects.get().owner is None


def test_a_folder_that_is_no_model_is_refused_at_the_field(staff_client: Client, tmp_path: Path) -> None:
    page = staff_client.post("/models/", {"folder": str(tmp_path), "name": "mine"}).content.decode()
    assert "has no model.safetensors" in page
    assert 'value="mine"' in page


def test_a_truncated_file_is_refused_with_its_name(staff_client: Client, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    page = staff_client.post("/models/", {"folder": str(folder)}).content.decode()
    assert "model.safetensors" in page
    assert not Parent.objects.exists()


def test_a_model_is_hidden_by_its_owner_alone(
    owner: User, owner_client: Client, member_client: Client, stranger_client: Client, folder: Path
) -> None:
    row = register_parent(owner, folder)
    hide = f"/models/{row.pk}/hide/"
    assert stranger_client.post(hide).status_code == 302
    assert member_client.post(hide).status_code == 404
    assert Parent.objects.visible_to(owner).exists()
    assert owner_client.post(hide).url == "/models/"
    assert not Parent.objects.visible_to(owner).exists()


def test_what_everybody_may_choose_is_hidden_by_staff_only(
    staff_client: Client, member_client: Client, folder: Path
) -> None:
    row = register_parent(None, folder)
    assert member_client.post(f"/models/{row.pk}/hide/").status_code == 404
    assert staff_client.post(f"/models/{row.pk}/hide/").status_code == 302


def test_a_damaged_model_is_registered_with_a_warning_that_names_its_tensors(
    owner: User, owner_client: Client, tmp_path: Path
) -> None:
    row = register_parent(owner, model_folder(tmp_path / "damaged", fill=float("nan")))
    sound = register_parent(owner, model_folder(tmp_path / "sound"))
    assert "model.layers.0.input_layernorm.weight" in row.not_finite and sound.not_finite == []
    page = owner_client.get("/models/").content.decode()
    assert page.count("NaN or infinity") == 1 and "model.layers.0.input_layernorm.weight" in page
