"""Too little memory is told from other errors, whichever device, system or library says it."""

import errno

import pytest

from motion_module.memory import is_of_processor, is_out_of_memory


class OutOfMemoryError(RuntimeError):
    """torch's own, by its name."""


class NarrowerError(MemoryError):
    """numpy's is one of these."""


def of_windows(number):
    """What Python raises there."""
    error = OSError(errno.EINVAL, "The paging file is too small for this operation to complete")
    error.winerror = number
    return error


OF_ACCELERATORS = [
    OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)"),
    OutOfMemoryError("HIP out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB, other allocations: 1 GB, max allowed: 18.13 GB)"),
    RuntimeError("Invalid buffer size: 16.00 GB"),
    RuntimeError("Could not allocate tensor with 4831838208 bytes. There is not enough GPU video memory available!"),
    RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
]
OF_PROCESSORS = [
    MemoryError(),
    NarrowerError("Unable to allocate 3.00 GiB for an array"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: can't allocate memory: you tried 1 byte"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried 1 byte"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError("Cannot allocate memory (os error 12)"),
    RuntimeError("unable to mmap 4265146304 bytes from file </models/a.safetensors>: Cannot allocate memory (12)"),
    RuntimeError("The paging file is too small for this operation to complete. (os error 1455)"),
    OSError("The paging file is too small for this operation to complete. (os error 1455)"),
    OSError("Die Auslagerungsdatei ist zu klein, um diesen Vorgang durchzuführen. (os error 1455)"),
    RuntimeError("[WinError 1455] Die Auslagerungsdatei ist zu klein. Error loading cublas64_12.dll"),
    *(of_windows(number) for number in (8, 14, 1455)),
    RuntimeError("level_zero backend failed with error: 38 (UR_RESULT_ERROR_OUT_OF_HOST_MEMORY)"),
]
OTHERS = [
    None,
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    RuntimeError("CUDA error: device-side assert triggered"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.ENOENT, "No such file or directory", "/films/out of memory, cannot allocate memory.mp4"),
    of_windows(32),
    ValueError("out of memory"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", OF_ACCELERATORS, ids=str)
def test_an_accelerator_has_too_little(error):
    assert is_out_of_memory(error) and not is_of_processor(error)


@pytest.mark.parametrize("error", OF_PROCESSORS, ids=str)
def test_the_computer_has_too_little(error):
    assert is_out_of_memory(error) and is_of_processor(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_anything_else_is_something_else(error):
    assert not is_out_of_memory(error)
