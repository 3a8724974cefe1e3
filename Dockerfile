# The image is the one static binary and a CA bundle: no shell, no package
# manager. It runs as uid 65532 with a read-only root file system and listens on
# ports above 1024, so it needs no capability.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
# "v1.0.0" builds with that version of the Go Cryptographic Module, in FIPS 140-3
# mode; "off" without.
ARG GOFIPS140=off
# BuildKit sets these: the compiler runs on the builder's platform for every other.
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} GOFIPS140=${GOFIPS140} go build -trimpath \
    -ldflags "-s -w -X github.com/cardea-dev/cardea/cmd/cli.buildVersion=${VERSION}" \
    -o /out/cardea ./cmd/cardea

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/cardea /cardea
USER 65532:65532
EXPOSE 8080 8443 10254
ENTRYPOINT ["/cardea"]
CMD ["controller"]
