"""The queue as the web side sees it."""

from __future__ import annotations

from django.conf import settings

from webapp.queue import queue


def test_wake_ups_go_to_the_broker_of_the_settings() -> None:
    """Misspelt or unread settings would silently leave Celery's default, a broker on localhost."""
    assert queue.conf.broker_url == settings.CELERY_BROKER_URL
    assert queue.conf.task_serializer == "json"
