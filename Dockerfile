# Two images: `docker build --target web .` (API, migrations, monitor; no torch) and `--target worker`.
# Every package is pinned in constraints.txt; tests/deploy/test_dockerfile.py replays the steps.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
ENV VENV=/opt/beholder WHEELS=/wheels
WORKDIR /src
COPY constraints.txt ./
RUN python -m pip install -c constraints.txt setuptools \
    && python -m venv --without-pip "$VENV"
COPY pyproject.toml README.md ./
COPY api api
COPY beholder beholder
COPY cli cli
COPY migrations migrations
COPY worker worker
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir "$WHEELS" .

FROM build AS web-packages
RUN python -m pip --python "$VENV" install -c constraints.txt \
    "$(echo "$WHEELS"/beholder-*.whl)[api,monitor,otel,report,s3]"

FROM build AS worker-packages
RUN python -m pip --python "$VENV" install -c constraints.txt \
    "$(echo "$WHEELS"/beholder-*.whl)[otel,s3,worker]"

FROM python:${PYTHON} AS base
ENV PATH=/opt/beholder/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV BEHOLDER_HOME=/data
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin beholder \
    && install -d -o beholder -g beholder -m 0700 /data
WORKDIR /data
USER beholder

FROM base AS web
COPY --from=web-packages /opt/beholder /opt/beholder
EXPOSE 8321
CMD ["beholder", "api"]

FROM base AS worker
COPY --from=worker-packages /opt/beholder /opt/beholder
CMD ["beholder", "worker"]
