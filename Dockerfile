# One image with the three programs: relay, appserver and holdfast.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# The modules have a layer of their own, so that a change of source does not fetch them again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The build cache is taken away in the same step: a layer with it is slow to store and of no use later.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./services/relay ./services/appserver ./cmd/holdfast \
    && go clean -cache
# For a volume: it gets the owner of the folder in whose place it is mounted.
RUN mkdir -p /state/holdfast

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/ /usr/local/bin/
COPY --from=build --chown=65532:65532 /state/ /var/lib/
# The user nonroot, by number, so that an orchestrator can check that it is not root.
USER 65532:65532
CMD ["relay"]
