"""What a program may ask: who asks, for which of their objects, and what becomes of it. Every object is fetched as the pages fetch it."""

from __future__ import annotations

from typing import Final

GET: Final = ["GET", "HEAD"]
POST: Final = ["POST"]
PATCH: Final = ["PATCH"]
PUT: Final = ["PUT"]
DELETE: Final = ["DELETE"]
