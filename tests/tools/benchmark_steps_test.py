"""What contenders of `throughput` keep in memory beside their steps, and tell of it."""

import pytest
import tensorflow as tf
from shimzoo.tools.benchmark import file_input, photographs, throughput_worker, worker
from shimzoo.tools.benchmark.matrix_product import MatrixProduct
from shimzoo.tools.benchmark.throughput_settings import Settings

GIVEN = Settings(model="inception_v3", batch_size=1, image_size=80, matrix_size=8)


def test_products_on_jax_are_not_all_kept(monkeypatch):
    jax = pytest.importorskip("jax")
    compiled, alive = jax.jit, []

    def jit(function):
        def call(*arguments):
            alive.append(len(jax.live_arrays()))
            return compiled(function)(*arguments)

        return call

    monkeypatch.setattr(jax, "jit", jit)
    product = MatrixProduct("jax", "float32", threads=1, size=8)
    product.run("training", 20)
    assert len(alive) == 20
    assert max(alive) <= alive[0] + 2


@pytest.mark.parametrize("kind", ["matrix_product", "tf1_session"])
def test_the_most_memory_is_the_gpus_where_there_is_one(monkeypatch, kind):
    steps = throughput_worker.steps_of(kind, "tensorflow", GIVEN)
    assert steps.peak_memory_mib() is None
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    monkeypatch.setattr(
        tf.config.experimental, "get_memory_info", lambda device: {"current": 0, "peak": 3 * 2**20}
    )
    assert steps.peak_memory_mib() == 3.0


def test_what_begins_a_run_comes_before_each_and_is_not_timed(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(throughput_worker, "_RUN_MS", 3000.0)
    calls = []

    def begin():
        calls.append("begin")
        worker.time.perf_counter()  # Takes a second.

    task = throughput_worker.repeated(calls.append, begin)
    # A step takes a second by this clock, as does a run of three.
    assert [task(), task()] == pytest.approx([1000 / 3, 1000 / 3])
    assert calls == ["begin", 1, "begin", 1, "begin", 3, "begin", 3]


@pytest.mark.large
def test_each_run_on_files_reads_anew_and_leaves_the_first_batch_out(monkeypatch, tmp_path):
    photographs.write(tmp_path, photographs.enough_for(2))
    model = "mobilenet_v1_0.25_128"
    given = Settings(model=model, batch_size=2, image_size=32, real_input=True, files=str(tmp_path))

    def numbered(split, config):
        """Batches whose images all have the number of the batch."""
        assert len(split) >= 2
        labels = tf.one_hot([0, 1], 1000)
        return tf.data.Dataset.range(100).map(
            lambda number: (tf.fill([2, 32, 32, 3], tf.cast(number, tf.float32)), labels)
        )

    monkeypatch.setattr(file_input, "training_batches", numbered)
    steps = throughput_worker.steps_of("native", "tensorflow", given)
    seen = []
    steps.model.train_function = lambda batches: seen.append(float(next(batches)[0][0, 0, 0, 0]))
    for count in (3, 2):
        steps.open_files()
        steps.run_on_files(count)
    assert seen == [1, 2, 3, 1, 2]
