# The server. It trains nothing, so torch and its company are not in it. From the root of the checkout:
#   docker build --file deploy/images/server.Dockerfile --tag tunesmith-server:0.1.0 .

FROM python:3.11.14-slim-bookworm AS packages
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /app
# Of a mirror, where there is one.
ARG PIP_INDEX_URL
COPY requirements/server.txt requirements/
RUN python -m venv --without-pip .venv && \
    pip --python .venv/bin/python install --no-cache-dir --no-input --disable-pip-version-check \
      --only-binary :all: --no-binary cuid,literalai,syncer --require-hashes --requirement requirements/server.txt
COPY pyproject.toml ./
COPY scripts/lib.sh scripts/
RUN . scripts/lib.sh && link_project .venv

FROM packages AS code
COPY storage storage
COPY training training
COPY serving serving
COPY bot bot
COPY chainlit_app chainlit_app
# The root is read-only where it runs: what Python would write beside its modules is made here.
RUN .venv/bin/python -m compileall -q storage training serving bot chainlit_app && rm -rf requirements scripts .venv

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 1000 tunesmith && \
    useradd --uid 1000 --gid 1000 --create-home --shell /usr/sbin/nologin tunesmith
COPY --from=packages /app/.venv /app/.venv
COPY --from=code /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TUNESMITH_HOME=/home/tunesmith/data
WORKDIR /home/tunesmith
USER 1000:1000
EXPOSE 8000
CMD ["tunesmith", "up", "--open-endpoint", "--port", "8000"]
