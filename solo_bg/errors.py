"""What can go wrong that a user can mend. Every message says what was given, what was expected and what to do."""


class ImageError(ValueError):
    """One image cannot be read, segmented or written. It is reported, and the others go on."""


class SetupError(ValueError):
    """Inputs, options, config or checkpoint: nothing can start. The command line exits with 2."""
