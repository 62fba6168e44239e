"""Runs the test cluster by hand until Ctrl-C: python -m tests.cluster.run [FOLDER]"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from tests.cluster.binaries import NoCluster, find_binaries
from tests.cluster.processes import Processes


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="trueup-cluster-"))
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
