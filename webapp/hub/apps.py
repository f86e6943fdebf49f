"""The Hub's room."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "webapp.hub"
    label = "hub"
