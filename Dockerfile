# syntax=docker/dockerfile:1
# Container images of the service with the bundled model; see docs/service/operations.md for their use.
#   docker build -t vicregl .                          CPU, on Debian slim (the last stage)
#   docker build --target cuda -t vicregl:cuda .       CUDA 13 and cuDNN 9, x64; requires driver 580 or later on the host

FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build
# Remove what serving does not need: development packages, ONNX Runtime for other platforms, tests and benchmarks.
RUN npm prune --omit=dev \
  && arch="$(node -p process.arch)" \
  && find node_modules/onnxruntime-node/bin -mindepth 2 -maxdepth 2 -type d ! -name linux -exec rm -rf {} + \
  && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d ! -name "$arch" -exec rm -rf {} + \
  && rm -rf dist/test dist/scripts dist/.tsbuildinfo \
  && find dist/src \( -name '*.test.*' -o -name '*.map' -o -name '*.d.ts' \) -delete
# Collect the contents of both images in one folder.
RUN mkdir /image \
  && cp -r package.json LICENSE bin proto models recipes node_modules dist /image/

FROM build AS build-cuda
# Add ONNX Runtime's CUDA provider to the CPU library; the TensorRT provider is not used.
RUN node bin/vicregl.js cuda install \
  && find node_modules/onnxruntime-node/bin -name '*providers_tensorrt*' -delete \
  && cp -r node_modules/onnxruntime-node /image/node_modules/

FROM nvidia/cuda:13.0.2-base-ubuntu22.04 AS cuda
# The libraries that ONNX Runtime's CUDA provider needs (src/onnx/cuda/libraries.ts). The base image contains only the CUDA
# runtime.
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    cuda-cudart-13-0 libcublas-13-0 libcurand-13-0 libcudnn9-cuda-13 cuda-nvrtc-13-0 \
    libjemalloc2 libstdc++6 tini \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /usr/lib/*-linux-gnu/libjemalloc.so.2 /usr/local/lib/libjemalloc.so.2 \
  && useradd --uid 1000 --create-home node
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# glibc's allocator retains memory of images of varying sizes; jemalloc returns it.
ENV NODE_ENV=production ORT_DISABLE_TELEMETRY=1 UV_THREADPOOL_SIZE=8 LD_PRELOAD=/usr/local/lib/libjemalloc.so.2 \
  VICREGL_ADDRESS=0.0.0.0:50051 VICREGL_METRICS_ADDRESS=0.0.0.0:9464 VICREGL_DEVICE=cuda
WORKDIR /app
COPY --from=build-cuda /image ./
# Fails if a library is missing. The driver is provided by the host at run time.
RUN node bin/vicregl.js cuda check --without-driver
USER 1000
EXPOSE 50051 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
  CMD ["node", "bin/vicregl.js", "health", "--address", "127.0.0.1:50051"]
# As PID 1, Node would neither reap worker processes nor get default signal handling.
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
