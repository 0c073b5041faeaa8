"""Arrays for the second GPU are created there, in any thread and for any current device.

On the emulated device, a separate process has two devices.
"""

import subprocess
import sys

import pytest

import xpnet
from tests.host_cuda.device import emulated
from tests.processes import environment

CODE = """
import threading, xpnet, numpy
import cupy

backend, second = xpnet.backend.resolve("cupy:1"), []

def create():
    second.append(backend.asarray([1.0, 2.0]))
    second.append(backend.asarray(numpy.arange(3)))
    second.append(xpnet.backend.array_like(numpy.ones(2), second[0]))
    with xpnet.using(backend):
        second.append(xpnet.Affine(3, 2, rng=0).weight.data)
        second.append(xpnet.functions.zeros(3).data)

create()
thread = threading.Thread(target=create)
thread.start()
thread.join()
print([x.device.id for x in second], cupy.cuda.Device().id)
"""


def test_arrays_for_the_second_device_are_created_there():
    try:
        first = xpnet.backend.resolve("cupy")
    except xpnet.BackendError as error:
        pytest.skip(str(error))
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2 and not emulated():
        pytest.skip(f"this machine has one GPU, {first.describe()}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        env=environment(HOST_CUDA_DEVICES="2"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{[1] * 10} 0\n", "an array is on another device"
