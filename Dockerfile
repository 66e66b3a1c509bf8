# syntax=docker/dockerfile:1
# The migrations of the AI platform with the binary that applies them: one file besides them, no
# shell, no user but 65532. docs/kubernetes.md says what of this build is proved and what is not.

FROM rust:1.94-alpine AS build
# What OpenSSL and librdkafka, compiled into the binary, are made with.
RUN apk add --no-cache build-base perl linux-headers bash
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY dev/static ./dev/static
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cp "$(dev/static)" /aiplat-migrate
# Authorities for stores with certificates of public ones.
RUN apk add --no-cache ca-certificates

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /aiplat-migrate /usr/bin/aiplat-migrate
COPY aiplat-migrate.toml /platform/aiplat-migrate.toml
COPY migrations /platform/migrations
WORKDIR /platform
USER 65532:65532
ENTRYPOINT ["/usr/bin/aiplat-migrate"]
CMD ["up"]
