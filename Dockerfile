# syntax=docker/dockerfile:1
# The gateway in a small image: no shell, no package manager, not root. SQLite lives on the volume /data.
#
#   docker build -t onhook .
#   docker run -p 8080:8080 -v onhook:/data -e ONHOOK_PUBLIC_URL=https://calls.example.com \
#       -e TWILIO_ACCOUNT_SID=AC… -e TWILIO_AUTH_TOKEN=… onhook

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches make a second build quick; what a cache mount holds is not in the image, so the binary is put aside.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin onhook \
    && install -D target/release/onhook /out/onhook \
    && install -d /out/data

# Same Debian release as the build, for its libc; brings the certificate authorities that outgoing HTTPS needs.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/onhook /usr/local/bin/onhook
# A new volume takes over the owner of the folder it is mounted on.
COPY --from=build --chown=65532:65532 /out/data /data
# PORT, not ONHOOK_LISTEN: a platform that sets its own is obeyed.
ENV PORT=8080 \
    ONHOOK_DATABASE_URL=sqlite:///data/onhook.db \
    ONHOOK_LOG_FORMAT=json
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Exec form: there is no shell and no curl in here, the binary asks itself.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/onhook", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/onhook"]
CMD ["serve"]
