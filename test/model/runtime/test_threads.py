import os

import cv2
import pytest
import torch

from mpvss_model.runtime.threads import use_threads


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize("cores, threads, expected", [(8, 0, 4), (3, 0, 1), (1, 0, 1), (8, 3, 3), (2, 3, 3)])
def test_frames_get_half_of_the_cores_unless_told_otherwise(monkeypatch, cores, threads, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    use_threads(threads)
    assert torch.get_num_threads() == expected
