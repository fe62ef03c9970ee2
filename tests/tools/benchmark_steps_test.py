"""What contenders of `throughput` keep in memory beside their steps, and tell of it."""

import pytest
import tensorflow as tf
from shimzoo.tools.benchmark import throughput_worker
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
