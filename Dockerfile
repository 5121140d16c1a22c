# The daemon in a small image: built in one stage, run in another as a user without rights.
# deploy/ has what to run it with.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# C and C++ parts of SQLite, of the TLS library and of the Kafka client are compiled.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make pkg-config libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

# The dependencies first, with stand-ins for our own code: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches tests/it \
    && touch src/lib.rs \
    && for file in src/main.rs benches/hot_path.rs tests/it/main.rs; do echo 'fn main() {}' > "$file"; done \
    && cargo build --release --locked \
    && rm -r src benches

COPY src src
COPY benches benches
COPY config config
# The stand-ins are newer than the sources copied in, so cargo would take them for built.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin dispatcher

FROM debian:bookworm-slim
# Certificates of the provider's servers come with the binary; these are for a PostgreSQL or a Kafka behind TLS.
# The libraries are the Kafka client's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/dispatcher --create-home --shell /usr/sbin/nologin dispatcher
COPY --from=build /build/target/release/dispatcher /usr/local/bin/dispatcher
COPY LICENSE /usr/share/doc/actiwapi-dispatcher/LICENSE
COPY config /etc/dispatcher
# By number, so that who runs it can see that it is not root.
USER 10001
WORKDIR /var/lib/dispatcher
VOLUME /var/lib/dispatcher
# The daemon drains on this signal: it stops taking, finishes what is in flight, hands back the rest.
STOPSIGNAL SIGTERM
# Whether the process answers at all; whether it may have requests is /readyz of the admin port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["dispatcher", "probe"]
ENTRYPOINT ["dispatcher"]
CMD ["serve"]
