"""Which folder a model in a recipe is, by the name that a person gave. Django is set up only for a name in the library."""

from __future__ import annotations

from pathlib import Path

from merging.demo import BASE, EXPERTS, PACK
from merging.errors import ParentError


def folder_of(name: str) -> Path:
    """A folder, a bundled model, or one of the library; ParentError when the name is none of these."""
    bundled = {f"demo/{skill}": PACK / skill for skill in (BASE, *EXPERTS)}
    if Path(name).is_dir():
        return Path(name).absolute()
    return bundled[name] if name in bundled else _in_library(name)


def _in_library(name: str) -> Path:
    import django
    from rich.console import Console

    django.setup()
    from webapp.accounts.setup import local_user
    from webapp.library.models import Parent
    from webapp.system.services import ensure_services

    with ensure_services(Console(stderr=True, soft_wrap=True, markup=False).print):
        row = Parent.objects.visible_to(local_user()).filter(name=name).first()
    if row is None:
        raise ParentError(f"there is no model {name!r}: expected a folder, or a name on the Models page")
    return Path(row.folder)
