"""Errors that a user can act on. Every message says what was given, what was expected and what to do."""


class ImageError(ValueError):
    """One image cannot be read, segmented or written. It is reported, and the others go on."""


class SetupError(ValueError):
    """Inputs, options, config or checkpoint are wrong: nothing can start. The command line exits with 2."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether this is Python's, torch's or CUDA's way to say so. Not every error that mentions memory does."""
    says = ('out of memory', 'not enough memory', "can't allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in says)
    )


def is_fatal(error: BaseException) -> bool:
    """Whether the process cannot use its CUDA device any more, so that every further image would fail too."""
    return isinstance(error, RuntimeError) and 'CUDA error' in str(error) and not ran_out_of_memory(error)
