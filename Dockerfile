# One image for every process of Jembatan; docker-compose.yml gives each its command.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/jembatan
WORKDIR /src
# The dependencies alone first: they change rarely, and the layer stays in the cache.
COPY requirements.txt ./
RUN /opt/jembatan/bin/pip install --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml README.md ./
COPY bridge ./bridge
COPY consumers ./consumers
COPY schemas ./schemas
COPY config ./config
# The build tool comes from the hashed requirements too: nothing here is fetched unchecked.
RUN /opt/jembatan/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 jembatan \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin jembatan \
 # A new named volume takes owner and mode from the folder it covers.
 && install -d -o jembatan -g jembatan -m 0700 /var/lib/jembatan
COPY --from=build /opt/jembatan /opt/jembatan
# Compiled when installed; at run time the file system is read-only.
ENV PATH=/opt/jembatan/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 BRIDGE_DATA_DIR=/var/lib/jembatan
USER 10001:10001
WORKDIR /var/lib/jembatan
EXPOSE 8311
ENTRYPOINT ["bridge"]
CMD ["--help"]
