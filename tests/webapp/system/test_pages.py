"""The system page, the address for machines, and the files that every page is made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client

from webapp.system import status
from webapp.system.models import Worker

STATIC = settings.BASE_DIR / "static"


def worker(name: str, seconds_ago: float) -> None:
    seen = Now() - timedelta(seconds=seconds_ago)
    Worker.objects.create(name=name, device="CPU, 2 cores", code_version="1", started=seen, seen=seen, ready=True)


def test_everybody_signed_in_may_ask_how_the_server_is(
    owner_client: Client, member_client: Client, stranger_client: Client
) -> None:
    assert "Postgres 1" in owner_client.get("/system/").content.decode()
    assert member_client.get("/system/").status_code == 200
    assert stranger_client.get("/system/").status_code == 302


def test_a_worker_that_is_silent_for_half_a_minute_is_not_alive(db: None) -> None:
    worker("fresh", 5)
    worker("silent", 40)
    assert {seen.worker.name: seen.alive for seen in status.workers()} == {"fresh": True, "silent": False}


def test_the_page_says_what_to_do_when_no_worker_reports(owner_client: Client) -> None:
    assert "Runs wait in the queue" in owner_client.get("/system/").content.decode()
    worker("fresh", 1)
    page = owner_client.get("/system/", headers={"HX-Request": "true"}).content.decode()
    assert "Runs wait in the queue" not in page
    assert "<html" not in page


@pytest.mark.parametrize("folder", [STATIC, settings.BASE_DIR / "tests" / "browser"], ids=["the site", "its tests"])
def test_vendored_files_are_those_of_the_lock(folder: Path) -> None:
    lock = json.loads((folder / "vendor.lock.json").read_text())
    locked = {name: integrity for package in lock.values() for name, integrity in package["files"].items()}
    found = {
        str(file.relative_to(folder / "vendor")): "sha384-"
        + base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode()
        for file in (folder / "vendor").rglob("*")
        if file.is_file()
    }
    assert found == locked


def test_no_template_breaks_the_content_policy() -> None:
    """Neither a style attribute, an inline script or style, an event attribute nor an address of another host."""
    forbidden = re.compile(
        r"""\sstyle=|<style|<script(?![^>]*\ssrc=)|\son[a-z]+=|\shx-on|(?:src|href|action)=["']?(?:https?:)?//"""
    )
    templates = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
    assert templates
    assert {
        file.name: forbidden.findall(file.read_text()) for file in templates if forbidden.search(file.read_text())
    } == {}


def test_every_icon_that_a_template_names_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "img" / "icons.svg").read_text()))
    named = {
        name
        for file in (settings.BASE_DIR / "templates").rglob("*.html")
        for name in re.findall(r'{% icon "([^"]+)"', file.read_text())
    }
    assert named - drawn - {"name"} == set()
