"""Errors that a user can act on. Every message says what was given, what was expected and what to do."""

import re

OUT_OF_MEMORY = re.compile(
    "out of memory|not enough memory|can't allocate memory"
    # cuBLAS and cuDNN have no memory for their handles or workspaces
    '|CUBLAS_STATUS_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublasCreate'
    '|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_(?:DEVICE|HOST)_ALLOCATION_FAILED'
    '|CUDNN_STATUS_NOT_SUPPORTED.*(?:workspace|memory)'
    # torch tried every cuDNN algorithm, and none found room for its workspace
    '|unable to find an engine to execute|unable to find a valid cuDNN algorithm',
    re.IGNORECASE | re.DOTALL,
)


class ImageError(ValueError):
    """One image cannot be read, segmented or written. It is reported, and the other images go on."""


class NotFiniteError(ImageError):
    """The model computed NaN or infinity for an image. A wider precision may help."""


class SetupError(ValueError):
    """Inputs, options, config or checkpoint are wrong: nothing can start. The command line exits with 2."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch, CUDA, cuBLAS or cuDNN says that memory ran out.

    An error that only mentions memory, such as an illegal memory access, is none of these.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None
    )


def is_fatal(error: BaseException) -> bool:
    """Whether the process cannot use its CUDA device any more, so that every further image would fail too."""
    return isinstance(error, RuntimeError) and 'CUDA error' in str(error) and not ran_out_of_memory(error)
