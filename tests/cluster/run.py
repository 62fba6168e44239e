"""Runs the test cluster by hand until Ctrl-C: python -m tests.cluster.run [FOLDER]

From the root of the repository; `KUBECONFIG=...` is printed as soon as it answers.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.cluster.binaries import NoCluster, find_binaries
from tests.cluster.processes import Processes


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.run", description="Runs the test cluster until Ctrl-C."
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="for its data; by default a new one")
    given = parser.parse_args().folder
    folder = Path(given or tempfile.mkdtemp(prefix="trueup-cluster-"))
    try:
        processes = Processes(find_binaries(), folder.absolute())
        processes.start()
    except NoCluster as why:
        print(f"no test cluster: {why}", file=sys.stderr)
        return 1
    print(f"KUBECONFIG={processes.kubeconfig}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("stopping", file=sys.stderr)
    finally:
        processes.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
