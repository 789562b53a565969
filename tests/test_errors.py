import pytest
import torch

from solo_bg.errors import is_fatal, ran_out_of_memory


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'),
        RuntimeError('CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`'),
        RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
        RuntimeError('cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED'),
        RuntimeError('cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. The workspace needs more\nmemory than there is'),
        RuntimeError('GET was unable to find an engine to execute this computation'),
        RuntimeError('Unable to find a valid cuDNN algorithm to run convolution'),
        RuntimeError('CUDA error: out of memory'),
    ],
)
def test_what_says_that_memory_ran_out(error):
    """The texts of Python, torch, CUDA, cuBLAS and cuDNN. None ends the run."""
    assert ran_out_of_memory(error) and not is_fatal(error)


@pytest.mark.parametrize(
    ('error', 'fatal'),
    [
        (RuntimeError('CUDA error: an illegal memory access was encountered'), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`'), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm`'), True),
        (RuntimeError('cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. A non-contiguous input'), False),
        (ValueError('out of memory'), False),
        (RuntimeError('expected memory format channels_last'), False),
    ],
)
def test_what_says_something_else(error, fatal):
    assert not ran_out_of_memory(error) and is_fatal(error) == fatal
