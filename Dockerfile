# The image of workers and flow runs. Build: docker build --tag segmentation .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH
RUN python -m venv /opt/venv
WORKDIR /app
# Dependencies first: this layer is built again only when a version changes, not with every line of code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --constraint constraints.txt .
COPY prefect.yaml ./
COPY flows flows
COPY tasks tasks
COPY infra infra
# The package points at /app, so a deployment's entrypoint and an import mean the same file.
RUN pip install --no-deps --editable . && \
    python -m compileall -q flows tasks infra && \
    pip uninstall --yes setuptools pip

FROM python:${PYTHON}-slim
RUN pip uninstall --yes --root-user-action=ignore setuptools wheel pip && \
    useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PREFECT_HOME=/home/app/.prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    MPLBACKEND=agg \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001
WORKDIR /app
# What the ECS worker sends as its command; `segmentation …` and `prefect worker start …` run the same way.
CMD ["prefect", "flow-run", "execute"]
