"""What a person reads when something is wrong with a request."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client


def test_a_page_that_is_not_there_says_so_and_leads_home(member_client: Client) -> None:
    answer = member_client.get("/runs/00000000-0000-0000-0000-000000000000/")
    assert answer.status_code == 404
    assert "Nothing is here" in answer.content.decode()


def test_what_is_not_allowed_says_why(member_client: Client) -> None:
    answer = member_client.post("/models/", {"folder": "/"})
    assert answer.status_code == 403
    assert "only staff registers folders" in answer.content.decode()


def test_a_form_from_an_old_page_is_refused_in_words(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = client.post("/sign-out/")
    assert answer.status_code == 403
    assert "nothing was changed" in answer.content.decode()


@pytest.mark.parametrize("template", ["404.html", "403.html", "500.html"])
def test_an_error_page_needs_no_request(template: str) -> None:
    assert "<h1>" in render_to_string(template)
