"""A client under load for scripts/proofs/fleet.ts: calls Embed until SIGTERM, then prints its counts as JSON.

    /usr/bin/python3 scripts/proofs/fleet_client.py dns:///vicregl:50051 4 REQUEST_FILE

REQUEST_FILE has an encoded EmbedRequest. Debian: apt-get install python3-grpcio
"""
import collections
import json
import signal
import sys
import threading
import time

import grpc

address, callers, request_file = sys.argv[1:]
PAUSE_SECONDS = 0.01
SERVICE = "vicregl.v1.VicreglService"

config = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": SERVICE, "method": "Embed"}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 4,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 512, "tokenRatio": 0.1},
}
# Behind a proxy, the health of the replica that happens to answer would be taken for that of all.
if address.startswith("dns:"):
    config["healthCheckConfig"] = {"serviceName": SERVICE}
options = [
    ("grpc.service_config", json.dumps(config)),
    ("grpc.keepalive_time_ms", 30000),
    ("grpc.keepalive_timeout_ms", 10000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
]

with open(request_file, "rb") as file:
    request = file.read()
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
lock = threading.Lock()
answered = 0
failures = collections.Counter()


def call(embed):
    global answered
    while not over.is_set():
        try:
            embed(request, timeout=20)
            with lock:
                answered += 1
        except grpc.RpcError as error:
            with lock:
                failures[f"{error.code().name}: {error.details()}"] += 1
                print(f"{time.strftime('%H:%M:%S')} {error.code().name}: {error.details()}", file=sys.stderr)
        time.sleep(PAUSE_SECONDS)


with grpc.insecure_channel(address, options=options) as channel:
    embed = channel.unary_unary(f"/{SERVICE}/Embed")
    threads = [threading.Thread(target=call, args=(embed,)) for _ in range(int(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(json.dumps({"answered": answered, "failures": failures}))
