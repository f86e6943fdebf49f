"""The addresses of websockets."""

from django.urls import path

from webapp.runs.live.consumers import watch_run

websocket_urlpatterns = [path("ws/runs/<uuid:run_id>/", watch_run)]  # type: ignore[arg-type]  # an ASGI application
