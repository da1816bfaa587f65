# syntax=docker/dockerfile:1
# Three images from one distribution: docker build --target operator|worker|gateway -t moe-TARGET .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# For the worker's CPU kernels; only their library goes on into the images.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY constraints.txt pyproject.toml hatch_build.py README.md ./
RUN python -m venv /opt/build && /opt/build/bin/pip install -c constraints.txt hatchling
COPY operator operator
COPY worker worker
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

# What all three share: a virtual environment of their own, and a user that owns nothing.
FROM ${BASE} AS runtime
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PATH=/opt/moe/bin:$PATH
COPY constraints.txt /opt/constraints.txt
COPY --from=build /dist /opt/dist
RUN python -m venv /opt/moe
WORKDIR /

FROM runtime AS operator
RUN pip install -c /opt/constraints.txt "$(echo /opt/dist/*.whl)[operator]"
USER 65532:65532
ENTRYPOINT ["moe-operator"]

FROM runtime AS gateway
RUN pip install -c /opt/constraints.txt "$(echo /opt/dist/*.whl)[gateway]"
USER 65532:65532
ENTRYPOINT ["moe-gateway"]

# PyTorch's wheel carries the CUDA libraries; the nodes bring the driver. Supervisors keep their counters in the
# emptyDir /var/run/moe/state, which Kubernetes makes writable for the pod's fsGroup.
FROM runtime AS worker
RUN pip install -c /opt/constraints.txt "$(echo /opt/dist/*.whl)[worker,nixl]"
ENV OMP_NUM_THREADS=1
USER 65532:65532
ENTRYPOINT ["moe-worker"]
