# CPU image of the service with the bundled model. docs/service.md says how to use it.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build
# Only what serving needs stays: no development packages, no ONNX Runtime of other platforms, no tests and benchmarks.
RUN npm prune --omit=dev \
  && arch="$(node -p process.arch)" \
  && find node_modules/onnxruntime-node/bin -mindepth 2 -maxdepth 2 -type d ! -name linux -exec rm -rf {} + \
  && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d ! -name "$arch" -exec rm -rf {} + \
  && rm -rf dist/test dist/scripts dist/.tsbuildinfo \
  && find dist/src \( -name '*.test.*' -o -name '*.map' -o -name '*.d.ts' \) -delete

FROM node:20-bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json /app/LICENSE ./
COPY --from=build /app/bin bin
COPY --from=build /app/proto proto
COPY --from=build /app/models models
COPY --from=build /app/recipes recipes
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node as process 1 would neither reap children nor get default signal handling.
ENTRYPOINT ["tini", "--", "node", "bin/vicregl.js"]
CMD ["serve", "--address", "0.0.0.0:50051", "--metrics-address", "0.0.0.0:9464", "--device", "cpu"]
