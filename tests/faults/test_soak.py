"""A short soak; `make soak` is the long one."""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).with_name("soak.py")


def test_half_a_minute_of_random_faults_loses_nothing_and_doubles_nothing():
    command = [sys.executable, SOAK, "--minutes", "0.4", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
