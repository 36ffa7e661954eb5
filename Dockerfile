# syntax=docker/dockerfile:1
# The endpoint in one container, and the image of every Ray node on Kubernetes (serve/kuberay):
#   docker build --target cpu -t dbd-ray:0.1.0-cpu .
#   docker build --target gpu -t dbd-ray:0.1.0-gpu .
# Python's own image and not rayproject/ray: that one brings versions of its own for what constraints.txt fixes.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dbd-ray
ENV PATH=/opt/dbd-ray/bin:$PATH
WORKDIR /build
COPY pyproject.toml constraints.txt README.md ./
# The dependencies in a layer of their own: a change of the code does not install torch again. What this leaves is removed
# there, since setuptools would take the empty module for the newer one.
RUN mkdir dbd_ray && touch dbd_ray/__init__.py

FROM build AS build-cpu
# Address of an index with torch and torchvision for the CPU alone, in constraints.txt's versions: gigabytes less.
# Without it the image works too and carries CUDA's libraries unused.
ARG TORCH_INDEX=
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt '.[heif]' \
    && rm -rf build dbd_ray *.egg-info
COPY dbd_ray dbd_ray
RUN pip install --no-deps --force-reinstall .

FROM build AS build-gpu
# torch's wheels bring CUDA; the machine brings the driver
RUN pip install -c constraints.txt '.[heif]' \
    && rm -rf build dbd_ray *.egg-info
COPY dbd_ray dbd_ray
RUN pip install --no-deps --force-reinstall .

FROM python:3.11-slim-bookworm AS base
# tini ends what Ray leaves behind, wget is what KubeRay's probes call
RUN apt-get update && apt-get install -y --no-install-recommends tini wget && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 ray
WORKDIR /app
COPY serve/config.yaml serve/
COPY jobs jobs
ENV PATH=/opt/dbd-ray/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000
EXPOSE 8000
# a detector that exports its network for an engine takes a while at its first start
HEALTHCHECK --interval=15s --timeout=5s --start-period=180s --retries=3 \
    CMD ["wget", "--quiet", "--tries=1", "--timeout=4", "--output-document=/dev/null", "http://127.0.0.1:8000/readyz"]
ENTRYPOINT ["tini", "--"]
CMD ["dbd-ray", "serve", "--host", "0.0.0.0"]

FROM base AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/dbd-ray /opt/dbd-ray

# the last stage is what a build without --target makes
FROM base AS cpu
COPY --from=build-cpu /opt/dbd-ray /opt/dbd-ray
