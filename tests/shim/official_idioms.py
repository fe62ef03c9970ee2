"""The official shim, tf_keras', on the idioms and on its weak spots; in a process of its own.

python tests/shim/official_idioms.py FOLDER, with `TF_USE_LEGACY_KERAS=1`. It writes `idioms.npz`
with what each idiom gives eagerly and in a function, or the error, and `facts.json`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from shimzoo.tools.benchmark import official_shim

tf1 = tf.compat.v1


def slim_as_released():
    """What TF-Slim does at its first batch norm where nothing is supplied."""
    import tf_slim

    try:
        with tf.Graph().as_default():
            tf_slim.batch_norm(tf.zeros([1, 2, 2, 1]))
    except ModuleNotFoundError as error:
        return str(error)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tf_slim"]:
            del sys.modules[name]
    return "works"


def idioms(shim):
    from shimzoo.tests.shim import idiom_runs
    from shimzoo.tests.shim.tf1_idioms import IDIOMS

    graph, results = tf1.get_default_graph(), {}
    for name, idiom in IDIOMS.items():
        for run, wrap in (("eager", lambda f: f), ("function", tf.function)):
            for key in graph.get_all_collection_keys():  # What the one before has left there.
                graph.clear_collection(key)
            try:
                with idiom_runs.tf1_shapes():  # Or else dimensions have no `value`.
                    found = idiom_runs.run_decorated(idiom, shim, wrap)
            except Exception as error:
                found = {"failure": np.array(str(error))}
            results.update({f"{name}/{run}/{key}": array for key, array in found.items()})
    return results


def main(folder):
    halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, halves)
    slim = slim_as_released()
    official_shim.restore()
    # TF1 code, imported when its layers are there.
    from shimzoo.tests.shim import idiom_runs, shim_facts

    utils = tf1.keras.utils
    shim = idiom_runs.Shim(
        tf_keras.layers.Layer,
        utils.track_tf1_style_variables,
        utils.DeterministicRandomTestTool,
        lambda layer: {v.name.removesuffix(":0"): v for v in layer.weights},
    )
    facts = {"slim_as_released": slim, **shim_facts.facts(shim, tf_keras, folder)}
    facts["offered"] = dir(utils)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    np.savez(folder / "idioms.npz", **idioms(shim))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
