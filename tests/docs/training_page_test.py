"""What docs/training.md says: its commands run, its options exist, its table has every recipe."""

import dataclasses
import pathlib
import re
import shlex

import pytest
from shimzoo import cli, training
from shimzoo.training.published_recipes import RECIPES
from shimzoo.training.train_config import TrainConfig

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()
BEFORE_SLIM, SLIM = PAGE.split("## Coming from TF-Slim")
TRAIN, EVALUATE, EXPORT = re.split("^Of `.*`:$", SLIM, flags=re.MULTILINE)[1:]

# All flags of the scripts in research/slim of https://github.com/tensorflow/models.
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
            program, *arguments = shlex.split(command)
            assert program == "./zoo"
            yield arguments


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
    configs = []

    def train(config, **_):
        configs.append(config)
        raise ValueError("as far as this")

    monkeypatch.setattr(training, "train", train, raising=False)
    for arguments in commands("shell"):
        assert cli.main(arguments) == 2
    assert [config.model for config in configs] == ["inception_v3", "inception_v3"]


def flags_in(table):
    rows = re.findall(r"^\| (`--.*?) \|", table, re.MULTILINE)
    return [flag for row in rows for flag in re.findall(r"`--(\w+)`", row)]


@pytest.mark.parametrize(
    ("table", "flags"),
    [(TRAIN, TRAIN_FLAGS), (EVALUATE, EVALUATE_FLAGS), (EXPORT, EXPORT_FLAGS)],
    ids=["train", "evaluate", "export"],
)
def test_every_flag_of_slim_has_a_row(table, flags):
    assert sorted(flags_in(table)) == sorted(flags.split())


def test_options_on_the_page_exist():
    known = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(TrainConfig)}
    known |= {"--out", "--resume", "--overwrite", "--recipe", "--help"}
    known |= {"--ema", "--include-optimizer"}
    here = "\n".join(re.findall(r"^\| `--.*? \|(.*)\|$", TRAIN, re.MULTILINE))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", BEFORE_SLIM + here))
    assert len(named) > 30
    assert named <= known, named - known


def test_the_table_has_every_recipe_with_its_numbers():
    table = BEFORE_SLIM.split("## Recipes")[1].split("## ")[0]
    rows = {}
    for line in re.findall(r"^\| `.*$", table, re.MULTILINE):
        names, _, how, batch, epochs, top1 = [cell.strip() for cell in line.strip("|").split("|")]
        for name, passes in zip(re.findall(r"`(\w+)`", names), epochs.split(", "), strict=True):
            rows[name] = (how, int(batch), int(passes), top1)
    assert list(rows) == list(RECIPES)
    for name, (how, batch, passes, top1) in rows.items():
        recipe = RECIPES[name]
        config = recipe.changed(dataset="digits")
        assert how.split(", ")[:2] == [config.optimizer, config.schedule]
        assert ("averages" in how) == (config.ema_decay is not None)
        assert (batch, passes) == (config.batch_size, config.epochs)
        percent = re.match(r"[\d.]+", top1)
        assert recipe.test_accuracy == (pytest.approx(float(percent[0]) / 100) if percent else None)


@pytest.mark.parametrize(("command", "table"), [("evaluate", EVALUATE), ("export", EXPORT)])
def test_options_of_the_other_commands_exist(command, table, capsys):
    assert cli.main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    here = "\n".join(re.findall(r"^\| `--.*? \|(.*)\|$", table, re.MULTILINE))
    named = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", here)
    assert named
    for option in named:
        assert option in printed
