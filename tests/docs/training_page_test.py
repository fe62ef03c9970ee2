"""What docs/training.md says: its commands run, its options exist, its table has every recipe."""

import pathlib
import re

import pytest
from shimzoo import cli, models
from shimzoo.training.published_recipes import RECIPES

from .command_lines import arguments_of, options, trained_with

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
BEFORE_SLIM, SLIM = PAGE.split("## Coming from TF-Slim")
TRAIN, EVALUATE, EXPORT = re.split("^Of `.*:$", SLIM, flags=re.MULTILINE)[1:]

# All flags that the scripts in research/slim of https://github.com/tensorflow/models define.
TRAIN_FLAGS = """
    master train_dir num_clones clone_on_cpu worker_replicas num_ps_tasks num_readers
    num_preprocessing_threads log_every_n_steps save_summaries_secs save_interval_secs task
    weight_decay optimizer adadelta_rho adagrad_initial_accumulator_value adam_beta1 adam_beta2
    opt_epsilon ftrl_learning_rate_power ftrl_initial_accumulator_value ftrl_l1 ftrl_l2 momentum
    rmsprop_momentum rmsprop_decay quantize_delay learning_rate_decay_type learning_rate
    end_learning_rate label_smoothing learning_rate_decay_factor num_epochs_per_decay sync_replicas
    replicas_to_aggregate moving_average_decay dataset_name dataset_split_name dataset_dir
    labels_offset model_name preprocessing_name batch_size train_image_size max_number_of_steps
    use_grayscale checkpoint_path checkpoint_exclude_scopes trainable_scopes ignore_missing_vars
"""
EVALUATE_FLAGS = """
    batch_size max_num_batches master checkpoint_path eval_dir num_preprocessing_threads
    dataset_name dataset_split_name dataset_dir labels_offset model_name preprocessing_name
    moving_average_decay eval_image_size quantize use_grayscale
"""
EXPORT_FLAGS = """
    model_name is_training image_size batch_size dataset_name labels_offset output_file dataset_dir
    quantize is_video_model num_frames write_text_graphdef use_grayscale final_endpoint
"""


def commands(language):
    for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL):
        for command in block.splitlines():
            yield arguments_of(command)


def test_every_command_runs_in_its_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in commands("sh"):
        assert cli.main(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    printed = capsys.readouterr().out
    assert "is finished: there is nothing to resume" in printed
    assert "Took along 137 moving averages." in printed
    assert "135 variables from 'runs/short/best.weights.h5', 2 made anew" in printed
    assert list(tmp_path.glob("runs/profiled/tensorboard/plugins/profile/*/*.xplane.pb"))
    for file in set(re.findall(r"`([\w.]+\.(?:jsonl?|png|h5))`", BEFORE_SLIM)):
        assert (tmp_path / "runs" / "short" / file).is_file(), file


def test_commands_on_data_of_the_user_come_as_far_as_the_training(monkeypatch):
    configs = [trained_with(arguments, monkeypatch) for arguments in commands("shell")]
    names = ["mobilenet_v2_0.5_160"] * 2 + ["inception_v3"] * 2 + ["mobilenet_v1_1.0_224"]
    assert [config.model for config in configs] == names
    assert configs[0] == configs[1]


def rows_of(table):
    """Flags of TF-Slim, and what is said of them, row by row."""
    rows = re.findall(r"^\| (`--.*?) \| (.*) \|$", table, re.MULTILINE)
    return [(re.findall(r"`--(\w+)`", flags), said) for flags, said in rows]


SLIM_TABLES = pytest.mark.parametrize(
    ("command", "table", "flags"),
    [
        ("train", TRAIN, TRAIN_FLAGS),
        ("evaluate", EVALUATE, EVALUATE_FLAGS),
        ("export", EXPORT, EXPORT_FLAGS),
    ],
    ids=["train", "evaluate", "export"],
)


@SLIM_TABLES
def test_every_flag_of_slim_has_a_row(command, table, flags):
    found = [flag for of_row, _ in rows_of(table) for flag in of_row]
    assert sorted(found) == sorted(flags.split())


@SLIM_TABLES
def test_every_flag_of_slim_has_an_option_or_a_reason_for_none(command, table, flags):
    for of_row, said in rows_of(table):
        reason = said.partition("none: ")[2] if said.startswith("none") else None
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", said))
        if reason is None:
            assert named, of_row
            assert named <= options(command), of_row
        else:
            assert len(reason.split()) >= 4, of_row


def test_options_on_the_page_exist():
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", BEFORE_SLIM))
    assert len(named) > 30
    of_convert = {"--ema", "--include-optimizer"}
    assert named - of_convert <= options("train") | {"--help"}
    assert of_convert <= options("convert")


def test_the_table_has_every_recipe_with_its_numbers():
    table = BEFORE_SLIM.split("## Recipes")[1].split("## ")[0]
    rows = {}
    for line in re.findall(r"^\| `.*$", table, re.MULTILINE):
        names, trains, how, batch, epochs, top1 = (
            cell.strip() for cell in line.strip("|").split("|")
        )
        for name, passes in zip(re.findall(r"`(\w+)`", names), epochs.split(", "), strict=True):
            rows[name] = (trains, how, int(batch), passes, top1)
    assert list(rows) == list(RECIPES)
    for name, (trains, how, batch, passes, top1) in rows.items():
        recipe = RECIPES[name]
        trained = models.list_models(recipe.trains)
        assert re.match(r"any|`([^`]*)`", trains)[0] == {"*": "any"}.get(
            recipe.trains, f"`{recipe.trains}`"
        )
        configs = [recipe.changed(model=model, dataset="digits") for model in trained]
        for config in configs:
            assert how.split(", ")[:2] == [config.optimizer, config.schedule]
            assert ("averages" in how) == (config.ema_decay is not None)
            assert batch == config.batch_size
        assert numbers(passes) == span(config.epochs for config in configs)
        expected = [recipe.expected(model) for model in trained]
        reached = span(100 * each.accuracy for each in expected if each is not None)
        assert numbers(top1.partition(",")[0]) == pytest.approx(reached)


def numbers(text):
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def span(values):
    """The smallest and the largest of some numbers; one of them where they are the same."""
    values = set(values)
    return sorted({min(values), max(values)}) if values else []
