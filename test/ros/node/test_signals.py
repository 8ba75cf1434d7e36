"""An interrupt ends the node cleanly whenever it comes; `benchmarks/random_kills.py` tries many moments."""

import signal
import time

import pytest


def catches_sigterm(pid):
    """Python catches SIGINT by itself, SIGTERM only once the node's handlers are there."""
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize("signal_number, delay_s", [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.3), (signal.SIGINT, 1.0)])
def test_an_interrupt_during_the_imports_ends_the_node_without_a_traceback(start_process, signal_number, delay_s):
    node = start_process()
    deadline_s = time.monotonic() + 60.0
    while not catches_sigterm(node.process.pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    time.sleep(delay_s)
    exit_code, _ = node.end(signal_number)
    assert exit_code == 0 and "Traceback" not in node.log()
