# One image for all services: `hearth run NAME`. The runtimes' images are in runtimes/.

FROM debian:bookworm-slim AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/hearth
# The bundle is there only where `scripts/images --certificates` laid it out, for a build behind a
# company proxy; the [t] lets it be absent. It stays in this stage.
COPY constraints-image.txt build/ca-certificates.cr[t] /build/
RUN if [ -e /build/ca-certificates.crt ]; then export PIP_CERT=/build/ca-certificates.crt; fi \
    && /opt/hearth/bin/pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check \
        --require-hashes --no-deps --requirement /build/constraints-image.txt
COPY . /build/hearth/
# Neither pip nor setuptools is needed after this. botocore brings every service of AWS; two are used.
RUN cd /build/hearth \
    && /opt/hearth/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation . \
    && /opt/hearth/bin/pip uninstall --quiet --yes setuptools pip \
    && cd /opt/hearth/lib/python3*/site-packages/botocore/data \
    && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sqs ! -name sts ! -name sso \
        ! -name sso-oidc ! -name signin -exec rm -rf {} +

FROM debian:bookworm-slim

# redis-server is for `local`, the embedded default.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 redis-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=build /opt/hearth /opt/hearth
# A volume that is mounted here belongs to the user that the stages run as.
RUN install --directory --owner 65534 --group 65534 /var/lib/hearth-archive
ENV PATH=/opt/hearth/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
WORKDIR /var/lib/hearth
# The process itself is process 1: SIGTERM reaches it.
ENTRYPOINT ["hearth", "run"]
