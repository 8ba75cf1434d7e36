"""The profile that gives senders of large messages enough of Fast DDS's shared memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.utilities import get_rmw_implementation_identifier

PROFILE = Path(__file__).parents[2] / "config" / "dds" / "fastdds.xml"
# A program that prints how many bytes of shared memory Fast DDS has mapped for it.
MAPPED_BYTES = """
import re
import rclpy
from pathlib import Path

rclpy.init()
node = rclpy.create_node("sender")
maps = Path("/proc/self/maps").read_text()
mapped = re.findall(r"^(\\w+)-(\\w+) .*/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}$", maps, re.MULTILINE)
print(max(int(end, 16) - int(begin, 16) for begin, end in mapped))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells what a process has mapped")
@pytest.mark.skipif(not get_rmw_implementation_identifier().startswith("rmw_fastrtps"), reason="of another middleware")
def test_a_sender_with_the_profile_has_64_megabytes():
    sizes = {}
    # The first name is that up to Jazzy.
    profile = {f"{version}_DEFAULT_PROFILES_FILE": str(PROFILE) for version in ("FASTRTPS", "FASTDDS")}
    for name, added in (("default", {}), ("profile", profile)):
        done = subprocess.run(
            [sys.executable, "-c", MAPPED_BYTES], env=os.environ | added, capture_output=True, text=True, check=True
        )
        sizes[name] = int(done.stdout)
    assert sizes["default"] < 2**20 < 2**26 <= sizes["profile"] < 2**27
