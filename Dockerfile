# Two stages: the locked packages are installed in the first, and only they go into the second.
FROM python:3.12-slim-bookworm AS build
WORKDIR /app
RUN pip install --no-cache-dir "uv==0.9.*"
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY src ./src
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode --extra crawl

FROM python:3.12-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap chromium \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 mmm \
    && install --directory --owner=mmm --mode=0700 /data
COPY --from=build --chown=mmm:mmm /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH CHROMIUM=/usr/bin/chromium
USER 10001
WORKDIR /home/mmm
VOLUME /data
EXPOSE 8000
# It refuses to start on such an address without API_KEYS, or ALLOW_NO_KEY=1 where the port is
# published on 127.0.0.1 alone, as docker-compose.yml does.
CMD ["mmm-workflows", "serve", "--host", "0.0.0.0", "--port", "8000"]
