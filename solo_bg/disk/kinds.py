"""Say what a file is that is not an image, by its first bytes. Opens no file."""

from __future__ import annotations

VIDEO = 'a video; rename it to a suffix of videos, such as .mp4 or .mkv'
ARCHIVE = 'an archive; expected an image (unpack it first)'
# (offset, bytes that a file has there, what the file is)
SIGNATURES = (
    (0, b'\x1a\x45\xdf\xa3', VIDEO),  # Matroska, WebM
    (8, b'AVI ', VIDEO),
    (0, b'FLV\1', VIDEO),
    (0, b'\0\0\1\xba', VIDEO),  # MPEG program stream
    (0, b'\0\0\1\xb3', VIDEO),  # MPEG-1 and MPEG-2 video
    (0, b'0&\xb2u\x8ef\xcf\x11', VIDEO),  # WMV
    (0, b'PK\3\4', ARCHIVE),
    (0, b'Rar!\x1a\7', ARCHIVE),
    (0, b'7z\xbc\xaf\x27\x1c', ARCHIVE),
    (0, b'\x1f\x8b', ARCHIVE),
    (0, b'BZh', ARCHIVE),
    (0, b'\xfd7zXZ\0', ARCHIVE),
    (0, b'\x28\xb5\x2f\xfd', ARCHIVE),  # zstd
    (257, b'ustar', ARCHIVE),
    (0, b'\0\x05\x16\x07', 'the metadata that macOS keeps of another file; expected an image'),
    (0, b'%PDF', 'a PDF document; expected an image (convert its pages first)'),
    (0, b'%!PS', 'a PostScript document; expected an image'),
    (0, b'8BPS', 'a Photoshop document, which is not supported; save it as PNG'),
    (0, b'\x76\x2f\x31\x01', 'an OpenEXR image, which is not supported; convert it to PNG'),
    (0, b'\xff\x0a', 'a JPEG XL image, which is not supported; convert it to PNG'),
    (0, b'\0\0\0\x0cJXL ', 'a JPEG XL image, which is not supported; convert it to PNG'),
)
HEIC_BRANDS = (b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'mif1', b'msf1')
AVIF_BRANDS = (b'avif', b'avis')


def is_heic(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a HEIC image."""
    return start[4:8] == b'ftyp' and start[8:12] in HEIC_BRANDS


def describe_kind(start: bytes) -> str:
    """What the file is, as the end of a sentence that begins with "is"; '' if that is not known.

    Args:
        start: the first bytes of the file; 512 are enough.
    """
    if start[4:8] == b'ftyp':
        if is_heic(start):
            return 'a HEIC image; install pillow-heif to read it'
        if start[8:12] in AVIF_BRANDS:
            return 'an AVIF image; install Pillow 11.3 or newer to read it'
        return VIDEO
    for offset, signature, kind in SIGNATURES:
        if start.startswith(signature, offset):
            return kind
    text = start.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<svg', b'<?xml')):
        return 'an SVG or another XML document; expected an image made of pixels'
    if text.startswith((b'<!doctype html', b'<html')):
        return 'a web page; expected an image (the download may have failed)'
    return ''
