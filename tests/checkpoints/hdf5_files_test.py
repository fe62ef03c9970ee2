"""Tensors of HDF5 files: what is read without HDF5 is what HDF5 reads."""

import os

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shimzoo.checkpoints.file_parts import FilePart
from shimzoo.checkpoints.hdf5_files import StoredTensors

DTYPES = ["<f4", ">f4", "<f2", "<f8", "<i4", ">i8", "|u1", "|i1", "?", "<c8"]
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "packed": {"chunks": True, "compression": "gzip"},
}


def tensors_of(file):
    return StoredTensors(file, FilePart(file.id.get_vfd_handle()))


def shapes_of(layout):
    return arrays.array_shapes(min_dims=0 if layout == "contiguous" else 1, max_side=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("hdf5") / "model.weights.h5"


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    data=st.data(), dtypes=st.lists(st.sampled_from(DTYPES), min_size=1), user_block=st.booleans()
)
def test_every_tensor_is_read_as_hdf5_reads_it(path, layout, data, dtypes, user_block):
    values = [data.draw(arrays.arrays(dtype, shapes_of(layout))) for dtype in dtypes]
    with h5py.File(path, "w", userblock_size=512 * user_block) as file:
        for i, value in enumerate(values):
            file.create_dataset(f"layers/dense/vars/{i}", data=value, **LAYOUTS[layout])
    with h5py.File(path) as file:
        tensors = tensors_of(file)
        assert len(tensors.specs) == len(values)
        for place, spec in tensors.specs.items():
            value, expected = tensors.read(place), file[place]
            assert value.dtype.isnative
            assert (value.dtype.name, value.shape) == (spec.dtype, spec.shape)
            assert (value.dtype.name, value.shape) == (expected.dtype.name, expected.shape)
            np.testing.assert_array_equal(value, expected[()])


def test_numbers_of_another_kind_are_converted_by_hdf5(path):
    narrow = h5py.h5t.IEEE_F32LE.copy()
    narrow.set_fields(31, 26, 5, 0, 26)  # A float32 with the exponent of a float16.
    narrow.set_ebias(15)
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        space = h5py.h5s.create_simple((3,))
        dataset = h5py.h5d.create(group.id, b"0", narrow, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2.5, -3], "float32"))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(tensors_of(file).read("/layers/dense/vars/0"), [1, 2.5, -3])


@pytest.mark.parametrize("layout", ["beside its description", "nowhere"])
def test_what_has_no_place_is_read_by_hdf5(path, layout):
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_fill_value(np.array(7, "float32"))
        if layout == "beside its description":
            properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        dataset = h5py.h5d.create(group.id, b"0", h5py.h5t.NATIVE_FLOAT, space, dcpl=properties)
        if layout == "beside its description":
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.full(3, 7, "float32"))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(tensors_of(file).read("/layers/dense/vars/0"), [7, 7, 7])


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(path):
    for name, number in ((path, 1), (path.with_name("new"), 2)):
        with h5py.File(name, "w", userblock_size=512 * (number - 1)) as file:
            file["layers/dense/vars/0"] = np.full(1000, number, "float32")
    with h5py.File(path) as file:
        tensors = tensors_of(file)
        path.with_name("new").replace(path)
        np.testing.assert_array_equal(tensors.read("/layers/dense/vars/0"), np.ones(1000))


def test_a_file_that_was_cut_meanwhile_is_told(path):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones(1000, "float32")
    with h5py.File(path) as file:
        tensors = tensors_of(file)
        os.truncate(path, 3000)
        with pytest.raises(EOFError, match=r"4,000 bytes from .* on are not all there"):
            tensors.read("/layers/dense/vars/0")
