# What the pods of a run start from: training/ with torch and TRL, and of storage only files by key; and what brings
# models from a bucket to the pods that serve them. The server gives the command. From the root of the checkout:
#   docker build --file deploy/images/trainer.Dockerfile --tag tunesmith-trainer:0.1.0 .

FROM python:3.11.14-slim-bookworm AS packages
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /app
# Of a mirror, where there is one.
ARG PIP_INDEX_URL
COPY requirements/trainer.txt requirements/
RUN python -m venv --without-pip .venv && \
    pip --python .venv/bin/python install --no-cache-dir --no-input --disable-pip-version-check \
      --only-binary :all: --require-hashes --requirement requirements/trainer.txt

FROM packages AS code
COPY storage/__init__.py storage/artifact_errors.py storage/files.py storage/manifests.py storage/states.py \
    storage/stores.py storage/
COPY serving/__init__.py serving/puller.py serving/
COPY training training
RUN .venv/bin/python -m compileall -q storage serving training && rm -rf requirements .venv

FROM python:3.11.14-slim-bookworm
RUN groupadd --gid 1000 tunesmith && \
    useradd --uid 1000 --gid 1000 --create-home --shell /usr/sbin/nologin tunesmith
COPY --from=packages /app/.venv /app/.venv
COPY --from=code /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/tunesmith
USER 1000:1000
CMD ["python", "-m", "training.trainer.pod", "--help"]
