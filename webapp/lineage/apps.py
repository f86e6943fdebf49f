"""Winners that become parents, and runs that follow each other."""

from django.apps import AppConfig


class LineageConfig(AppConfig):
    name = "webapp.lineage"
    label = "lineage"
