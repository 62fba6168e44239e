"""The benchmark of reading manifests: validate 5,000 documents, against a bare parse of the same bytes.

    python tests/bench/manifests.py

All run in one process, by turns: `App.load`, which is all that `trueup validate` does after its start; and
PyYAML with libyaml, which knows neither places nor duplicate keys nor what a resource is, once to values
(the bare parse that the promise is about) and once to bare nodes. Prints a table, writes
bench-results/manifests.json, and ends with 1 where the promise is missed.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from trueup.app import App, SourceSpec

RESULTS = Path(__file__).resolve().parents[2] / "bench-results"
FILES, PER_FILE = 500, 10
ROUNDS = 7
MOST = 3.0

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: estate}
spec:
  variables:
    domain: {type: string, default: shop.example.com}
    replicas: {type: integer, default: 3}
  targets:
    - {name: prod, provider: kubernetes, config: {context: prod}}
    - {name: eu, provider: aws, config: {region: eu-west-1}}
    - {name: web-1, provider: ssh, labels: {role: web}, config: {host: 10.0.0.11, user: deploy}}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{n}
  namespace: shop
  labels: {{app: app-{n}, team: platform}}
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app: app-{n}}}
  template:
    metadata:
      labels: {{app: app-{n}, team: platform}}
    spec:
      containers:
        - name: app
          image: registry.example.com/shop/app:{n}
          args: ["--listen", ":8080", "--log", "json"]
          ports:
            - {{name: http, containerPort: 8080}}
          env:
            - name: DOMAIN
              value: "{domain}"
            - name: LEVEL
              value: info
          resources:
            requests: {{cpu: 100m, memory: 128Mi}}
            limits: {{memory: 256Mi}}
          readinessProbe:
            httpGet: {{path: /ready, port: http}}
            periodSeconds: 5
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: app-{n}
  namespace: shop
  labels: {{app: app-{n}}}
spec:
  selector: {{app: app-{n}}}
  ports:
    - name: http
      port: 80
      targetPort: http
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: app-{n}
  namespace: shop
data:
  domain: "{domain}"
  settings.yaml: |
    cache: 300
    limits:
      requests: 100
      burst: 20
    features: [search, basket, checkout]
"""
FILE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: site-{n}}}
targets: {{matchLabels: {{role: web}}}}
spec:
  path: /etc/nginx/conf.d/site-{n}.conf
  mode: "0644"
  content: |
    server {{
      listen 80;
      server_name {domain};
    }}
"""
QUEUE = """\
apiVersion: aws.trueup.dev/v1
kind: AWS::SQS::Queue
metadata: {{name: queue-{n}}}
spec:
  QueueName: shop-{n}
  VisibilityTimeout: 60
  Tags:
    - {{Key: team, Value: platform}}
"""
# What a stack of some size is made of.
MIX = (DEPLOYMENT, SERVICE, CONFIG, DEPLOYMENT, SERVICE, CONFIG, FILE, FILE, QUEUE, CONFIG)
PLAIN = {"domain": "shop.example.com", "replicas": "3"}
EXPRESSIONS = {"domain": "${{ vars.domain }}", "replicas": "${{ vars.replicas }}"}


def write_estate(folder: Path, share: float) -> list[bytes]:
    """A stack of 5,000 documents, of which that share has an expression; the bytes of its resource files."""
    folder.mkdir()
    (folder / "stack.yaml").write_text(STACK)
    written = []
    for file in range(FILES):
        texts = []
        for index in range(PER_FILE):
            number = file * PER_FILE + index
            values = EXPRESSIONS if (number * share) % 1 + share >= 1 else PLAIN
            texts.append(MIX[index].format(n=number, **values))
        content = "---\n".join(texts)
        (folder / f"part-{file:03}.yaml").write_text(content)
        written.append(content.encode())
    return written


def parse_bare(contents: list[bytes]) -> None:
    """What reading YAML costs at least: libyaml, and plain Python values."""
    for content in contents:
        for _ in yaml.load_all(content, Loader=yaml.CSafeLoader):
            pass


def parse_to_nodes(contents: list[bytes]) -> None:
    """libyaml alone, and its nodes, which are no values yet."""
    for content in contents:
        for _ in yaml.compose_all(content, Loader=yaml.CSafeLoader):
            pass


def measure(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def measure_estate(share: float) -> Iterator[tuple[float, float, float]]:
    """Seconds of the processor for bare nodes, for a bare parse and for validate, round by round."""
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as root, App("") as app:
        folder = Path(root) / "estate"
        contents = write_estate(folder, share)
        source = SourceSpec(str(folder))
        app.load(source)
        for _ in range(ROUNDS):
            nodes = measure(lambda: parse_to_nodes(contents))
            bare = measure(lambda: parse_bare(contents))
            yield nodes, bare, measure(lambda: app.load(source))


def main() -> int:
    print(f"validate {FILES * PER_FILE:,} documents in {FILES} files; medians of {ROUNDS} rounds")
    print(f"{'':34}{'nodes':>8}{'values':>9}{'validate':>11}{'of nodes':>11}{'of values':>11}")
    ratios = {}
    for name, share in (
        ("no expression", 0.0),
        ("one in five with expressions", 0.2),
        ("all with expressions", 1.0),
    ):
        rounds = list(measure_estate(share))
        nodes, bare, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
        of_nodes = statistics.median(round[2] / round[0] for round in rounds)
        of_bare = statistics.median(round[2] / round[1] for round in rounds)
        print(f"{name:34}{nodes:7.2f}s{bare:8.2f}s{whole:10.2f}s{of_nodes:10.2f}x{of_bare:10.2f}x")
        ratios[name] = of_bare
    is_kept = all(ratio < MOST for ratio in ratios.values())
    print(f"{'kept  ' if is_kept else 'MISSED'} validate takes less than {MOST:.0f} times a bare parse")
    RESULTS.mkdir(exist_ok=True)
    report = {"ratios": ratios, "most": MOST, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    (RESULTS / "manifests.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
