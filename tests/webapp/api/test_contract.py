"""The document says what the site does: schemathesis asks every operation, as owner, as somebody else and as nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test

from tests.access.world import World
from webapp.api.models import SCOPES
from webapp.api.tokens import make

PERSONS = ("owner", "member", "anonymous")
FEW, MANY = 6, 200
CHOICES_OF_OTHERS = ["2xx", "401", "403", "404", "409", "422"]
"""Whether a name is of a model, a number of a project, or a text of a configuration, no document can say: 422 answers these, too."""
CONFIG: Any = {
    "operations": [
        {
            "include-operation-id": name,
            "checks": {"positive_data_acceptance": {"expected-statuses": CHOICES_OF_OTHERS}},
        }
        for name in ("create_run", "create_import", "place_run")
    ]
}


@pytest.fixture
def schema() -> Iterator[Any]:
    """Asked through WSGI in this thread, whose transaction no request may end. Read before one is open, for that takes a while."""
    config = schemathesis.Config.from_dict(CONFIG)
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application(), config=config)
    for signal in signals:
        signal.connect(close_old_connections)


def asked(world: World, headers: dict[str, str], case: schemathesis.Case) -> None:
    """Of what is valid, two thirds are about something that is there. Whatever comes of it is taken back."""
    cache.clear()  # nobody is asked to wait
    known = {name: str(world.things[name]) for name in case.path_parameters if name in world.things}
    is_valid = case.meta is None or case.meta.generation.mode == schemathesis.GenerationMode.POSITIVE
    if is_valid and crc32(str(case.path_parameters).encode(errors="replace")) % 3:
        case.path_parameters.update(known)
    with transaction.atomic():
        case.call_and_validate(headers=headers)
        transaction.set_rollback(True)


NOT_ASKED = "get_file"
"""A file goes out as a stream that an ASGI server reads; tests/client brings one, and tests/webapp/exports asks for all its ranges."""


def ask(schema: Any, world: World, person: str, n: int, *modes: HypothesisTestMode) -> None:
    headers = {"Accept-Encoding": "identity"}  # schemathesis reads no gzip through WSGI
    if person in world.users:
        headers["Authorization"] = f"Bearer {make(world.users[person], 'schemathesis', SCOPES, 1)[1]}"
    config = HypothesisTestConfig(
        project=schema.config,
        modes=list(modes),
        settings=settings(
            max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
    operations = [found.ok() for found in schema.exclude(operation_id=NOT_ASKED).get_all_operations()]
    assert len(operations) > 15
    for operation in operations:
        test: Callable[[], None] = create_test(
            operation=operation, test_func=named(partial(asked, world, headers)), config=config
        )
        test()


def named(check: partial[None]) -> Callable[[schemathesis.Case], None]:
    def test(case: schemathesis.Case) -> None:
        check(case)

    return test


@pytest.mark.parametrize("person", PERSONS)
def test_every_operation_answers_as_the_document_says(schema: Any, world: World, person: str) -> None:
    ask(schema, world, person, FEW, HypothesisTestMode.FUZZING)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("person", PERSONS)
def test_every_operation_answers_so_to_much_more(schema: Any, world: World, person: str) -> None:
    ask(schema, world, person, MANY, HypothesisTestMode.FUZZING, HypothesisTestMode.COVERAGE)
