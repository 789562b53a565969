"""Images of every awkward kind, written by Pillow and by hand, with the pixels that a reader should give."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps, features


def photo(height=40, width=56):
    """A smooth colourful picture, BGR, which JPEG keeps well."""
    small = np.random.default_rng(3).integers(30, 226, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def to_pillow(bgr):
    return Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))


def readable():
    """name -> (bytes, BGR pixels wanted, tolerance)."""
    bgr = photo()
    rgb = to_pillow(bgr)
    grey = np.repeat(np.asarray(rgb.convert('L'))[..., None], 3, 2)
    alpha = np.random.default_rng(4).integers(0, 256, bgr.shape[:2], dtype=np.uint8)
    rgba = Image.fromarray(np.dstack([bgr[..., ::-1], alpha]), 'RGBA')
    deep = np.random.default_rng(5).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    cases = {
        'rgb.png': (save(rgb, 'PNG'), bgr, 0),
        'rgb.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0), bgr, 8),
        'rgb.bmp': (save(rgb, 'BMP'), bgr, 0),
        'rgb.webp': (save(rgb, 'WEBP', lossless=True), bgr, 0),
        'rgb.tiff': (save(rgb, 'TIFF'), bgr, 0),
        'lzw.tif': (save(rgb, 'TIFF', compression='tiff_lzw'), bgr, 0),
        'one_pixel.png': (save(rgb.crop((0, 0, 1, 1)), 'PNG'), bgr[:1, :1], 0),
        'grey.png': (save(rgb.convert('L'), 'PNG'), grey, 0),
        'grey.jpg': (save(rgb.convert('L'), 'JPEG', quality=98), grey, 8),
        'grey_alpha.png': (save(rgb.convert('LA'), 'PNG'), grey, 0),
        'palette.png': (save(rgb.convert('P'), 'PNG'), np.asarray(rgb.convert('P').convert('RGB'))[..., ::-1], 0),
        'rgba.png': (save(rgba, 'PNG'), bgr, 0),
        'rgba.webp': (save(rgba, 'WEBP', lossless=True, exact=True), bgr, 0),
        'rgba.tif': (save(rgba, 'TIFF'), bgr, 0),
        'cmyk.jpg': (save(rgb.convert('CMYK'), 'JPEG', quality=98), bgr, 12),
        'deep.png': (cv2.imencode('.png', deep)[1].tobytes(), (deep >> 8).astype(np.uint8), 0),
        'deep.tif': (cv2.imencode('.tif', deep)[1].tobytes(), (deep >> 8).astype(np.uint8), 0),
        'deep_grey.png': (
            cv2.imencode('.png', deep[..., 0])[1].tobytes(),
            np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2),
            0,
        ),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = np.asarray(ImageOps.exif_transpose(with_orientation(rgb, orientation)))[..., ::-1]
        for suffix, kind, options, tolerance in (
            ('jpg', 'JPEG', {'quality': 98, 'subsampling': 0}, 8),
            ('png', 'PNG', {}, 0),
            ('webp', 'WEBP', {'lossless': True}, 0),
            ('tif', 'TIFF', {}, 0),
        ):
            cases[f'exif{orientation}.{suffix}'] = (save(rgb, kind, exif=exif, **options), turned, tolerance)
    return cases | jpegs(rgb, bgr) | pngs(rgb, bgr) | tiffs(rgb, bgr) | others(rgb, bgr)


def jpegs(rgb, bgr):
    whole = save(rgb, 'JPEG', quality=98, subsampling=0)
    thumbnail = b'Exif\0\0' + Image.Exif().tobytes()[6:] + bytes(range(256)) * 250  # as large as a segment can be
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    return {
        'progressive.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, progressive=True), bgr, 8),
        'halved_colours.jpg': (save(rgb, 'JPEG', quality=98), bgr, 25),
        'restarts.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, restart_marker_blocks=2), bgr, 8),
        'ycck.jpg': (ycck(rgb), bgr, 12),
        'thumbnail.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, exif=thumbnail), bgr, 8),
        'bad_exif.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, exif=b'Exif\0\0MM\0*\xff\xff\xff\xff'), bgr, 8),
        'exif9.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, exif=exif_of(9)), bgr, 8),
        'profile.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, icc_profile=profile), bgr, 8),
        'large_profile.jpg': (save(rgb, 'JPEG', quality=98, subsampling=0, icc_profile=profile * 1000), bgr, 8),
        'trailing.jpg': (whole + b'junk' * 999, bgr, 8),
        'zeros_after.jpg': (whole + bytes(99999), bgr, 8),
        'two_pictures.jpg': (whole + save(rgb.rotate(180), 'JPEG'), bgr, 8),
        'stereo.jpg': (save(rgb, 'MPO', save_all=True, append_images=[rgb.rotate(180)], quality=98), bgr, 25),
        'fill_bytes.jpg': (whole[:2] + b'\xff' * 20 + whole[2:], bgr, 8),
        'a_jpeg.png': (whole, bgr, 8),
    }


def ycck(rgb):
    """Pillow writes CMYK only: given Y, Cb, Cr and K in its planes, it is YCCK but for the marker's last byte."""
    planes = [*ImageOps.invert(rgb).convert('YCbCr').split(), Image.new('L', rgb.size, 255)]
    data = save(Image.merge('CMYK', [ImageOps.invert(plane) for plane in planes]), 'JPEG', quality=98)
    where = data.index(b'Adobe') + 11
    return data[:where] + b'\2' + data[where + 1 :]


XMP_TURNED = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="6"/></x:xmpmeta>'


def pngs(rgb, bgr):
    whole = save(rgb, 'PNG')
    deep = np.random.default_rng(6).integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    high = (deep >> 8).astype(np.uint8)
    turned = as_bgr(ImageOps.exif_transpose(with_orientation(rgb, 6)))
    cases = {
        'grey1.png': (save(rgb.convert('1'), 'PNG'), as_bgr(rgb.convert('1')), 0),
        'see_through.png': (save(rgb, 'PNG', transparency=rgb.getpixel((0, 0))), bgr, 0),
        'deep_rgba.png': (cv2.imencode('.png', deep)[1].tobytes(), high[..., :3], 0),
        'interlaced.png': (png(56, 40, 8, 2, adam7(bgr[..., ::-1]), interlaced=1), bgr, 0),
        'gamma.png': (with_chunk(whole, b'gAMA', struct.pack('>I', 22000)), bgr, 0),
        'profile.png': (save(rgb, 'PNG', icc_profile=b'no profile at all'), bgr, 0),
        'large_profile.png': (save(rgb, 'PNG', icc_profile=bytes(2_000_000)), bgr, 0),
        'xmp_turned.png': (with_chunk(whole, b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + XMP_TURNED), turned, 0),
        'bad_exif.png': (with_chunk(whole, b'eXIf', b'MM\0*\xff\xff\xff\xff'), bgr, 0),
        'no_exif.png': (with_chunk(whole, b'eXIf', b'rubbish'), bgr, 0),
        'animated.png': (save(rgb, 'PNG', save_all=True, append_images=[rgb.rotate(180)]), bgr, 0),
        'animated_later.png': (
            save(rgb, 'PNG', save_all=True, default_image=True, append_images=[rgb.rotate(180)]),
            bgr,
            0,
        ),
        'trailing.png': (whole + b'junk' * 999, bgr, 0),
        'no_end.png': (whole[:-12], bgr, 0),
        'endless_chunk.png': (whole[:33] + b'\x7f\xff\xff\xff' + whole[37:], bgr, 0),  # 2 GB, it says
        'a_png.jpg': (whole, bgr, 0),
        'thin.png': (save(rgb.resize((1, 5000)), 'PNG'), as_bgr(rgb.resize((1, 5000))), 0),
        'wide.png': (save(rgb.resize((5000, 1)), 'PNG'), as_bgr(rgb.resize((5000, 1))), 0),
    }
    for bits in (1, 2, 4):
        few = rgb.quantize(2**bits)
        cases[f'palette{bits}.png'] = save(few, 'PNG', bits=bits), as_bgr(few), 0
        cases[f'palette{bits}_alpha.png'] = save(few, 'PNG', bits=bits, transparency=1), as_bgr(few), 0
    for bits in (2, 4):  # grey, which Pillow does not write: rows of samples packed by hand
        samples = np.random.default_rng(bits).integers(0, 2**bits, (40, 56), dtype=np.uint8)
        shifts = np.arange(8 - bits, -1, -bits)
        packed = (samples.reshape(40, -1, 8 // bits) << shifts).sum(2).astype(np.uint8)
        grey = np.repeat((samples * (255 // (2**bits - 1)))[..., None], 3, 2)
        cases[f'grey{bits}.png'] = png(56, 40, bits, 0, unfiltered(packed)), grey, 0
    return cases


def png(width, height, bits, colour, rows, interlaced=0):
    """A PNG of these rows, each after its filter's byte."""
    header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, interlaced)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def with_chunk(whole, kind, data):
    """A PNG with one more chunk, right after its header."""
    return whole[:33] + chunk(kind, data) + whole[33:]


def unfiltered(rows):
    """uint8 (H, ...) -> bytes, each row after a 0."""
    return b''.join(b'\0' + row.tobytes() for row in rows)


def adam7(pixels):
    """The seven passes of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return b''.join(unfiltered(pixels[top::down, left::right]) for top, left, down, right in passes)


def tiffs(rgb, bgr):
    bilevel, rgba = rgb.convert('1'), rgb.copy()
    rgba.putalpha(rgb.convert('L'))
    turned = as_bgr(ImageOps.exif_transpose(with_orientation(rgb, 6)))
    deep = np.random.default_rng(7).integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    high = (deep >> 8).astype(np.uint8)
    grey = np.repeat(high[..., :1], 3, 2)
    planes = np.moveaxis(deep, 2, 0)
    ycbcr = np.asarray(rgb.convert('YCbCr'))
    four = np.random.default_rng(8).integers(0, 16, (20, 30), dtype=np.uint8)
    return {
        'deep_planes.tif': (tifffile_bytes(planes[:3], 'rgb', 'separate'), high[..., 2::-1], 0),
        'deep_planes_alpha.tif': (tifffile_bytes(planes, 'rgb', 'separate', byteorder='>'), high[..., 2::-1], 0),
        'deep_planes_deflate.tif': (
            tifffile_bytes(planes[:3], 'rgb', 'separate', compression='zlib', rowsperstrip=8),
            high[..., 2::-1],
            0,
        ),
        'deep_white_is_zero.tif': (tifffile_bytes(deep[..., 0], 'miniswhite'), 255 - grey, 0),
        'ycbcr.tif': (tifffile_bytes(ycbcr, 'ycbcr', 'contig', subsampling=(1, 1)), bgr, 4),
        'lzma.tif': (save(rgb, 'TIFF', compression='lzma'), bgr, 0),
        'cmyk_jpeg.tif': (save(rgb.convert('CMYK'), 'TIFF', compression='jpeg', quality=98), bgr, 8),
        'old_jpeg.tif': (old_jpeg_tiff(rgb), bgr, 30),
        'five_samples.tif': (
            tifffile_bytes(np.dstack([deep, deep[..., 0]]).astype(np.uint8), 'rgb', 'contig'),
            *(
                deep.astype(np.uint8)[..., 2::-1],
                0,
            ),
        ),
        'four_bits.tif': (
            grey_tiff((four[:, ::2] << 4 | four[:, 1::2]).tobytes(), 30, 20, 4),
            np.repeat(four[..., None] * 17, 3, 2),
            0,
        ),
        'grey.tif': (save(rgb.convert('L'), 'TIFF'), as_bgr(rgb.convert('L')), 0),
        'fax.tif': (save(bilevel, 'TIFF', compression='group4'), as_bgr(bilevel), 0),
        'palette.tif': (save(rgb.quantize(), 'TIFF'), as_bgr(rgb.quantize()), 0),
        'deflate.tif': (save(rgb, 'TIFF', compression='tiff_adobe_deflate'), bgr, 0),
        'packbits.tif': (save(rgb, 'TIFF', compression='packbits'), bgr, 0),
        'jpeg.tif': (save(rgb, 'TIFF', compression='jpeg', quality=98), bgr, 25),
        'cmyk.tif': (save(rgb.convert('CMYK'), 'TIFF'), bgr, 2),
        'pages.tif': (save(rgb, 'TIFF', save_all=True, append_images=[rgb.rotate(180), rgb.resize((9, 9))]), bgr, 0),
        'rgba_exif6.tif': (save(rgba, 'TIFF', exif=exif_of(6)), turned, 0),
        'tiled.tif': (tiled_tiff(bgr[..., ::-1]), bgr, 0),
        'big_endian.tif': (tiled_tiff(bgr[..., ::-1], '>'), bgr, 0),
        'trailing.tif': (save(rgb, 'TIFF') + b'junk' * 999, bgr, 0),
    }


def tiled_tiff(pixels, order='<', side=32):
    """uint8 (H, W, 3) RGB as a TIFF of tiles, by hand."""
    height, width = pixels.shape[:2]
    padded = np.zeros((-height // side * -side, -width // side * -side, 3), np.uint8)
    padded[:height, :width] = pixels
    starts = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    tiles = [padded[top : top + side, left : left + side].tobytes() for top, left in starts]
    count, tags = len(tiles), 11
    after = 8 + 2 + 12 * tags + 4  # bits a sample, offsets, lengths, tiles
    offsets, lengths, first = after + 6, after + 6 + 4 * count, after + 6 + 8 * count
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, after), (259, 4, 1, 1), (262, 4, 1, 2)]
    fields += [(277, 4, 1, 3), (284, 4, 1, 1), (322, 4, 1, side), (323, 4, 1, side)]
    fields += [(324, 4, count, offsets), (325, 4, count, lengths)]
    head = (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HIH', 42, 8, tags)
    head += b''.join(struct.pack(f'{order}HHII', *field) for field in fields) + bytes(4)
    where = [first + index * len(tiles[0]) for index in range(count)]
    return (
        head + struct.pack(f'{order}3H{2 * count}I', 8, 8, 8, *where, *[len(tile) for tile in tiles]) + b''.join(tiles)
    )


def tifffile_bytes(pixels, photometric, planar=None, **options):
    """A TIFF by tifffile, which writes layouts that Pillow does not."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric=photometric, planarconfig=planar, metadata=None, **options)
    return buffer.getvalue()


def grey_tiff(samples, width, height, bits, order='<'):
    """A TIFF of one uncompressed strip of packed grey samples."""
    fields = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1)]
    fields += [(278, 4, height), (279, 4, len(samples))]
    return tiff(fields, samples, order)


def old_jpeg_tiff(rgb):
    """A TIFF of compression 6, which holds a whole JPEG file."""
    jpeg = save(rgb, 'JPEG', quality=98)
    width, height = rgb.size
    fields = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 6), (262, 3, 6), (273, 4, 146), (277, 3, 3)]
    fields += [(278, 4, height), (279, 4, len(jpeg)), (513, 4, 146), (514, 4, len(jpeg))]
    return tiff(fields, jpeg, '<')


def tiff(fields, data, order):
    """A TIFF of fields (tag, type 3 or 4, one value), and then data, at 14 + 12 * len(fields)."""
    head = (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HIH', 42, 8, len(fields))
    for tag, kind, value in fields:
        head += struct.pack(f'{order}HHI', tag, kind, 1) + struct.pack(
            f'{order}HH' if kind == 3 else f'{order}I', *((value, 0) if kind == 3 else (value,))
        )
    return head + bytes(4) + data


def others(rgb, bgr):
    turned = rgb.rotate(180)
    indexed = rgb.quantize()
    bmp = bytearray(save(rgb, 'BMP'))
    bmp[22:26] = struct.pack('<i', -rgb.height)  # from the top down
    bmp[54:] = ImageOps.flip(rgb).tobytes('raw', 'BGR', -(-rgb.width * 3 // 4) * 4, -1)
    cases = {
        'top_down.bmp': (bytes(bmp), bgr, 0),
        'one_bit.bmp': (save(rgb.convert('1'), 'BMP'), as_bgr(rgb.convert('1')), 0),
        'four_bits.bmp': (four_bit_bmp(rgb.quantize(16)), as_bgr(rgb.quantize(16)), 0),
        'palette.bmp': (save(indexed, 'BMP'), as_bgr(indexed), 0),
        'grey.bmp': (save(rgb.convert('L'), 'BMP'), as_bgr(rgb.convert('L')), 0),
        'rgba.bmp': (save(rgb.convert('RGBA'), 'BMP'), bgr, 0),
        'trailing.bmp': (save(rgb, 'BMP') + b'junk' * 999, bgr, 0),
        'lossy.webp': (save(rgb, 'WEBP', quality=100), bgr, 40),
        'animated.webp': (save(rgb, 'WEBP', save_all=True, append_images=[turned], lossless=True), bgr, 0),
        'bad_exif.webp': (save(rgb, 'WEBP', lossless=True, exif=b'Exif\0\0MM\0*\xff\xff\xff\xff'), bgr, 0),
        'no_exif.webp': (save(rgb, 'WEBP', lossless=True, exif=b'rubbish'), bgr, 0),
        'trailing.webp': (save(rgb, 'WEBP', lossless=True) + b'junk' * 999, bgr, 0),
        'a_gif.png': (save(indexed, 'GIF'), as_bgr(indexed), 0),
        'animated_gif.jpg': (
            save(indexed, 'GIF', save_all=True, append_images=[turned.quantize()]),
            as_bgr(indexed),
            0,
        ),
        'a_ppm.png': (save(rgb, 'PPM'), bgr, 0),
        'a_gif.gif': (save(indexed, 'GIF'), as_bgr(indexed), 0),
        'a_jpeg2000.jpg': (save(rgb, 'JPEG2000'), bgr, 0),
    }
    deep = np.random.default_rng(9).integers(0, 65536, (40, 56), dtype=np.uint16)
    high = np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, 2)
    cases['deep_jpeg2000.jpg'] = save(Image.fromarray(deep), 'JPEG2000'), high, 0
    cases['deep_pgm.png'] = b'P5 56 40 65535\n' + deep.astype('>u2').tobytes(), high, 0
    masks = {'555': (0x7C00, 0x3E0, 0x1F), '565': (0xF800, 0x7E0, 0x1F)}
    for name, three in masks.items():
        cases[f'{name}.bmp'] = masked_bmp(deep, three)
    cases['header52.bmp'] = masked_bmp(deep.astype(np.uint32) * 65521, (0xFF000000, 0xFF0000, 0xFF00), header=52)
    if features.check('avif'):
        for orientation in range(1, 9):
            upright = ImageOps.exif_transpose(with_orientation(rgb, orientation))
            data = save(rgb, 'AVIF', quality=100, subsampling='4:4:4', exif=exif_of(orientation))
            cases[f'exif{orientation}.avif'] = data, as_bgr(upright), 12
        cases['an_avif.jpg'] = save(rgb, 'AVIF', quality=100, subsampling='4:4:4'), bgr, 12
    return cases


def masked_bmp(samples, masks, header=40):
    """(bytes, pixels, tolerance) of a BMP whose channels lie where the masks of red, green and blue say."""
    height, width = samples.shape
    channels = []
    for mask in masks:
        lowest = mask & -mask
        channels.append(np.rint((samples & mask) // lowest * (255 / (mask // lowest))))
    rows = samples[::-1].tobytes()
    data = struct.pack('<2sIHHI', b'BM', 14 + 52 + len(rows), 0, 0, 14 + 52)
    data += struct.pack('<IiiHHIIiiII', header, width, height, 1, 8 * samples.itemsize, 3, len(rows), 0, 0, 0, 0)
    return data + struct.pack('<3I', *masks) + rows, np.dstack(channels[::-1]).astype(np.uint8), 1


def four_bit_bmp(indexed):
    """An image of 16 colours, its width a multiple of 8."""
    width, height = indexed.size
    samples = np.asarray(indexed)[::-1]
    rows = (samples[:, ::2] << 4 | samples[:, 1::2]).tobytes()
    colours = np.zeros((16, 4), np.uint8)
    given = np.array(indexed.getpalette()[:48]).reshape(-1, 3)[:, ::-1]
    colours[: len(given), :3] = given
    start = 54 + 64
    header = struct.pack('<2sIHHI', b'BM', start + len(rows), 0, 0, start)
    header += struct.pack('<IiiHHIIiiII', 40, width, height, 1, 4, 0, len(rows), 0, 0, 16, 0)
    return header + colours.tobytes() + rows


def as_bgr(image):
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def with_orientation(image, orientation):
    image = image.copy()
    image.getexif()[0x0112] = orientation
    return image


def broken():
    """name -> bytes of a file that is not an image, or not a whole one."""
    rgb = to_pillow(photo())
    cases = {
        'empty.jpg': b'',
        'text.jpg': b'this is no picture\n' * 20,
        'page.png': b'<!DOCTYPE html><html><body>404 Not Found</body></html>',
        'magic_only.png': b'\x89PNG\r\n\x1a\n',
        'magic_only.webp': b'RIFF\x24\0\0\0WEBPVP8L',
        'magic_only.tif': b'II*\0\x08\0\0\0',
    }
    for suffix, whole in encoded(rgb).items():
        cases |= {f'cut{tenth}.{suffix}': whole[: len(whole) * tenth // 10] for tenth in range(1, 10)}
    named = {name: data for name, (data, _) in not_images().items()}
    return cases | bombs() | wrong(rgb) | named


def not_images():
    """name -> (bytes of a file that is not an image or is not supported, what the error says it is)."""
    small = np.zeros((4, 5), np.uint8)
    bands = tifffile_bytes(np.zeros((3, 4, 5), np.uint8), 'minisblack', 'separate')
    return {
        'video.jpg': (b'\0\0\0\x18ftypmp42\0\0\0\0' + bytes(500), 'is a video'),
        'quicktime.jpg': (b'\0\0\0\x14ftypqt  \0\0\0\0' + bytes(500), 'is a video'),
        'matroska.jpg': (b'\x1a\x45\xdf\xa3' + bytes(500), 'is a video'),
        'avi.jpg': (b'RIFF\0\0\0\0AVI LIST' + bytes(500), 'is a video'),
        'zip.jpg': (b'PK\3\4' + bytes(500), 'is an archive'),
        'pdf.jpg': (b'%PDF-1.7\n' + bytes(500), 'is a PDF document'),
        'page.jpg': (b'<html><body>403 Forbidden</body></html>', 'is a web page'),
        'vector.png': (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 'is an SVG'),
        'jxl.jpg': (b'\xff\x0a' + bytes(500), 'is a JPEG XL image'),
        'float.tif': (tifffile_bytes(small.astype(np.float32), 'minisblack'), 'is a TIFF of 1 x 32-bit floating-point'),
        'int8.tif': (tifffile_bytes(small.astype(np.int8), 'minisblack'), 'is a TIFF of 1 x 8-bit signed'),
        'bands.tif': (bands, 'is a TIFF of 3 x 8-bit samples'),
    }


def encoded(rgb):
    """suffix -> the picture in that format."""
    kinds = {'jpg': 'JPEG', 'png': 'PNG', 'bmp': 'BMP', 'webp': 'WEBP', 'tif': 'TIFF', 'gif': 'GIF', 'jp2': 'JPEG2000'}
    kinds |= {'avif': 'AVIF'} if features.check('avif') else {}
    whole = {suffix: save(rgb, kind) for suffix, kind in kinds.items()}
    return whole | {
        'progressive.jpg': save(rgb, 'JPEG', progressive=True),
        'lzw.tif': save(rgb, 'TIFF', compression='tiff_lzw'),
    }


def wrong(rgb):
    """name -> bytes of a file that begins like an image."""
    whole = save(rgb, 'PNG')
    jpeg = save(rgb, 'JPEG', progressive=True)
    scan = jpeg[jpeg.rindex(b'\xff\xda') : -2]
    return {
        'zeros.png': bytes(1000),
        'json.webp': b'{"error": "not found"}',
        'heic.jpg': b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(500),
        'hole.jpg': save(rgb, 'JPEG')[:1000] + bytes(99999),  # a download that was given its space, but not its bytes
        'flipped_bit.png': whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        'damaged_strip.tif': damaged_strip(save(rgb, 'TIFF', compression='tiff_adobe_deflate', strip_size=1000)),
        'many_scans.jpg': jpeg[:-2] + scan * 600 + jpeg[-2:],
    }


def damaged_strip(data):
    """A compressed TIFF with zeros in the second half of its third strip."""
    with Image.open(io.BytesIO(data)) as image:
        start, length = image.tag_v2[273][2], image.tag_v2[279][2]
    return data[: start + length // 2] + bytes(length - length // 2) + data[start + length :]


def bombs(side=60000):
    """name -> a few bytes that promise a picture of 3.6 thousand million pixels (a WebP: 268 million)."""
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, 100)]
    ifd = struct.pack('<H', len(tags)) + b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
    frame = struct.pack('<HHHHB', 0, 0, side, side, 0)
    lossless = b'VP8L' + struct.pack('<IB', 10, 0x2F) + struct.pack('<I', 16383 << 14 | 16383) + bytes(5)
    jpeg = save(to_pillow(photo()), 'JPEG')
    size = jpeg.index(b'\xff\xc0') + 5
    return {
        'bomb.png': png(side, side, 8, 2, b'\0' * 1000),
        'bomb.jpg': jpeg[:size] + struct.pack('>HH', side, side) + jpeg[size + 4 :],
        'bomb.bmp': struct.pack('<2sIHHIIiiHHIIIIII', b'BM', 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        'bomb.tif': b'II*\0' + struct.pack('<I', 8) + ifd + bytes(4),
        'bomb.webp': b'RIFF' + struct.pack('<I', len(lossless) + 4) + b'WEBP' + lossless,
        'bomb_gif.png': b'GIF89a' + struct.pack('<HHBBB', side, side, 0, 0, 0) + b',' + frame + b'\x02\x01\0\0;',
    }
