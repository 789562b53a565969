"""Names and limits of image formats. Imports nothing, so that the command line can read them at once."""

FORMATS = ('png', 'jpg', 'webp')  # results are written in these
MAX_PIXELS = 100_000_000  # default limit for an input image
SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'))  # read from folders
