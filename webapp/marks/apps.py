"""What people write beside candidates: stars, tags and notes."""

from django.apps import AppConfig


class MarksConfig(AppConfig):
    name = "webapp.marks"
    label = "marks"
