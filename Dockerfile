# syntax=docker/dockerfile:1
# Images of the service with the bundled model; docs/service/operations.md says how to use them.
#   docker build -t vicregl .                          CPU, on Debian slim (the last stage)
#   docker build --target cuda -t vicregl:cuda .       CUDA 13 and cuDNN 9, x64; the host's driver 580 or later

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
# What both images take, in one folder.
RUN mkdir /image \
  && cp -r package.json LICENSE bin proto models recipes node_modules dist /image/

FROM build AS build-cuda
# ONNX Runtime's CUDA provider, beside its CPU library; the one for TensorRT is not used.
RUN node bin/vicregl.js cuda install \
  && find node_modules/onnxruntime-node/bin -name '*providers_tensorrt*' -delete \
  && cp -r node_modules/onnxruntime-node /image/node_modules/

FROM nvidia/cuda:13.0.2-base-ubuntu22.04 AS cuda
# The libraries that ONNX Runtime's CUDA provider needs (src/onnx/cuda/libraries.ts), by name: the base image has none but the
# runtime's own.
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    cuda-cudart-13-0 libcublas-13-0 libcurand-13-0 libcudnn9-cuda-13 cuda-nvrtc-13-0 \
    libjemalloc2 libstdc++6 tini \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /usr/lib/*-linux-gnu/libjemalloc.so.2 /usr/local/lib/libjemalloc.so.2 \
  && useradd --uid 1000 --create-home node
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# Images come and go in sizes of their own: glibc's allocator keeps what they leave, jemalloc gives it back.
ENV NODE_ENV=production ORT_DISABLE_TELEMETRY=1 UV_THREADPOOL_SIZE=8 LD_PRELOAD=/usr/local/lib/libjemalloc.so.2 \
  VICREGL_ADDRESS=0.0.0.0:50051 VICREGL_METRICS_ADDRESS=0.0.0.0:9464 VICREGL_DEVICE=cuda
WORKDIR /app
COPY --from=build-cuda /image ./
# Fails where the provider needs what is not here. The driver comes from the host, when the image runs.
RUN node bin/vicregl.js cuda check --without-driver
USER 1000
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
  CMD ["node", "bin/vicregl.js", "health", "--address", "127.0.0.1:50051"]
# Node as process 1 would neither reap the workers' processes nor get default signal handling.
ENTRYPOINT ["tini", "--", "bin/vicregl.js"]
CMD ["serve"]

FROM node:20-bookworm-slim AS cpu
RUN apt-get update \
  && apt-get install -y --no-install-recommends libjemalloc2 tini \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /usr/lib/*-linux-gnu/libjemalloc.so.2 /usr/local/lib/libjemalloc.so.2
ENV NODE_ENV=production ORT_DISABLE_TELEMETRY=1 UV_THREADPOOL_SIZE=8 LD_PRELOAD=/usr/local/lib/libjemalloc.so.2 \
  VICREGL_ADDRESS=0.0.0.0:50051 VICREGL_METRICS_ADDRESS=0.0.0.0:9464 VICREGL_DEVICE=cpu
WORKDIR /app
COPY --from=build /image ./
USER node
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["node", "bin/vicregl.js", "health", "--address", "127.0.0.1:50051"]
ENTRYPOINT ["tini", "--", "bin/vicregl.js"]
CMD ["serve"]
