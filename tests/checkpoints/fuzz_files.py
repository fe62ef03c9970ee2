"""Damages small real checkpoints at random and restores them, until the time is up.

python tests/checkpoints/fuzz_files.py --seconds 60 --seed 0 FOLDER

Whatever the damage, restoring ends in one line that says so, or in a model that holds what the file
says; it never ends the process, and never leaves a model in part. A case that does otherwise stays
in FOLDER/case, and its seed is printed.
"""

import argparse
import collections
import random
import resource
import shutil
import sys
import tarfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from shimzoo import checkpoints
from shimzoo.tests.checkpoints import formula_checkpoint

tf1 = tf.compat.v1

MOST_SECONDS = 5.0
MOST_BYTES = 1 << 30
# What a flipped bit can't get through: these formats have checksums.
CHECKED = ("tf1", "tf1-v1", "tf2", "tf2-objects", "keras", "archive")


def make_model() -> keras.Model:
    layers = [keras.layers.Dense(5, name="one"), keras.layers.Dense(3, name="two")]
    return keras.Sequential([keras.Input([4]), *layers], name="net")


def fill(model: keras.Model, seed: int) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(numbers.standard_normal(weight.shape))
    return {checkpoints.tf1_name(weight): weight.numpy() for weight in model.weights}


def write_originals(folder: Path, model: keras.Model) -> dict[str, tuple[Path, Path]]:
    """Kind -> a folder of its own with a checkpoint of the model, and the path to restore."""
    values = fill(model, 1)
    names = {"h5": "model.weights.h5", "keras": "model.keras", "safetensors": "model.safetensors"}
    found = {}
    for format in checkpoints.FORMATS:
        path = folder / format / names.get(format, "model")
        checkpoints.save(model, path, format)
        found[format] = (path.parent, path)
    path = folder / "tf2-objects" / "model"
    path.parent.mkdir()
    tf.train.Checkpoint(model=model).write(str(path))
    found["tf2-objects"] = (path.parent, path)
    path = folder / "tf1-v1" / "model.ckpt"
    path.parent.mkdir()
    formula_checkpoint.write(path, values, version=1)
    found["tf1-v1"] = (path.parent, path)
    path = folder / "archive" / "model.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted((folder / "tf1").iterdir()):
            archive.add(file, file.name)
    found["archive"] = (path.parent, path)
    path = folder / "graph" / "frozen.pb"
    path.parent.mkdir()
    path.write_bytes(frozen(values))
    found["graph"] = (path.parent, path)
    return found


def frozen(values: dict[str, np.ndarray]) -> bytes:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        variables = [tf1.get_variable(name, initializer=value) for name, value in values.items()]
        tf.add_n([tf.reduce_sum(variable) for variable in variables], name="outputs")
        session.run(tf1.global_variables_initializer())
        definition = tf1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["outputs"]
        )
        return definition.SerializeToString()


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The content with one to four damages of random kinds."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        place, length = dice.randrange(len(data)), dice.choice((1, 4, 8, 64, 1000))
        kind = dice.randrange(6)
        if kind == 0:
            data[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[place : place + length] = dice.randbytes(length)
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[:length]
        else:
            data[place : place + length] = dice.choice((b"\0", b"\xff", b"\x7f")) * length
    return bytes(data)


def try_case(kind: str, path: Path, model: keras.Model, original: dict[str, np.ndarray]) -> str:
    """Restores and inspects a damaged checkpoint; returns how it ended.

    Raises:
        AssertionError: It ended as it must not.
    """
    before = fill(model, 2)
    start = time.monotonic()
    refusal = None
    try:
        checkpoints.restore(model, path)
    except (ValueError, OSError) as error:
        refusal = str(error)
    took = time.monotonic() - start
    assert took < MOST_SECONDS, f"took {took:.1f} s"
    if refusal is not None:
        assert "\n" not in refusal, f"more than one line: {refusal}"
        assert_holds(model, before)
        return "refused"
    if kind in CHECKED:
        assert_holds(model, original)
    return "restored"


def assert_holds(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    for weight in model.weights:
        name = checkpoints.tf1_name(weight)
        np.testing.assert_array_equal(weight.numpy(), values[name], name)


def run_case(
    seed: int,
    folder: Path,
    originals: dict[str, tuple[Path, Path]],
    model: keras.Model,
    values: dict[str, np.ndarray],
) -> tuple[str, str]:
    dice = random.Random(seed)
    kind = dice.choice(sorted(originals))
    source, path = originals[kind]
    case = folder / "case"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(source, case)
    victim = dice.choice(sorted(case.iterdir()))
    victim.write_bytes(damaged(victim.read_bytes(), dice))
    return kind, try_case(kind, case / path.name, model, values)


def memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = make_model()
    originals = write_originals(arguments.folder / "originals", model)
    values = fill(model, 1)
    for _, path in originals.values():
        checkpoints.restore(model, path)
    beside = sorted(arguments.folder.iterdir())
    outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
    memory, end, seed = memory_bytes(), time.monotonic() + arguments.seconds, arguments.seed
    while time.monotonic() < end:
        print(f"seed {seed}", end="\r", flush=True)
        outcomes[run_case(seed, arguments.folder, originals, model, values)] += 1
        assert memory_bytes() - memory < MOST_BYTES, f"seed {seed} took too much memory"
        seed += 1
    assert sorted(arguments.folder.iterdir()) == sorted({*beside, arguments.folder / "case"})
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:<12} {outcome:<9} {count}")
    print(f"{seed - arguments.seed} cases")


if __name__ == "__main__":
    sys.exit(main())
