"""Django's settings, for a bare checkout, the embedded services and production alike; what differs comes from the environment.

PROGENY_DATA         data folder (data/ in the checkout)
DATABASE_URL         a Postgres to use instead of the embedded one
REDIS_URL            a Redis or Valkey to use instead of the embedded one
PROGENY_URL          where people reach it, such as https://progeny.example.org; https makes cookies secure
PROGENY_HOSTS        more host names to answer to, separated by commas
PROGENY_SECRET_KEY   instead of the key in the data folder
PROGENY_OLD_SECRET_KEYS  keys that it has replaced, separated by commas, until `./progeny reseal` was run
PROGENY_MAX_RUNS, PROGENY_MAX_BUDGET, PROGENY_MAX_POPULATION, PROGENY_MAX_BENCHMARKS, PROGENY_MAX_EXPORT_GB  what one user may take
PROGENY_DATABASE_POOL  1 for the web server: under ASGI every request has a thread of its own, and they share connections
PROGENY_LOG          json for log records that machines read; text by default
PROGENY_METRICS_TOKEN  what Prometheus brings to /metrics; without one only staff may read it
PROGENY_STORE        where workers on other hosts get models and questions from: s3://bucket/prefix or file:///folder
PROGENY_LLAMA_CPP    folder of a llama.cpp checkout, for GGUF files, where its programs are not on the PATH
PROGENY_OFFLINE      1 where there is no network: the Hub is never asked, by no process, and everything that is here works
HF_HUB_CACHE         an existing cache of the Hub's, used where it is; one in the data folder by default
HF_ENDPOINT          another Hub than huggingface.co, such as a mirror
PROGENY_MAIL, PROGENY_MAIL_FROM  a server that takes mail of notices, such as smtp://user:password@mail.example.org:587, and whom it is from
PROGENY_ACCEL        1 where nginx is in front as in nginx.conf: it sends the files of downloads itself
PROGENY_DEBUG        1 for work on Progeny itself: tracebacks in the page, static files read anew
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from kombu.common import Broadcast

from webapp import env, logs

BASE_DIR = env.BASE_DIR
DATA_DIR = env.data_folder()
STORE = env.store()
REACH = env.reach()
DEBUG = env.flag("PROGENY_DEBUG")
SECRET_KEY = env.secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = env.old_secret_keys()

ACCEL = env.flag("PROGENY_ACCEL")

# Who may ask. Hosts are checked on every request and on every websocket.
PUBLIC_URL = env.public_url()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.words("PROGENY_HOSTS")]
CSRF_TRUSTED_ORIGINS: list[str] = []
if PUBLIC_URL:
    ALLOWED_HOSTS.append(urlsplit(PUBLIC_URL).hostname or "")
    CSRF_TRUSTED_ORIGINS.append(PUBLIC_URL)
if PUBLIC_URL.startswith("https://"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 3600
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = ["^healthz$", "^metrics$"]  # asked by machines from within
    # Other hosts below this name, and lists in browsers, are for the owner of the domain to decide about.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "csp",
    "django_htmx",
    "ninja",
    "webapp.accounts",
    "webapp.api",
    "webapp.library",
    "webapp.runs",
    "webapp.exports",
    "webapp.hub",
    "webapp.lineage",
    "webapp.marks",
    "webapp.people",
    "webapp.sharing",
    "webapp.store",
    "webapp.trials",
    "webapp.system",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "webapp.system.refusals.method_not_allowed",
    "webapp.static_files.StaticFilesMiddleware",
    "webapp.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",  # a page that strangers may see says so: @login_not_required
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "webapp.accounts.roles.RoleMiddleware",
    "webapp.people.trail.TrailMiddleware",
]
ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Postgres. Nothing may hold a lock or a transaction for long: one frozen session would otherwise stall a run. What is committed is on
# disk, whatever the server does by default.
_database = env.database_address(DATA_DIR)
_limits = {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"}
_limits["synchronous_commit"] = "on"
# A pool of connections for the web server. While the database is away, who asks hears so after four seconds, and each of them tries anew:
# the pool's own attempts would come less and less often.
_pool = {"min_size": 1, "max_size": 20, "timeout": 4, "reconnect_timeout": 2}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.name,
        "USER": _database.user,
        "PASSWORD": _database.password,
        "HOST": _database.host,
        "PORT": _database.port,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": _pool if env.flag("PROGENY_DATABASE_POOL") else None,
            # a database that was cut off without a word is noticed within half a minute
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,
            "options": " ".join(f"-c {name}={value}" for name, value in _limits.items()),
            **dict(_database.options),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis carries hints between processes and may be wiped at any moment. redis-py's own defaults, 5 s of silence and 100 connections, would
# close idle websockets and refuse the hundred-and-first.
_redis = env.redis_address(DATA_DIR)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": _redis.url, "socket_timeout": None, "max_connections": 2000}]},
    }
}
CELERY_BROKER_URL = _redis.celery
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_QUEUES = (Broadcast("wake-ups", routing_key="wake-ups"),)  # type: ignore[no-untyped-call]  # every worker hears each
CELERY_TASK_ROUTES = {"workers.*": {"queue": "wake-ups"}}
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 7 * 86400, "queue_order_strategy": "priority"}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = (
    False  # started work is never delivered again by the broker: leases and the reconciler see to it
)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["webapp.accounts.roles.Backend"]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
SESSION_COOKIE_NAME = "progeny_session"
CSRF_COOKIE_NAME = "progeny_csrf"

QUOTAS = env.quotas()

STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_VERSION = (
    "debug" if DEBUG else env.fingerprint(BASE_DIR / "static", version("django-htmx") + version("django-ninja"))
)
STATIC_URL = f"/static/{STATIC_VERSION}/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_IMMUTABLE_FILE_TEST = (lambda path, url: False) if DEBUG else (lambda path, url: True)

METRICS_TOKEN = env.metrics_token()

# Mail, of notices alone.
_mail = env.mail()
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = _mail.host, _mail.port, 10
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.is_smtps, not _mail.is_smtps
DEFAULT_FROM_EMAIL = _mail.sender

# The Hub. The libraries that ask it read their switches when they are imported, here and in every process that is started from here.
OFFLINE = env.offline()
HUB_URL = env.hub_url()
HUB_CACHE = env.hub_cache(DATA_DIR)
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = logs.configuration(env.log_form())
