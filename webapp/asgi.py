"""The ASGI application: pages over HTTP, live updates over websockets. What `uvicorn webapp.asgi:application` serves."""

from __future__ import annotations

import os
from typing import cast

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import SessionMiddlewareStack
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
pages = get_asgi_application()

from webapp.remembering import remembered  # noqa: E402
from webapp.routing import websocket_urlpatterns  # noqa: E402  (consumers import models, which need the applications loaded)
from webapp.system.observing import Application, observed  # noqa: E402

application = observed(
    ProtocolTypeRouter(
        {
            "http": remembered(cast(Application, pages)),
            "websocket": AllowedHostsOriginValidator(SessionMiddlewareStack(URLRouter(websocket_urlpatterns))),
        }
    )
)
