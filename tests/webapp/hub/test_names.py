"""What people paste is understood, and what could lead elsewhere is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from huggingface_hub import hf_hub_url
from hypothesis import given
from hypothesis import strategies as st

from webapp.hub.errors import HubError
from webapp.hub.names import Wanted, pasted, wanted

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://huggingface.co/org/name", Wanted("org/name")),
        ("https://huggingface.co/org/name/tree/v1.0", Wanted("org/name", "v1.0")),
        ("https://huggingface.co/org/name/blob/main/config.json", Wanted("org/name", "main")),
        ("hf://org/name@refs/pr/3/config.json", Wanted("org/name", "refs/pr/3")),
        (f"org/name@{COMMIT}", Wanted("org/name", COMMIT)),
        ("mistral 7b", None),
        ("org/name", None),
    ],
)
def test_names_and_addresses_are_understood(text: str, expected: Wanted | None) -> None:
    assert pasted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/datasets/org/name",
        "https://example.org/org/name",
        "hf://",
        "org/name@../../etc",
        "org/name@a b",
        "org/name@-x",
        "../x@main",
        "org/../y@main",
        "a@b@c",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(HubError):
        pasted(text)


@pytest.mark.parametrize(
    "repo", ["name", "a/b/c", "org/na me", "org/..", "/abs/x", "org/name\n", "о/рг", "org/" + "x" * 200]
)
def test_a_repository_has_an_owner_and_a_plain_name(repo: str) -> None:
    with pytest.raises(HubError, match="expected org/name"):
        wanted(repo)


@given(st.from_regex(r"[\w./@%\\-]{1,40}", fullmatch=True), st.from_regex(r"[\w./%\\-]{0,40}", fullmatch=True))
def test_no_name_leads_to_another_address(repo: str, revision: str) -> None:
    try:
        named = wanted(repo, revision)
    except HubError:
        return
    path = urlsplit(
        hf_hub_url(named.repo, "config.json", revision=named.revision or "main", endpoint="https://hub")
    ).path
    assert ".." not in path and path.startswith(f"/{named.repo}/resolve/") and path.endswith("/config.json")
    assert path.count("/") == 5
