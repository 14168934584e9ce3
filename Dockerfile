# One static binary, one image for every command:
#
#   docker build -t lockstep .
#   docker run lockstep tickets | orders | broker | up
#
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /out/lockstep ./cmd/lockstep \
 && mkdir -p /out/data

FROM scratch
# Certificates for TLS to MongoDB and NATS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/lockstep /lockstep
# An empty directory that the user below may write, for SQLite and `up`.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# DATA_DIR is not set here: a service without MONGO_URI must say so instead of
# writing into a container's layer. Give it as DATA_DIR=/data with a volume.
#
# After a stop, requests are taken for DRAIN_DELAY, until whoever sends them has
# noticed. Give the container more time than that and ten seconds: docker stop -t 20.
ENV OPS_URL=http://127.0.0.1:9464 DRAIN_DELAY=5s
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/lockstep", "health"]
ENTRYPOINT ["/lockstep"]
CMD ["version"]
