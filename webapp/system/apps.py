"""Workers, services and the state of the house."""

from django.apps import AppConfig


class SystemConfig(AppConfig):
    name = "webapp.system"
    label = "system"
