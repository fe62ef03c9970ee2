"""What becomes of files of results: pictures, pages, the table of all targets; and `start-up`."""

import base64
import html.parser
import pathlib
import re
import shlex

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import cli
from shimzoo.tools.benchmark import (
    conversion,
    machine,
    plot,
    results_file,
    results_table,
    rows,
    start_up,
    targets,
    throughput_report,
)
from shimzoo.tools.benchmark.rows import Row

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = "tools/benchmark/README.md"
# The page with the table, as the one of the benchmarks says.
TABLE = "README.md"
SIZES = {"model": "resnet_v1_50", "image_size": 224, "batch_size": 8, "precision": "float32"}
FACTS = {
    **SIZES,
    "jit_compile": False,
    "strategy": "one_device",
    "gpu": "",
    "options": "",
    "threads": 2,
}


COMMAND = "throughput --model resnet_v1_50"


def write(path, ratio=0.6, command=COMMAND, **facts):
    found = [
        Row.of("native", "training", "ms", [60.0, 62.0, 61.0] * 2),
        Row.ratio("native", "training", [ratio] * 6, "keras_applications", [1.0] * 6),
        Row.of("keras_applications", "training", "ms", [100.0, 102.0, 101.0] * 2),
        Row.ratio(
            *("native", "inference_share", [0.97, 0.96, 0.98] * 2),
            *("matrix_product", [1.0] * 6),
        ),
        Row("timm", "training", "ms", note="not installed"),
    ]
    known = {name: {**FACTS, **facts} for name in ("native", "keras_applications", "timm")}
    common = results_file.origin() | {"command": f"shimzoo benchmark {command}"}
    results_file.write_csv(path, rows.lines(found, "throughput", known), common)
    return path


class Tags(html.parser.HTMLParser):
    """Checks that tags are closed, and keeps what stands in a page."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_a_file_is_drawn_as_a_picture_and_a_page_that_needs_nothing_else(tmp_path):
    picture, page = plot.draw(write(tmp_path / "x.csv", options="<b>"), throughput_report.TITLES)
    with PIL.Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
    tags = Tags()
    tags.feed(page.read_text())
    assert not tags.open
    [source] = tags.sources
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == picture.read_bytes()
    # What all lines share is said once, and nothing of a file is taken for HTML.
    assert tags.texts.count("resnet_v1_50") == 1
    assert "<b>" in tags.texts
    assert {"native", "61", "0.6", "not installed"} <= set(tags.texts)
    assert "training step, ms" in tags.texts


def test_a_picture_says_of_what_it_is_and_leaves_the_ceiling_out_of_the_models(tmp_path):
    found = [
        Row.of(name, measure, "ms", [time] * 5)
        for measure in ("training", "inference")
        for name, time in (("native", 60.0), ("keras_applications", 90.0), ("matrix_product", 9.0))
    ]
    known = {row.contender: FACTS for row in found}
    common = results_file.origin() | {"cpu": "a CPU", "cores": 2, "date": "2026-11-26T10:00:00"}
    results_file.write_csv(tmp_path / "x.csv", rows.lines(found, "throughput", known), common)
    lines = results_file.read_csv(tmp_path / "x.csv")
    figure = plot.figure_of(lines, throughput_report.TITLES)
    assert figure.get_suptitle() == (
        "throughput: resnet_v1_50, batch 8, 224 pixels, float32\na CPU, 2 core(s), 2026-11-26"
    )
    assert "whiskers" in figure.get_supxlabel()
    shown = {
        axes.get_title(loc="left"): [label.get_text() for label in axes.get_yticklabels()]
        for axes in figure.axes
    }
    models = ["native", "keras_applications"]
    assert shown == {"training step, ms": models, "inference step, ms": models}
    # Where nothing else was measured, it is drawn.
    ceiling = [line for line in lines if line["contender"] == "matrix_product"]
    figure = plot.figure_of(ceiling, throughput_report.TITLES)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["matrix_product"]


def test_files_of_conversions_are_drawn_too(tmp_path):
    found = [
        Row.of("tf1 to h5", "conversion", "s", [1.5]),
        Row.ratio("tf1 to h5", "conversion", [1.5], "copy_and_hash", [0.5]),
    ]
    common = results_file.origin()
    results_file.write_csv(tmp_path / "x.csv", rows.lines(found, "conversion", {}), common)
    picture, page = plot.draw(tmp_path / "x.csv", conversion.TITLES)
    assert picture.stat().st_size > 1000
    assert "tf1 to h5" in page.read_text()


def test_plot_needs_a_file_of_results(capsys):
    assert cli.main(["benchmark", "start-up", "--plot"]) == 2
    assert "--plot draws the file of --out" in capsys.readouterr().err


def test_start_up_is_measured_written_and_drawn(capsys, tmp_path):
    out = tmp_path / "x.csv"
    arguments = ["start-up", "--rounds", "2", "--out", str(out), "--plot"]
    assert cli.main(["benchmark", *arguments]) == 0
    lines = results_file.read_csv(out)
    others = ("python_again", "import", "help")
    assert [(line["contender"], line["against"]) for line in lines] == [
        ("python", ""),
        *((name, against) for name in others for against in ("", "python")),
    ]
    assert all(float(line["median"]) > 0 for line in lines)
    asked = {(line["contender"], line["against"]): line["target"] for line in lines}
    on_two_cores = {("import", "python"): "≤ 1.3", ("help", ""): "≤ 500"}
    on_this = on_two_cores if machine.available_cores() == 2 else {}
    assert {row: target for row, target in asked.items() if target} == on_this
    assert {line["benchmark"] for line in lines} == {"start-up"}
    assert str(out.with_suffix(".html")) in capsys.readouterr().out
    assert out.with_suffix(".png").exists()


def starts(monkeypatch, *times):
    """Lets commands take these milliseconds, warm-ups included, and then Ctrl-C come."""
    left = list(times)

    def start(arguments):
        if not left:
            raise KeyboardInterrupt
        started.append(arguments)
        return left.pop(0)

    started = []
    monkeypatch.setattr(start_up, "start", start)
    return started


def test_ctrl_c_reports_the_starts_so_far(capsys, monkeypatch):
    starts(monkeypatch, *[9.0] * 8, *[2.0] * 4)
    assert cli.main(["benchmark", "start-up"]) == 130
    out = capsys.readouterr().out
    assert re.search(r"import +2.00", out)
    assert "interrupted" in out


def test_each_round_starts_every_command_in_an_order_of_its_own(monkeypatch):
    started = starts(monkeypatch, *[1.0] * 40)
    assert cli.main(["benchmark", "start-up"]) == 130
    rounds = [started[place : place + 4] for place in range(0, 40, 4)]
    assert all(sorted(order) == sorted(start_up.COMMANDS.values()) for order in rounds)
    assert len(set(map(tuple, rounds))) > 3


def test_a_command_that_fails_is_a_row_and_the_others_are_measured(capsys, monkeypatch, tmp_path):
    failing = ("-c", "raise OSError('no more paper')")
    monkeypatch.setitem(start_up.COMMANDS, "import", failing)
    out = tmp_path / "x.csv"
    assert cli.main(["benchmark", "start-up", "--rounds", "1", "--out", str(out)]) == 1
    notes = {line["contender"]: line["note"] for line in results_file.read_csv(out)}
    assert notes["import"] == "ended with exit code 1: OSError: no more paper"
    assert {name for name, note in notes.items() if not note} == {"python", "python_again", "help"}
    assert "no more paper" in capsys.readouterr().out


def test_the_table_has_a_row_a_target_and_where_its_number_is_from(tmp_path):
    lines = results_table.table([write(tmp_path / "resnet.csv")]).splitlines()
    assert len(targets.TARGETS) + 2 == sum(line.startswith("|") for line in lines)
    [row] = [line for line in lines if line.startswith("| native training step / keras.app")][:1]
    assert row.endswith("| ≤ 0.7 | 0.600 (0.600 to 0.600): ok | `resnet.csv` |")
    [share] = [line for line in lines if "share of the 4096" in line]
    assert "| ≥ 0.95 | 0.970 (0.960 to 0.980): ok |" in share
    [missing] = [line for line in lines if "`shimzoo --help`" in line]
    assert "| not yet: `shimzoo benchmark start-up` |" in missing
    assert re.match(r"- `resnet.csv`: `.+`, \d{4}-\d\d-\d\d, ", lines[-1])


def test_a_number_of_other_sizes_or_machines_with_a_gpu_is_no_targets(tmp_path):
    others = {"batch_size": 9, "gpu": "NVIDIA", "jit_compile": True, "threads": 1}
    for facts in ({name: value} for name, value in {**others, "options": "x=1"}.items()):
        made = results_table.table([write(tmp_path / "x.csv", **facts)])
        assert "0.600" not in made


def test_of_several_files_the_one_counts_that_the_targets_command_made(tmp_path):
    other = f"{COMMAND} --contender keras_applications --out c.csv"
    own = f"{COMMAND} --out docs/results/a.csv --plot"
    files = [
        write(tmp_path / "a.csv", 0.6, own),
        write(tmp_path / "b.csv", 0.8, other),
        write(tmp_path / "c.csv", 0.8, other),
    ]
    assert "| 0.600 (0.600 to 0.600): ok | `a.csv` |" in results_table.table(files)
    assert "| 0.800 (0.800 to 0.800): missed | `b.csv` |" in results_table.table(files[1:2])
    files.append(write(tmp_path / "d.csv", 0.9, own))
    for several in ([files[0], files[3]], files[1:3]):
        with pytest.raises(ValueError, match=r"have a number each for .*: keep the one"):
            results_table.table(several)


def test_of_a_target_for_all_contenders_the_worst_is_shown(tmp_path):
    found = [
        Row.ratio("tf1 to h5", "conversion", [1.5] * 5, "copy_and_hash", [0.5] * 5),
        Row.ratio("tf1 to tf1", "conversion", [2.0] * 5, "copy_and_hash", [0.5] * 5),
        Row.ratio("tf1 to tf2", "conversion", [1.0] * 5, "copy_and_hash", [0.5] * 5),
    ]
    known = {row.contender: {"model": "resnet_v1_152", "threads": 2} for row in found}
    path, common = tmp_path / "x.csv", results_file.origin()
    results_file.write_csv(path, rows.lines(found, "conversion", known), common)
    assert "| ≤ 3 | 4.000 (4.000 to 4.000): missed (tf1 to tf1) | `x.csv` |" in results_table.table(
        [path]
    )


def test_a_file_without_a_targets_number_is_named(capsys, tmp_path):
    paths = [str(write(tmp_path / "x.csv")), str(write(tmp_path / "y.csv", batch_size=9))]
    assert cli.main(["benchmark", "table", *paths]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("| what | target | measured | file |")
    [said] = err.splitlines()
    assert said.startswith(f"'{paths[1]}' has the number of no target")


def test_an_interrupted_run_is_told_of(tmp_path):
    for complete, ends in ((True, False), (False, True)):
        made = results_table.table([write(tmp_path / "x.csv", complete=complete)])
        assert made.endswith("; interrupted before its end") is ends


def test_what_has_no_interval_is_a_value_alone(tmp_path):
    few = Row.ratio("native", "training", [0.6] * 4, "keras_applications", [1.0] * 4)
    path = tmp_path / "few.csv"
    lines = rows.lines([few], "throughput", {"native": FACTS})
    results_file.write_csv(path, lines, results_file.origin())
    assert "| ≤ 0.7 | 0.600: unclear | `few.csv` |" in results_table.table([path])
    once = [
        Row.of("shimmed", "memory_growth", "MiB", [0.25]),
        Row.of("shimmed", "collections_growth", "entries", [2.0]),
    ]
    lines = rows.lines(once, "shim-overhead", {"shimmed": FACTS})
    results_file.write_csv(path, lines, results_file.origin())
    made = results_table.table([path])
    assert "| ≤ 0.5 | 0.2: ok | `few.csv` |" in made
    assert "| ≤ 0 | 2.0: missed | `few.csv` |" in made


def test_the_commit_is_shown_with_what_was_changed(tmp_path, monkeypatch):
    commit = "0123456789" * 4
    monkeypatch.setattr(results_file.provenance, "git_revision", lambda: f"{commit}-dirty")
    assert results_table.table([write(tmp_path / "x.csv")]).endswith(", 012345678901-dirty")


def test_without_files_there_is_no_table(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "table"]) == 2
    assert "There is no file of results in 'docs/results' here" in capsys.readouterr().err


marks = st.sampled_from([results_table.BEGIN, results_table.END, "a\n", "| b |\n"])


@given(parts=st.lists(marks, max_size=6))
def test_the_table_is_put_where_it_was_and_nothing_else_changes(parts):
    page = "".join(parts)
    order = [part for part in parts if part.startswith("<!--")]
    if order != [results_table.BEGIN, results_table.END]:
        with pytest.raises(ValueError, match=r"'x\.md' has no place for the table"):
            results_table.put("| new |", page, "x.md")
        return
    put = results_table.put("| new |", page, "x.md")
    before, after = page.split(results_table.BEGIN)[0], page.split(results_table.END)[1]
    middle = f"{results_table.BEGIN}\n| new |\n{results_table.END}"
    assert put == before + middle + after
    assert results_table.put("| new |", put, "x.md") == put


def test_the_table_in_the_readme_is_that_of_the_files(capsys, monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    page.write_text((ROOT / TABLE).read_text())
    monkeypatch.chdir(ROOT)
    assert cli.main(["benchmark", "table", "--into", str(page)]) == 0
    assert page.read_text() == (ROOT / TABLE).read_text(), (
        f"write it anew: shimzoo benchmark table --into {TABLE}"
    )
    assert f"`shimzoo benchmark table --into {TABLE}`" in (ROOT / PAGE).read_text()
    assert cli.main(["benchmark", "table"]) == 0
    assert capsys.readouterr().out.strip() in page.read_text()


def test_files_that_hold_no_table_or_results_are_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (tmp_path / "page.md").write_text("no place")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    for arguments, words in (
        (["--into", str(tmp_path / "page.md")], "has no place for the table"),
        ([str(tmp_path / "x.csv")], "holds no results"),
        ([str(tmp_path / "absent.csv")], "No such file"),
    ):
        assert cli.main(["benchmark", "table", *arguments]) == 2
        assert words in capsys.readouterr().err


def commands_of_the_page():
    """Those that measure, after `shimzoo benchmark`; what the others do is tested on files here."""
    found = re.findall(r"^shimzoo benchmark (.*?)(?: *#.*)?$", (ROOT / PAGE).read_text(), re.M)
    return [command for command in found if not command.startswith("compare")]


def test_the_page_shows_every_benchmark():
    shown = {command.split()[0] for command in commands_of_the_page()}
    assert shown == {"shim-overhead", "throughput", "input", "start-up", "conversion"}


@pytest.mark.parametrize(
    "command",
    sorted({target.command for target in targets.TARGETS} | set(commands_of_the_page())),
)
def test_every_command_of_the_page_and_the_targets_is_one(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    # With no rounds it is refused, once all else is found right.
    assert cli.main(["benchmark", *shlex.split(command), "--rounds", "0"]) == 2
    assert "rounds=0: must be 1 or more" in capsys.readouterr().err


def test_results_in_the_project_are_files_of_results():
    for path in (ROOT / results_table.FOLDER).glob("*.csv"):
        assert all(line["benchmark"] for line in results_file.read_csv(path)), path
