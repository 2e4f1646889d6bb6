"""Writes test/fixtures/pixels: small pictures of many kinds, and the 8-bit RGB that Pillow and LittleCMS make of them.

Run from the repository root: python reference/pixels.py. Needs Pillow 13, numpy, tifffile, imagecodecs and avifenc.
A picture without pixels in reference.json must be refused; "refused" holds a word of the refusal.
"""

import io
import json
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps

OUT = Path(__file__).parent.parent / "test/fixtures/pixels"
SIZE = 24
D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
SRGB = ImageCms.createProfile("sRGB")

reference: dict[str, dict] = {}


def save(name: str, data: bytes, rgb, tolerance: int = 2) -> None:
    (OUT / name).write_bytes(data)
    pixels = np.rint(np.asarray(rgb)).astype(int).clip(0, 255)
    reference[name] = {"tolerance": tolerance, "rgb": pixels.flatten().tolist()}


def refuse(name: str, data: bytes, word: str) -> None:
    (OUT / name).write_bytes(data)
    reference[name] = {"refused": word}


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def matrix_profile(primaries, white, gamma: float | None) -> bytes:
    """An ICC profile, version 4, with three primaries; gamma None means sRGB's curve."""
    xyz = lambda x, y: np.array([x / y, 1, (1 - x - y) / y])
    matrix = np.stack([xyz(*p) for p in primaries], 1)
    matrix = matrix * np.linalg.solve(matrix, xyz(*white))
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = np.diag((bradford @ D50) / (bradford @ xyz(*white)))
    matrix = np.linalg.inv(bradford) @ scale @ bradford @ matrix
    tag = lambda v: b"XYZ \0\0\0\0" + b"".join(fixed(x) for x in v)
    if gamma is None:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(fixed, numbers))
    else:
        curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = [(name, tag(matrix[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    return profile(b"RGB ", tags + [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")])


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", [(b"kTRC", b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0")])


def profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = b"mluc\0\0\0\0" + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", 2, 28) + "p".encode("utf-16-be")
    text += b"\0" * (-len(text) % 4)
    white = b"XYZ \0\0\0\0" + b"".join(map(fixed, D50))
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", white), *tags]
    offset = 132 + 12 * len(tags)
    table, body = b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4s4s4s4s4s", offset + len(body), b"lcms", b"\x04\x30\0\0", b"mntr", space, b"XYZ ")
    head += b"\x07\xe6\0\x01\0\x01\0\0\0\0\0\0acsp" + b"\0" * 28 + b"".join(map(fixed, D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


PROFILES = {
    "srgb": ImageCms.ImageCmsProfile(SRGB).tobytes(),
    "display-p3": matrix_profile([(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)], D65, None),
    "adobe-rgb": matrix_profile([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], D65, 2.19921875),
    "prophoto": matrix_profile([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], (0.3457, 0.3585), 1.8),
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray, profile: bytes | None) -> bytes:
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    colour = b"" if profile is None else chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colour + data


def tiff(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def deep_colour(rgb: np.ndarray) -> None:
    wide = rgb.astype(np.uint16) * 257
    for name, profile in PROFILES.items():
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = ImageCms.profileToProfile(Image.fromarray(rgb), source, SRGB, renderingIntent=0)
        save(f"8-bit-{name}.png", encoded(Image.fromarray(rgb), "PNG", icc_profile=profile), expected)
        save(f"16-bit-{name}.png", png16(wide, profile), expected)
        save(f"16-bit-{name}.tif", tiff(wide, photometric="rgb", iccprofile=profile), expected)
    save("16-bit.png", png16(wide, None), rgb)
    alpha = np.full((SIZE, SIZE, 1), 32768, np.uint16)
    save("16-bit-srgb-alpha.png", png16(np.concatenate([wide, alpha], 2), PROFILES["srgb"]), (rgb + 255.0) / 2)


def deep_grey(rgb: np.ndarray) -> None:
    grey = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
    wide = grey.astype(np.uint16) * 257
    for name, gamma in (("linear", 1.0), ("gamma-1.8", 1.8)):
        icc = grey_profile(gamma)
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        image = Image.fromarray(grey)
        expected = ImageCms.profileToProfile(image, source, SRGB, renderingIntent=0, outputMode="RGB")
        save(f"8-bit-grey-{name}.png", encoded(image, "PNG", icc_profile=icc), expected)
        save(f"16-bit-grey-{name}.png", png16(wide[..., None], icc), expected)
        save(f"16-bit-grey-{name}.tif", tiff(wide, photometric="minisblack", iccprofile=icc), expected)
    alpha = np.full((SIZE, SIZE), 32768, np.uint16)
    save(f"16-bit-grey-{name}-alpha.png", png16(np.dstack([wide, alpha]), icc), (np.asarray(expected) + 255.0) / 2)
    options = dict(photometric="minisblack", planarconfig="contig", iccprofile=icc)
    turned = tiff(np.rot90(wide), extratags=[(274, 3, 1, 6, True)], **options)
    save(f"16-bit-grey-{name}-turned.tif", turned, expected)
    two_ignored = tiff(np.dstack([wide, alpha, wide]), extrasamples=["unspecified"] * 2, **options)
    save(f"16-bit-grey-{name}-two-ignored.tif", two_ignored, expected)


def extra_samples(rgb: np.ndarray) -> None:
    x = np.tile(np.linspace(0, 255, SIZE).astype(np.uint8), (SIZE, 1))
    share = x[..., None] / 255.0
    on_white = rgb * share + 255 * (1 - share)
    grey = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
    grey_rgb = np.stack([grey] * 3, 2)
    ignored, alpha = "unspecified", "unassalpha"
    for name, values, expected, kinds in (
        ("one-ignored", [x], rgb, [ignored]),
        ("two-ignored", [x, 255 - x], rgb, [ignored] * 2),
        ("five-ignored", [x, 255 - x, x, x, x], rgb, [ignored] * 5),
        ("alpha", [x], on_white, [alpha]),
        ("alpha-then-ignored", [x, 255 - x], on_white, [alpha, ignored]),
        ("ignored-then-alpha", [255 - x, x], on_white, [ignored, alpha]),
    ):
        save(f"{name}.tif", tiff(np.dstack([rgb, *values]), photometric="rgb", extrasamples=kinds), expected)
    deep = np.dstack([rgb, x]).astype(np.uint16) * 257
    save("one-ignored-16-bit.tif", tiff(deep, photometric="rgb", extrasamples=[ignored]), rgb)
    planes = np.ascontiguousarray(np.moveaxis(np.dstack([rgb, x]), 2, 0))
    save(
        "one-ignored-planar.tif",
        tiff(planes, photometric="rgb", planarconfig="separate", extrasamples=[ignored]),
        rgb,
    )
    premultiplied = np.rint(rgb * share).astype(np.uint8)
    save(
        "associated-alpha.tif",
        tiff(np.dstack([premultiplied, x]), photometric="rgb", extrasamples=["assocalpha"]),
        premultiplied + 255 * (1 - share),
    )
    grey_options = dict(photometric="minisblack", planarconfig="contig")
    save("grey-ignored.tif", tiff(np.dstack([grey, x]), extrasamples=[ignored], **grey_options), grey_rgb)
    save(
        "grey-alpha.tif",
        tiff(np.dstack([grey, x]), extrasamples=[alpha], **grey_options),
        grey_rgb * share + 255 * (1 - share),
    )
    # Without a profile, inks mean what browsers and Pillow take them for.
    photo = Image.fromarray(rgb).convert("CMYK")
    inks = np.asarray(photo)
    in_rgb = np.asarray(photo.convert("RGB"))
    save("cmyk.tif", tiff(inks, photometric="separated"), in_rgb)
    inks_alpha = tiff(np.dstack([inks, x]), photometric="separated", extrasamples=[alpha])
    save("cmyk-alpha.tif", inks_alpha, in_rgb * share + 255 * (1 - share))
    for name, icc in (("cmyk", None), ("cmyk-srgb-profile", PROFILES["srgb"])):
        data = encoded(photo, "JPEG", quality=90, icc_profile=icc)
        save(f"{name}.jpg", data, pillow(data))
    (OUT / "16-bit-cmyk.tif").write_bytes(tiff(inks.astype(np.uint16) * 257, photometric="separated"))
    reference["16-bit-cmyk.tif"] = {"same": "cmyk.tif"}
    for name, values in (("one", [x]), ("three", [x, 255 - x, x])):
        data = tiff(np.dstack([inks, *values]), photometric="separated", extrasamples=[ignored] * len(values))
        (OUT / f"cmyk-{name}-ignored.tif").write_bytes(data)
        reference[f"cmyk-{name}-ignored.tif"] = {"same": "cmyk.tif"}


def tiff_kinds(rgb: np.ndarray) -> None:
    grey = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
    grey_rgb = np.stack([grey] * 3, 2)
    save("white-is-zero.tif", tiff(255 - grey, photometric="miniswhite"), grey_rgb)
    save("two-pages.tif", tiff(np.stack([rgb, 255 - rgb]), photometric="rgb"), rgb)
    save("big-endian.tif", tiff(rgb, photometric="rgb", byteorder=">"), rgb)
    save("bigtiff.tif", tiff(rgb, photometric="rgb", bigtiff=True), rgb)
    plain = bytearray(encoded(Image.fromarray(rgb), "TIFF", tiffinfo={274: 0}))
    save("orientation-0.tif", bytes(plain), rgb)
    struct.pack_into("<H", plain, plain.index(struct.pack("<HHI", 284, 3, 1)) + 8, 0)
    save("planes-0.tif", bytes(plain), rgb)
    jpeg = tiff(rgb, photometric="ycbcr", compression="jpeg", compressionargs={"level": 95})
    save("ycbcr-jpeg.tif", jpeg, pillow(jpeg))
    refuse("32-bit.tif", tiff(rgb.astype(np.uint32) * 16843009, photometric="rgb"), "32 bits a sample")
    refuse("signed.tif", tiff(rgb.astype(np.int16) * 128, photometric="rgb"), "signed integers")
    refuse("float.tif", tiff((rgb / 255).astype(np.float32), photometric="rgb"), "floating point")
    refuse("half-float.tif", tiff((rgb / 255).astype(np.float16), photometric="rgb"), "floating point")
    refuse("ycbcr.tif", encoded(Image.fromarray(rgb).convert("YCbCr"), "TIFF"), "YCbCr")
    lab = ImageCms.profileToProfile(Image.fromarray(rgb), SRGB, ImageCms.createProfile("LAB"), outputMode="LAB")
    refuse("cielab.tif", encoded(lab, "TIFF"), "CIELAB")
    for method, word in (("zstd", "Zstandard"), ("lzma", "LZMA"), ("jpeg2000", "JPEG 2000"), ("jpegxl", "JPEG XL")):
        refuse(f"{method}.tif", tiff(rgb, photometric="rgb", compression=method), word)
    refuse("dng.tif", tiff(rgb, photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", False)]), "Camera raw")


def jpeg_ends(photo: Image.Image) -> None:
    for name, options in (
        ("baseline", {}),
        ("progressive", {"progressive": True}),
        ("444", {"subsampling": 0}),
        ("restarts", {"restart_marker_blocks": 1}),
    ):
        data = encoded(photo, "JPEG", quality=90, **options)
        expected = pillow(data)
        first_end = 4 + struct.unpack(">H", data[4:6])[0]
        save(f"{name}-without-end.jpg", data[:-2], expected)
        save(f"{name}-stray-bytes.jpg", data[:first_end] + b"\x12\x34\0" + data[first_end:], expected)
        save(f"{name}-stray-bytes-before-end.jpg", data[:-2] + b"\0\x11" + data[-2:], expected)
        refuse(f"{name}-cut-short.jpg", data[:-60], "")
    # What is left by a broken download into a file allocated at full length, and by an erased memory card.
    for name, options, rest in (("restarts-zeros", {"restart_marker_blocks": 1}, b"\0"), ("baseline-ones", {}, b"\xff")):
        data = encoded(photo, "JPEG", quality=90, **options)
        kept = (data.index(b"\xff\xda") + len(data)) // 2
        refuse(f"{name}.jpg", data[:kept] + rest * (len(data) - kept), "")
    last_scan = data = encoded(photo, "JPEG", quality=90, progressive=True)
    last_scan = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))
    refuse("progressive-without-last-scan.jpg", data[:last_scan], "")


def orientation_and_sequences(photo: Image.Image) -> None:
    rgb = np.asarray(photo)
    turned = encoded(photo.rotate(90), "PNG")
    exif = chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    end = turned.rfind(b"IEND") - 4
    save("orientation-behind-data.png", turned[:end] + exif + turned[end:], rgb)
    mark = b"Exif\0\0"
    segment = lambda data: b"\xff\xe1" + struct.pack(">H", len(mark + data) + 2) + mark + data
    turned = encoded(photo.rotate(90), "JPEG", quality=95, subsampling=0)
    turned = turned[:2] + segment(b"") + segment(exif[8:-4]) + turned[2:]
    save("orientation-behind-empty-exif.jpg", turned, ImageOps.exif_transpose(Image.open(io.BytesIO(turned))))
    sequence = encoded(
        photo, "AVIF", quality=100, subsampling="4:4:4", save_all=True, append_images=[Image.fromarray(255 - rgb)]
    )
    expected = pillow(sequence)
    for brand in ("avis", "miaf", "MA1B"):
        save(f"sequence-{brand}.avif", sequence[:8] + brand.encode() + sequence[12:], expected)


def avif_kinds(photo: Image.Image) -> None:
    icc = grey_profile(1.0)
    grey = photo.convert("L")
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    expected = ImageCms.profileToProfile(grey, source, SRGB, renderingIntent=0, outputMode="RGB")
    save("grey-linear.avif", encoded(grey, "AVIF", quality=100, subsampling="4:0:0", icc_profile=icc), expected)

    fading = photo.copy()
    fading.putalpha(Image.linear_gradient("L").resize(photo.size))
    on_white = Image.new("RGB", photo.size, "white")
    on_white.paste(fading, mask=fading)
    with tempfile.TemporaryDirectory() as folder:
        fading.save(f"{folder}/in.png")
        options = ["--premultiply", "--yuv", "444", "--min", "0", "--max", "0"]
        subprocess.run(["avifenc", *options, f"{folder}/in.png", f"{folder}/out.avif"], check=True)
        save("premultiplied.avif", Path(f"{folder}/out.avif").read_bytes(), on_white)
        # Version 0.11 turns only the colours.
        subprocess.run(["avifenc", "--irot", "1", f"{folder}/in.png", f"{folder}/out.avif"], check=True)
        refuse("transparency-not-turned.avif", Path(f"{folder}/out.avif").read_bytes(), "transparency is not turned")
        # As ffmpeg converts a grey JPEG.
        limited = ["--yuv", "400", "--range", "limited", "--min", "0", "--max", "0"]
        for name, picture in (("grey-limited", grey), ("grey-limited-alpha", fading.convert("LA"))):
            picture.save(f"{folder}/in.png")
            subprocess.run(["avifenc", *limited, f"{folder}/in.png", f"{folder}/out.avif"], check=True)
            data = Path(f"{folder}/out.avif").read_bytes()
            decoded = Image.open(io.BytesIO(data)).convert("RGBA")
            white = Image.new("RGB", decoded.size, "white")
            white.paste(decoded, mask=decoded)
            save(f"{name}.avif", data, white)
        # avifenc also marks each tile as turned.
        photo.resize((128, 128)).save(f"{folder}/in.png")
        options = ["--grid", "2x1", "--irot", "1", "--yuv", "444", "--min", "30", "--max", "40"]
        subprocess.run(["avifenc", *options, f"{folder}/in.png", f"{folder}/out.avif"], check=True)
        data = Path(f"{folder}/out.avif").read_bytes()
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        save("tiles-turned.avif", data, upright.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[274] = 6
    turned = encoded(fading.rotate(90), "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    save("transparency-turned.avif", turned, on_white)


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    photo = Image.open(Path(__file__).parent.parent / "examples/astronaut.jpg").convert("RGB").resize((SIZE, SIZE))
    rgb = np.asarray(photo)
    deep_colour(rgb)
    deep_grey(rgb)
    extra_samples(rgb)
    tiff_kinds(rgb)
    jpeg_ends(photo)
    orientation_and_sequences(photo)
    avif_kinds(photo)
    (OUT / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    main()
