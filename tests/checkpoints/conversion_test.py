"""Converting and inspecting: any format into any other, whatever the family and the version."""

import contextlib
import dataclasses
import gc
import io
import json
import random
import re
import resource
import tarfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from shimzoo import checkpoints, models
from shimzoo.checkpoints import candidates, conversion, saving, skeletons, tensorflow_writing
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan

NAME = "mobilenet_v1_0.25_128"
SUFFIXES = {"h5": ".weights.h5", "keras": ".keras", "safetensors": ".safetensors"}


def path_in(folder, stem, format):
    return folder / f"{stem}{SUFFIXES.get(format, '')}"


def filled(name, stage, seed, **options):
    """A model with random values of all sizes, infinities and NaN apart."""
    model = models.create(name, stage, **options)
    numbers = np.random.default_rng(seed)
    for weight in model.weights:
        exponents = numbers.integers(-30, 30, weight.shape)
        weight.assign(np.ldexp(numbers.standard_normal(weight.shape), exponents).astype("float32"))
    return model


def filled_with_formula(model):
    """A model with values that give outputs of a usual size."""
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


def bits(model):
    return {checkpoints.tf1_name(w): w.numpy().tobytes() for w in model.weights}


@pytest.mark.parametrize(
    "name",
    ladder_plan.names(ladder_plan.EVERYDAY.__contains__, ladder_plan.EVERYDAY_PROCESSES),
)
@settings(max_examples=2)
@given(data=st.data())
def test_a_round_trip_over_all_formats_and_stages_is_bit_exact(name, tmp_path_factory, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    order = random.Random(seed)
    formats = list(checkpoints.FORMATS)
    order.shuffle(formats)
    stages = [order.choice(models.STAGES) for _ in formats]
    classes = data.draw(st.integers(1, 9))
    folder = tmp_path_factory.mktemp("chain")
    first = filled(name, order.choice(models.STAGES), seed, num_classes=classes)
    path = folder / "start.ckpt"
    checkpoints.save(first, path)
    for number, (format, stage) in enumerate(zip(formats, stages, strict=True)):
        target = path_in(folder, f"step-{number}", format)
        checkpoints.convert(
            path, target, model=name, format=format, to_stage=stage, num_classes=classes
        )
        path = target
    last = models.create(name, order.choice(models.STAGES), num_classes=classes)
    checkpoints.restore(last, path)
    assert bits(last) == bits(first)


def content(path, format):
    """All that a checkpoint holds, as bytes by name, but times and random states."""
    if format in ("tf1", "tf2"):
        reader = tf.train.load_checkpoint(str(path))
        # The graph of a TF2 checkpoint tells the places that are the names here as well.
        names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
        values = {name: np.asarray(reader.get_tensor(name)) for name in names}
        is_random = re.compile(r"random_state|seed_generator")
        return {
            name: b"" if is_random.search(name) else value.tobytes()
            for name, value in values.items()
        }
    if format == "safetensors":
        return {"all of the file": path.read_bytes()}
    found = {}
    with contextlib.ExitStack() as stack:
        weights = path
        if format == "keras":
            archive = stack.enter_context(zipfile.ZipFile(path))
            found = {name: archive.read(name) for name in archive.namelist()}
            del found["metadata.json"]  # Which has the date.
            weights = io.BytesIO(found.pop("model.weights.h5"))
        file = stack.enter_context(h5py.File(weights))

        def note(name, item):
            value = item[()].tobytes() if isinstance(item, h5py.Dataset) else b""
            found[name] = value, sorted((key, str(item.attrs[key])) for key in item.attrs)

        file.visititems(note)
    return found


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("format", checkpoints.FORMATS)
@settings(max_examples=1)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 9))
def test_converting_is_restoring_and_saving(tmp_path_factory, format, stage, seed, classes):
    assert_equal_if_restored_and_saved(tmp_path_factory, format, stage, seed, classes)


@pytest.mark.large
@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("format", checkpoints.FORMATS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 9))
def test_converting_many_is_restoring_and_saving(tmp_path_factory, format, stage, seed, classes):
    assert_equal_if_restored_and_saved(tmp_path_factory, format, stage, seed, classes)


def assert_equal_if_restored_and_saved(tmp_path_factory, format, stage, seed, classes):
    folder = tmp_path_factory.mktemp("equal")
    checkpoints.save(filled(NAME, "native", seed, num_classes=classes), folder / "source.ckpt")
    converted = path_in(folder / "converted", "model", format)
    checkpoints.convert(
        folder / "source.ckpt", converted, model=NAME, format=format, to_stage=stage
    )
    model = models.create(NAME, stage, num_classes=classes)
    checkpoints.restore(model, folder / "source.ckpt")
    saved = path_in(folder / "saved", "model", format)
    checkpoints.save(model, saved, format)
    first, second = content(converted, format), content(saved, format)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    weights = models.create(NAME, "native", num_classes=10).weights
    values = {
        name: goldens.value(name, tuple(weight.shape))
        for weight in weights
        for name in [checkpoints.tf1_name(weight)]
    }
    path = tmp_path_factory.mktemp("tf1") / "model.ckpt"
    return formula_checkpoint.write(path, values | {"global_step": np.int64(1234)})


@pytest.mark.parametrize("format", ["tf1", "keras"])
def test_verified_against_the_source(prefix, tmp_path, format):
    target = path_in(tmp_path, "model", format)
    done = checkpoints.convert(prefix, target, model=NAME, verify=True)
    assert (done.format, done.stage, done.state) == (format, "native", ())
    assert done.difference < 1e-5
    assert str(done).splitlines()[1:] == [
        f"Wrote {target} ({format}, native).",
        "Verified: the outputs are equal."
        if done.difference == 0
        else "Verified: the outputs differ by rounding alone, at most by "
        f"{done.difference:.1g} of the largest one.",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": None},
        {"spatial_squeeze": False},
        {"input_size": 96},
        {"output_stride": 8, "input_size": 64},
        {"dtype": "mixed_bfloat16"},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_verified_with_options(tmp_path, options):
    source = tmp_path / "model.ckpt"
    checkpoints.save(filled_with_formula(models.create(NAME, "shimmed", **options)), source)
    target = tmp_path / "model.keras"
    done = checkpoints.convert(source, target, model=NAME, verify=True, **options)
    assert done.difference < 1e-5


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_what_turns_out_to_differ_is_not_written(prefix, tmp_path, monkeypatch, format):
    target = path_in(tmp_path / "new", "model", format)
    how = {"model": NAME, "format": format, "verify": True, "overwrite": True}
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_SAME", -1.0)
        with pytest.raises(ValueError, match=f"{target} is not written: its outputs differ from "):
            checkpoints.convert(prefix, target, **how)
        assert list(tmp_path.iterdir()) == []
    checkpoints.convert(prefix, target, **how)
    before = {file: file.read_bytes() for file in target.parent.iterdir()}
    monkeypatch.setattr(conversion, "_SAME", -1.0)
    with pytest.raises(ValueError, match="is not written"):
        checkpoints.convert(prefix, target, **how)
    assert {file: file.read_bytes() for file in target.parent.iterdir()} == before


def test_a_keras_file_tells_the_options_of_its_model(tmp_path):
    model = models.create(NAME, "shimmed", num_classes=7, weight_decay=0.5, spatial_squeeze=False)
    checkpoints.save(model, tmp_path / "first.keras")
    checkpoints.convert(tmp_path / "first.keras", tmp_path / "second.keras", model=NAME)
    again = keras.saving.load_model(tmp_path / "second.keras")
    assert again.options == model.options
    # What is said counts, and the model that is said: this one differs in the images' size alone.
    checkpoints.convert(
        tmp_path / "first.keras",
        tmp_path / "third.keras",
        model="mobilenet_v1_0.25_224",
        weight_decay=0.25,
    )
    again = keras.saving.load_model(tmp_path / "third.keras")
    assert again.variant.name == "mobilenet_v1_0.25_224"
    assert again.options == dataclasses.replace(model.options, weight_decay=0.25)
    with pytest.raises(ValueError, match="does not fit"):
        checkpoints.convert(tmp_path / "first.keras", tmp_path / "x.ckpt", model="resnet_v1_50")


def test_averages_alone_tell_the_classes(prefix, tmp_path):
    reader = tf.train.load_checkpoint(str(prefix))
    averages = {
        f"{name}/ExponentialMovingAverage": reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "global_step"
    }
    source = formula_checkpoint.write(tmp_path / "averages.ckpt", averages)
    done = checkpoints.convert(source, tmp_path / "model.safetensors", model=NAME)
    assert done.source.is_averaged
    assert done.source.specs["MobilenetV1/Logits/Conv2d_1c_1x1/biases"].shape == (10,)


def test_a_report_that_can_not_be_written_leaves_the_older_one(prefix, tmp_path):
    report = checkpoints.restore(models.create(NAME, num_classes=10), prefix)
    path = tmp_path / "new" / "report.json"
    report.save(path)
    assert json.loads(path.read_text())["format"] == "tf1"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"{path} could not be written"):
            report.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == {path: before}


def test_how_a_verified_conversion_reads(tmp_path):
    report = checkpoints.RestoreReport(tmp_path, "tf1", {}, {}, (), {}, False)
    done = checkpoints.Conversion(report, tmp_path, "tf1", "native", (), 0.0)
    assert str(done).endswith("Verified: the outputs are equal.")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (["global_step"], "the global step"),
        (["a/Momentum"], "1 tensor of the optimizer"),
        (["a/Momentum", "b/Momentum"], "2 tensors of the optimizer"),
        (
            ["a/Momentum", "b/Momentum", "x/global_step"],
            "2 tensors of the optimizer and the global step",
        ),
    ],
)
def test_what_was_taken_along_is_told(tmp_path, state, words):
    report = checkpoints.RestoreReport(tmp_path, "tf1", {}, {}, (), {}, False)
    done = checkpoints.Conversion(report, tmp_path, "tf1", "native", tuple(state), None)
    assert str(done).splitlines()[-1] == f"Took along {words}."


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_what_is_there_is_replaced_when_told_so(prefix, tmp_path, format):
    target = path_in(tmp_path, "model", format)
    checkpoints.convert(prefix, target, model=NAME, format=format)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=rf"{target} is there already: .* \(--overwrite\)"):
        checkpoints.convert(prefix, target, model=NAME, format=format)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    checkpoints.convert(
        prefix, target, model=NAME, format=format, exclude_head=True, num_classes=3, overwrite=True
    )
    model = models.create(NAME, num_classes=3)
    assert len(checkpoints.restore(model, target).restored) == 137


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(prefix, tmp_path, format):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Amid the tensors, and amid what HDF5 writes when it is closed.
    for most in (500_000, 10_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(OSError, match=r"could not be written: .*File too large") as told:
                checkpoints.convert(
                    prefix, path_in(tmp_path, "full", format), model=NAME, format=format
                )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "\n" not in str(told.value)
        assert ".writing" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_takes_the_place_of_its_own_source(prefix, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoints.convert(prefix, path, model=NAME)
    before = path.read_bytes()
    checkpoints.convert(path, path, model=NAME, overwrite=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_no_first_values_are_computed_that_the_file_replaces(prefix, tmp_path, monkeypatch, format):
    def fails(*args, **kwargs):
        raise AssertionError("made anew")

    monkeypatch.setattr(keras.initializers.TruncatedNormal, "__call__", fails)
    with pytest.raises(AssertionError, match="made anew"):
        models.create(NAME)
    path = path_in(tmp_path, "model", format)
    checkpoints.convert(prefix, path, model=NAME, format=format)
    monkeypatch.undo()
    again = models.create(NAME, num_classes=10)
    checkpoints.restore(again, path)
    first = models.create(NAME, num_classes=10)
    checkpoints.restore(first, prefix)
    assert bits(again) == bits(first)


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_damage_that_shows_in_the_middle_writes_nothing(prefix, tmp_path, format):
    source = tmp_path / "source.safetensors"
    checkpoints.convert(prefix, source, model=NAME)
    content = bytearray(source.read_bytes())
    content[-1000] ^= 1
    source.write_bytes(content)
    target = path_in(tmp_path / "new" / "deep", "model", format)
    with pytest.raises(ValueError, match=r"source\.safetensors is damaged: MobilenetV1/"):
        checkpoints.convert(source, target, model=NAME, format=format)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=names[0], marks=[] if NAME in names else [pytest.mark.large])
        for names in models.nets()
    ],
)
def test_a_model_without_values_has_the_variables_of_one_with_them(names, stage):
    made, model = skeletons.make(names[0], stage).model, models.create(names[0], stage)
    described, expected = (
        [(w.path, tuple(w.shape), w.dtype, w.trainable) for w in one.weights]
        for one in (made, model)
    )
    assert described == expected


def test_models_without_values_have_no_sizes_that_others_have_not():
    with pytest.raises(ValueError, match="input_size=0 is not allowed"):
        skeletons.make(NAME, input_size=0)


def test_making_models_without_values_leaves_others_alone():
    made = skeletons.make(NAME)
    assert len(made.model.weights) == 137
    assert not any(map(skeletons.has_value, made.model.weights))
    other = models.create(NAME)  # Keras gives what waits its values at the end of such a making.
    assert all(map(skeletons.has_value, other.weights))
    assert not any(map(skeletons.has_value, made.model.weights))


def test_collecting_garbage_goes_on_after_making_a_model():
    with skeletons.without_garbage_collection():
        assert not gc.isenabled()
        skeletons.make(NAME)
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("part_bytes", [100_000, tensorflow_writing.PART_BYTES])
@pytest.mark.parametrize("stage", models.STAGES)
def test_objects_with_lent_values_are_written_as_those_with_values(
    tmp_path, monkeypatch, stage, part_bytes
):
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", part_bytes)
    model, made = filled(NAME, stage, seed=1), skeletons.make(NAME, stage)
    for variable, lent in zip(model.weights, made.model.weights, strict=True):
        skeletons.lend(lent, variable.numpy)
    for _ in range(2):  # Into two files where the older one is in one, which is there to the end.
        checkpoints.save(model, tmp_path / "values", "tf2")
        saving.write(made.model, tmp_path / "lent", "tf2", {}, made.waiting)
        expected, written = (
            tf.train.load_checkpoint(str(tmp_path / name)) for name in ("values", "lent")
        )
        dtypes = expected.get_variable_to_dtype_map()
        assert written.get_variable_to_dtype_map() == dtypes
        weights = [key for key, dtype in dtypes.items() if dtype.is_floating]
        assert len(weights) == len(model.weights)  # The rest are the graph and dropout's states.
        for key in weights:
            np.testing.assert_array_equal(written.get_tensor(key), expected.get_tensor(key))
    assert not any(map(skeletons.has_value, made.waiting))
    tf.train.Checkpoint(model=model).read(str(tmp_path / "lent")).assert_existing_objects_matched()


def test_an_archive_is_unpacked_once(prefix, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "model.tgz", "w:gz") as archive:
        for file in Path(prefix).parent.glob("model.ckpt.*"):
            archive.add(file, file.name)
    opened = []
    tar_open = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda path: opened.append(path) or tar_open(path))
    done = checkpoints.convert(
        tmp_path / "model.tgz",
        tmp_path / "model.ckpt",
        model=NAME,
        include_optimizer=True,
        verify=True,
    )
    assert (len(opened), done.state) == (1, ("global_step",))


def test_an_optimizer_that_is_not_there_is_told(prefix, tmp_path):
    checkpoints.convert(prefix, tmp_path / "without.safetensors", model=NAME)
    with pytest.raises(ValueError, match=r"has no optimizer's state .* \(--include-optimizer\)"):
        checkpoints.convert(
            tmp_path / "without.safetensors",
            tmp_path / "model.ckpt",
            model=NAME,
            include_optimizer=True,
        )
    assert not (tmp_path / "model.ckpt.index").exists()


def test_what_is_taken_along_is_not_left_out(prefix, tmp_path):
    done = checkpoints.convert(
        prefix, tmp_path / "model.ckpt", model=NAME, exclude_head=True, include_optimizer=True
    )
    assert done.state == ("global_step",)
    assert done.source.left_out.keys() == {"excluded"}
    assert str(done).splitlines()[0].endswith("; excluded 2, which are made anew.")
    assert "left out" not in str(done)


def test_averages_go_along_unless_they_are_the_variables(prefix, tmp_path):
    reader = tf.train.load_checkpoint(str(prefix))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    weights = [name for name in values if name != "global_step"]
    averages = {f"{name}/ExponentialMovingAverage": values[name] + 1 for name in weights}
    source = formula_checkpoint.write(tmp_path / "averaged.ckpt", values | averages)
    target = tmp_path / "model.ckpt"
    how = {"model": NAME, "include_optimizer": True, "verify": True}
    done = checkpoints.convert(source, target, ema=False, **how)
    assert set(done.state) == {"global_step", *averages}
    count = len(averages)
    assert f"Took along {count} moving averages and the global step." in str(done)
    written = tf.train.load_checkpoint(str(target))
    for name, value in (values | averages).items():
        np.testing.assert_array_equal(written.get_tensor(name), value)
    assert checkpoints.convert(source, target, overwrite=True, **how).state == ("global_step",)


def test_a_keras_file_is_a_model_that_loads_in_safe_mode(prefix, tmp_path):
    checkpoints.convert(prefix, tmp_path / "model.keras", model=NAME)
    model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert model.options.num_classes == 10


def test_a_weights_file_tells_the_number_of_the_classes_of_a_new_head_too(tmp_path):
    checkpoints.save(filled(NAME, "native", 3, num_classes=7), tmp_path / "model.weights.h5")
    target = tmp_path / "new.safetensors"
    checkpoints.convert(tmp_path / "model.weights.h5", target, model=NAME, exclude_head=True)
    checkpoints.restore(models.create(NAME, num_classes=7), target)


@pytest.mark.parametrize("target_format", ["tf1", "h5"])
@pytest.mark.parametrize("stage", models.STAGES)
def test_a_weights_file_tells_the_number_of_its_classes(tmp_path, stage, target_format):
    model = filled(NAME, stage, 3, num_classes=7)
    checkpoints.save(model, tmp_path / "model.weights.h5")
    target = path_in(tmp_path / "target", "model", target_format)
    checkpoints.convert(tmp_path / "model.weights.h5", target, model=NAME, format=target_format)
    restored = models.create(NAME, num_classes=7)
    checkpoints.restore(restored, target)
    expected = {checkpoints.tf1_name(v): keras.ops.convert_to_numpy(v) for v in model.weights}
    for variable in restored.weights:
        np.testing.assert_array_equal(variable, expected[checkpoints.tf1_name(variable)])


def test_another_head_is_made_anew(prefix, tmp_path):
    done = checkpoints.convert(
        prefix,
        tmp_path / "model.safetensors",
        model=NAME,
        exclude_head=True,
        num_classes=3,
        verify=True,
    )
    assert len(done.source.excluded) == 2
    assert done.difference < 1e-5


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"format": "h5"}, "has to end in .weights.h5"),
        (
            {"num_classes": 11},
            r"Only the head differs: exclude_head=True \(--exclude-head\) .* num_classes takes it",
        ),
        ({"model": "resnet_v1_50"}, "`shimzoo inspect .*` tells what it is"),
        ({"format": "tf3"}, "no format 'tf3'"),
        ({"to_stage": "nativ"}, "no stage 'nativ'"),
        ({"from_stage": "nativ"}, "no stage 'nativ'"),
        ({"model": "mobilenet"}, "no model 'mobilenet'"),
        ({"model": "mobilenet_v1_0.5_128"}, "does not fit"),
        ({"num_classes": 11}, "of another shape"),
        ({"output_strid": 8}, "has no option 'output_strid'"),
        ({"ema": True}, "has no moving averages"),
    ],
    ids=str,
)
def test_what_is_refused_writes_nothing(prefix, tmp_path, settings_, message):
    with pytest.raises(ValueError, match=message):
        checkpoints.convert(prefix, tmp_path / "new" / "model", **{"model": NAME, **settings_})
    assert not (tmp_path / "new").exists()


# Inspecting.


def test_what_a_checkpoint_is(prefix):
    found = checkpoints.inspect(prefix)
    (candidate,) = found.candidates
    assert candidate.models == tuple(models.list_models("mobilenet_v1_0.25*"))
    assert candidate.is_perfect
    assert candidate.num_classes == 10
    assert (found.format, found.step, found.averages) == ("tf1", 1234, 0)
    assert len(found.variables) == 137
    assert found.bytes == 8 + 4 * sum(spec.elements for spec in found.variables.values())
    told = str(found)
    assert "TF1 name-based checkpoint (tf1)" in told
    assert "mobilenet_v1_0.25_224 with num_classes=10\n" in told
    assert "1,234" in told
    assert json.loads(found.to_json())["step"] == 1234


def test_a_published_one_is_known_whatever_its_format(tmp_path):
    model = models.create(NAME, "native")
    for format in checkpoints.FORMATS:
        path = path_in(tmp_path, "model", format)
        checkpoints.save(model, path, format)
        (candidate,) = checkpoints.inspect(path).candidates
        assert candidate.is_perfect, format
        assert NAME in candidate.models


def test_an_unknown_file_comes_with_the_nearest(tmp_path):
    values = {"MobilenetV1/Conv2d_0/weights": np.zeros([3, 3, 3, 8], "float32")}
    found = checkpoints.inspect(formula_checkpoint.write(tmp_path / "model.ckpt", values))
    assert len(found.candidates) == 3
    assert found.candidates[0].models[0] == NAME
    assert len(found.candidates[0].missing) == 136
    assert "none of the zoo's; nearest are mobilenet_v1_0.25_128 (136 not in the file" in str(found)


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("format", ["h5", "keras"])
def test_what_a_keras_file_holds_is_told_by_tf1_names(prefix, tmp_path, format, stage):
    path = path_in(tmp_path, "model", format)
    checkpoints.convert(prefix, path, model=NAME, to_stage=stage)
    found = checkpoints.inspect(path)
    assert found.is_named
    assert found.variables == checkpoints.inspect(prefix).variables
    assert "\nMobilenetV1/Conv2d_0/weights " in str(found)


@pytest.mark.parametrize("stage", ["native", "shimmed"])
@pytest.mark.parametrize("format", ["h5", "keras"])
def test_another_number_of_classes_is_known_without_names(tmp_path, format, stage):
    path = path_in(tmp_path, "model", format)
    checkpoints.save(models.create(NAME, stage, num_classes=10), path, format)
    (candidate,) = checkpoints.inspect(path).candidates
    assert NAME in candidate.models
    assert candidate.describe().endswith(" with num_classes=10")


def test_a_model_in_another_one_comes_with_its_scope(prefix, tmp_path):
    reader = tf.train.load_checkpoint(prefix)
    values = {
        f"FeatureExtractor/{name}": reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "/Logits/" not in name and name != "global_step"
    }
    values["BoxPredictor/weights"] = np.zeros([3], "float32")
    found = checkpoints.inspect(formula_checkpoint.write(tmp_path / "detector.ckpt", values))
    assert (
        "without its head (num_classes=None) under scope FeatureExtractor/: "
        "use --rename FeatureExtractor/MobilenetV1/=MobilenetV1/\n"
    ) in str(found)


@pytest.mark.parametrize("suffix", [".ckpt", ".weights.h5"])
def test_what_shares_nothing_with_the_zoo_is_compared_with_no_model(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(skeletons, "make", None)
    inputs = keras.Input([3])
    path = tmp_path / f"model{suffix}"
    checkpoints.save(keras.Model(inputs, keras.layers.Dense(2)(inputs)), path)
    found = checkpoints.inspect(path)
    assert found.candidates == ()
    assert "none of the zoo's\n" in str(found)


@pytest.mark.large
@pytest.mark.parametrize("names", models.nets(), ids=lambda names: names[0])
def test_how_many_variables_a_net_has(names):
    assert len(models.create(names[0], "native").weights) == candidates.variable_count(names[0])


def test_no_tensor_is_read(prefix, monkeypatch):
    reader = type(tf.train.load_checkpoint(prefix))
    read = []
    get_tensor = reader.get_tensor
    monkeypatch.setattr(
        reader, "get_tensor", lambda self, name: read.append(name) or get_tensor(self, name)
    )
    checkpoints.inspect(prefix)
    assert read == ["global_step"]
