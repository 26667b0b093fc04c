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
# Neither pip nor setuptools is needed after this. botocore and moto bring every service of AWS; two
# are used, and what these ask for.
RUN cd /build/hearth \
    && /opt/hearth/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        --no-deps --no-build-isolation . \
    && /opt/hearth/bin/pip uninstall --quiet --yes setuptools pip \
    && cd /opt/hearth/lib/python3*/site-packages/botocore/data \
    && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sqs ! -name sts ! -name sso \
        ! -name sso-oidc ! -name signin -exec rm -rf {} + \
    && cd /opt/hearth/lib/python3*/site-packages/moto \
    && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name s3bucket_path ! -name sqs \
        ! -name core ! -name utilities ! -name moto_api ! -name moto_server ! -name cloudwatch \
        ! -name events ! -name iam ! -name sts ! -name kms -exec rm -rf {} +

FROM debian:bookworm-slim

# redis-server is for `local`, the embedded default.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 redis-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    # A new volume that is mounted here belongs to nobody too.
    && install --directory --owner 65534 --group 65534 /var/lib/hearth
COPY --from=build /opt/hearth /opt/hearth
ENV PATH=/opt/hearth/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 \
    METRICS_OWN=true METRICS_BIND=0.0.0.0 METRICS_PORT=8000
WORKDIR /var/lib/hearth
EXPOSE 8000
# Nobody; an executor with Docker sandboxes is started as root (docker-compose.yml says why).
USER 65534:65534
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=6 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
# The process itself is process 1: SIGTERM reaches it.
ENTRYPOINT ["hearth", "run"]
