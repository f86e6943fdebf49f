"""The store's room."""

from django.apps import AppConfig


class StoreConfig(AppConfig):
    name = "webapp.store"
    label = "store"
