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
    && useradd --create-home --uid 10001 mmm
COPY --from=build --chown=mmm:mmm /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH CHROMIUM=/usr/bin/chromium
USER 10001
WORKDIR /home/mmm
# Loopback alone, as everywhere until the service has keys: run it with --network=host.
EXPOSE 8000
CMD ["uvicorn", "mmm_workflows.api.main:app", "--host", "127.0.0.1", "--port", "8000"]
