"""Names and limits of image formats. Imports nothing, so that the command line can read them at once."""

FORMATS = ('png', 'jpg', 'webp')  # results are written in these
CRF = 18  # default quality of videos
MAX_PIXELS = 100_000_000  # default limit for an input image
# read from folders; other files are tried when they are given by name
SUFFIXES = frozenset(
    (
        *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.tif', '.tiff', '.bmp', '.gif', '.jp2'),
        *('.ppm', '.pgm', '.pbm', '.pnm'),
    )
)
# of videos; not .ts, which is TypeScript more often than a transport stream
VIDEO_SUFFIXES = frozenset(
    (
        *('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.mts', '.m2ts', '.wmv', '.flv', '.3gp'),
        *('.ogv', '.y4m'),
    )
)
# read from folders where they can be, and what they need
OPTIONAL_SUFFIXES = {
    **{'.avif': 'Pillow 11.3 or newer', '.heic': 'pillow-heif', '.heif': 'pillow-heif'},
    **dict.fromkeys(sorted(VIDEO_SUFFIXES), 'PyAV'),
}
