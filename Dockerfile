# Two images: `docker build --target web .` (API, migrations, monitor; no torch) and `--target worker`.
# Every package is pinned in constraints.txt; tests/deploy/test_dockerfile.py replays the steps.
# What others wrote is installed before Beholder's own code is seen, and is a layer of its own: a
# change of the code neither installs torch again nor ships it.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS requirements
WORKDIR /requirements
COPY pyproject.toml deploy/requirements.py ./
RUN python requirements.py api monitor otel report s3 >web.txt \
    && python requirements.py otel s3 worker >worker.txt

FROM python:${PYTHON} AS venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
ENV VENV=/opt/beholder
WORKDIR /src
COPY constraints.txt ./
RUN python -m venv --without-pip "$VENV"

FROM venv AS web-packages
COPY --from=requirements /requirements/web.txt ./
RUN python -m pip --python "$VENV" install -c constraints.txt -r web.txt

FROM venv AS worker-packages
COPY --from=requirements /requirements/worker.txt ./
RUN python -m pip --python "$VENV" install -c constraints.txt -r worker.txt

FROM venv AS ours
ENV OURS=/opt/ours WHEELS=/wheels
RUN python -m pip install -c constraints.txt setuptools
COPY pyproject.toml README.md ./
COPY api api
COPY beholder beholder
COPY cli cli
COPY migrations migrations
COPY worker worker
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir "$WHEELS" . \
    && python -m pip --python "$VENV" install --no-deps --prefix "$OURS" "$WHEELS"/beholder-*.whl

FROM python:${PYTHON} AS base
ENV PATH=/opt/beholder/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV BEHOLDER_HOME=/data
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin beholder \
    && install -d -o beholder -g beholder -m 0700 /data
WORKDIR /data
USER beholder

FROM base AS web
COPY --from=web-packages /opt/beholder /opt/beholder
COPY --from=ours /opt/ours /opt/beholder
EXPOSE 8321
CMD ["beholder", "api"]

FROM base AS worker
COPY --from=worker-packages /opt/beholder /opt/beholder
COPY --from=ours /opt/ours /opt/beholder
CMD ["beholder", "worker"]
