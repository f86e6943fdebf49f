"""A model before it is fetched: exactly what is needed, on which terms, and whether it fits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from merging.demo import PACK
from tests.hub.repos import Repo
from tests.hub.server import FakeHub, Fault
from webapp.hub.client import Asking
from webapp.hub.errors import HubError
from webapp.hub.looks import Look, look
from webapp.hub.names import Wanted
from webapp.hub.previews import fit_with
from webapp.library.actions import install_demo_pack
from webapp.library.models import Parent

NEEDED = [
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]
CONFIG = '{"model_type": "llama"}'


def seen(user: User, repo: str = "org/japanese", revision: str = "") -> Look:
    return look(Asking.of(user), Wanted(repo, revision))


def test_what_is_needed_is_told_to_the_byte(owner: User, japanese: Repo) -> None:
    found = seen(owner)
    assert [file.name for file in found.files] == NEEDED
    commit = japanese.commits[found.commit]
    assert found.n_bytes == sum(len(commit.files[name].content) for name in NEEDED)
    assert found.n_left == 3
    assert (found.licence, found.base_models, found.model_type) == ("apache-2.0", ("org/base",), "llama")
    assert (found.access, found.refusals, found.downloads) == ("open", (), 12)


def test_shards_are_those_of_the_index_and_nothing_is_fetched_twice(owner: User, fake_hub: FakeHub) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": (PACK / "base" / "model.safetensors").read_bytes() for n in (1, 2)}
    index = json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    )
    others: dict[str, bytes | str] = {
        "consolidated.safetensors": b"x",
        "pytorch_model.bin.index.json": "{}",
        "config.json": CONFIG,
    }
    fake_hub.shelf.add("org/sharded", {**shards, **others, "model.safetensors.index.json": index})
    assert [file.name for file in seen(owner, "org/sharded").files] == [
        "config.json",
        *sorted(shards),
        "model.safetensors.index.json",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"pytorch_model.bin": "x"}, "only as 1 pickle such as pytorch_model.bin"),
        ({"model.gguf": "x"}, "only GGUF"),
        ({"unet/model.safetensors": b"x"}, "folders of their own"),
        ({"adapter_config.json": "{}", "adapter_model.safetensors": b"x"}, "an adapter"),
        ({"config.json": '{"model_type": "m", "auto_map": {"AutoModel": "m.M"}}', "m.py": ""}, "brings its own code"),
    ],
)
def test_what_cannot_be_a_parent_is_refused_in_words(
    owner: User, fake_hub: FakeHub, files: dict[str, Any], said: str
) -> None:
    fake_hub.shelf.add("org/odd", {"config.json": CONFIG, **files})
    assert any(said in refusal for refusal in seen(owner, "org/odd").refusals)


def test_the_gate_is_told_for_this_person(owner: User, member: User, japanese: Repo) -> None:
    japanese.gated = "manual"
    assert seen(member).access == "token"
    assert seen(owner).access == "gated" and "accepted its terms" in seen(owner).access_sentence
    japanese.waiting.add("owner")
    assert seen(owner).access == "waiting"
    japanese.refused.add("owner")
    assert seen(owner).access == "refused"
    japanese.granted.add("owner")
    assert seen(owner).may_read and not seen(member).may_read


@pytest.mark.parametrize(
    ("repo", "revision", "kind"), [("org/nothing", "", "missing"), ("org/japanese", "v9", "revision")]
)
def test_what_is_not_there_is_not_there(owner: User, japanese: Repo, repo: str, revision: str, kind: str) -> None:
    with pytest.raises(HubError) as error:
        seen(owner, repo, revision)
    assert error.value.kind == kind


@pytest.mark.parametrize(
    ("fault", "kind", "wait"),
    [
        (Fault("/api/models", status=429, headers={"Retry-After": "9"}), "busy", 9),
        (Fault("/api/models", status=503), "broken", 0),
        (Fault("/api/models", cut=3), "unreachable", 0),
        (Fault("/api/models", status=403), "token", 0),
    ],
)
def test_what_goes_wrong_is_said_in_words(
    owner: User, fake_hub: FakeHub, japanese: Repo, fault: Fault, kind: str, wait: float
) -> None:
    fake_hub.faults.append(fault)
    with pytest.raises(HubError) as error:
        seen(owner)
    assert (error.value.kind, error.value.wait) == (kind, wait)


def test_a_token_that_the_hub_does_not_know_is_said_so(owner: User, fake_hub: FakeHub, japanese: Repo) -> None:
    fake_hub.shelf.tokens.clear()
    with pytest.raises(HubError, match="does not know your token"):
        seen(owner)


def test_offline_nothing_is_asked(owner: User, fake_hub: FakeHub, japanese: Repo, settings: Any) -> None:
    settings.OFFLINE = True
    with pytest.raises(HubError, match="offline"):
        seen(owner)
    assert fake_hub.calls == []


def test_the_fit_is_known_before_the_weights_are_fetched(owner: User, fake_hub: FakeHub, japanese: Repo) -> None:
    install_demo_pack()
    base = Parent.objects.get(name="demo/base")
    asking = Asking.of(owner)
    pair = fit_with(owner, asking, look(asking, Wanted("org/japanese")), [base])[0]
    assert not pair.fit.errors
    weights = [asked for line, asked, _ in fake_hub.calls if "/storage/" in line]
    assert weights == ["bytes=0-131071"]
    config = json.loads((PACK / "base" / "config.json").read_text()) | {"num_attention_heads": 2, "head_dim": 64}
    fake_hub.shelf.add("org/japanese", {"config.json": json.dumps(config)})
    assert fit_with(owner, asking, look(asking, Wanted("org/japanese")), [base])[0].fit.errors
