"""Preprocesses images with PIL as the evaluation protocol does: torchvision's Resize(256, bicubic) and CenterCrop(224).

    python3 scripts/compare/pil_resize.py [--resize 256] [--crop 224] OUT IMAGE...

Appends the pixels of each image, uint8 [crop, crop, 3], to OUT. EXIF orientation is applied (ImageOps.exif_transpose).
Other colour models are converted to RGB by Image.convert (PIL ignores ICC profiles). With --variants DIR, it writes a
greyscale, a CMYK and an EXIF-rotated JPEG of the first image to DIR and processes them after the given images.
Needs Pillow (Debian: python3-pil).
"""

import argparse
import os

from PIL import Image, ImageOps


def variants(path, folder):
    """Writes a greyscale, a CMYK and an EXIF-rotated JPEG of an image to `folder` and returns their paths."""
    os.makedirs(folder, exist_ok=True)
    image = Image.open(path).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [
        (image.convert("L"), "greyscale.jpg", {}),
        (image.convert("CMYK"), "cmyk.jpg", {}),
        (image, "rotated.jpg", {"exif": exif}),
    ]
    for picture, name, options in made:
        picture.save(os.path.join(folder, name), quality=95, **options)
    return [os.path.join(folder, name) for _, name, _ in made]


def prepare(image, resize, crop):
    """Resizes the shortest side to `resize` (the other to int(resize * long / short)), then crops the central square."""
    width, height = image.size
    if width <= height:
        size = (resize, int(resize * height / width))
    else:
        size = (int(resize * width / height), resize)
    image = image.resize(size, Image.BICUBIC)
    left, top = int(round((size[0] - crop) / 2)), int(round((size[1] - crop) / 2))
    return image.crop((left, top, left + crop, top + crop))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--variants")
    parser.add_argument("out")
    parser.add_argument("images", nargs="+")
    options = parser.parse_args()
    images = list(options.images)
    if options.variants:
        images += variants(images[0], options.variants)
    with open(options.out, "wb") as out:
        for path in images:
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            out.write(prepare(image, options.resize, options.crop).tobytes())


main()
