# One image for web, workers and preparation: they share code and versions, and on one server also the layers.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PROGENY_DATA=/data
WORKDIR /app

RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml constraints.txt ./
RUN uv pip install --system --no-cache --compile-bytecode -r pyproject.toml -c constraints.txt

COPY . .
RUN python -m compileall -q merging webapp workers \
    && useradd --uid 10001 --create-home progeny \
    && install --directory --owner=progeny --mode=0700 /data
USER progeny
VOLUME /data
EXPOSE 8000
