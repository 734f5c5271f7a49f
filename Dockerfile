# syntax=docker/dockerfile:1
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/node-24/package.json tools/node-24/
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY tools/node-24/package.json tools/node-24/
# Without the workspace, whose one purpose is to bring a Node to machines that have none.
RUN npm ci --omit=dev --workspaces=false

FROM node:24-slim
ENV NODE_ENV=production
# The entry points of the Go images (the gateway, and OCM's cluster-proxy), so that manifests that name them start these too. A
# user in many groups has more than 16 KiB of headers, which Node allows on HTTP/1.1 by this flag alone. The young generation is
# bounded: Node lets it grow to 128 MiB, which it keeps, and pauses are not shorter with more. An agent makes few objects.
RUN entry() { printf '#!/bin/sh\nexec node --max-http-header-size=1048576 --max-semi-space-size=%s /app/dist/cli/main.js %s "$@"\n' "$3" "$2" > "$1" \
      && chmod 0755 "$1"; } \
    && entry /apiserver apiserver 16 && entry /proxy-server tunnel-server 16 && entry /proxy-agent agent 4
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
WORKDIR /
USER 2000:2000
ENTRYPOINT ["/apiserver"]
