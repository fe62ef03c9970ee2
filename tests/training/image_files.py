"""Small datasets on disk, in every format, some of their images damaged."""

import io
import pathlib

import numpy as np
import PIL.Image
import sklearn.datasets
import tensorflow as tf

PHOTOS = pathlib.Path(sklearn.datasets.__file__).parent / "images"
HEADER_BYTES = 12


def photo(name: str) -> bytes:
    """One of scikit-learn's two photographs, a JPEG of 427x640 pixels: "china" or "flower"."""
    return (PHOTOS / f"{name}.jpg").read_bytes()


def pixels(number: int, height: int = 24, width: int = 20) -> np.ndarray:
    """A uint8 image with something to see, another one for each number."""
    y, x = np.mgrid[:height, :width]
    red = 40 + 8 * number % 200 + 0 * y
    return np.stack([red, 255 * y / height, 255 * x / width], axis=-1).astype(np.uint8)


def encoded(number: int, ending: str = "png", **size: int) -> bytes:
    """Such an image in a file's format."""
    encode = {"png": tf.io.encode_png, "jpg": tf.io.encode_jpeg, "webp": lossless_webp}[ending]
    return encode(tf.constant(pixels(number, **size))).numpy()


def lossless_webp(image: tf.Tensor) -> tf.Tensor:
    """A uint8 image as a WebP file, which TensorFlow reads and does not write."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image.numpy()).save(buffer, "WEBP", lossless=True)
    return tf.constant(buffer.getvalue())


def write_folder(folder: pathlib.Path, classes: dict[str, int], ending: str = "png") -> None:
    """A folder of images a class; image i has the pixels of i, counted over all classes."""
    number = 0
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for _ in range(count):
            (folder / name / f"{number:03}.{ending}").write_bytes(encoded(number, ending))
            number += 1


def example(image: bytes, label: int) -> bytes:
    """A record as TF-Slim's converters write it."""
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"png"])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image/height": tf.train.Feature(int64_list=tf.train.Int64List(value=[24])),
        "image/width": tf.train.Feature(int64_list=tf.train.Int64List(value=[20])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_records(path: pathlib.Path, records: list[bytes]) -> list[int]:
    """Writes a TFRecord file; returns where each record begins."""
    begins = []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.flush()
            begins.append(path.stat().st_size)
            writer.write(record)
    return begins


def write_slim(folder: pathlib.Path, counts: dict[str, int], classes: int = 3) -> None:
    """TF-Slim's layout: a file for each name; image i is of class i modulo the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for name, count in counts.items():
        numbers = range(number, number + count)
        records = [example(encoded(i), i % classes) for i in numbers]
        write_records(folder / name, records)
        number += count
    names = "".join(f"{label}:class {label}\n" for label in range(classes))
    (folder / "labels.txt").write_text(names)


def flip_bit(path: pathlib.Path, place: int) -> None:
    """Damages one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
