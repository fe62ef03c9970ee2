"""Runs `./zoo` as real processes in tiny checkouts, offline."""

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from shimzoo.tests.launcher.tiny_wheel import write_wheel

HERE = Path(__file__).parent
ZOO = HERE.parent.parent / "zoo"

PYPROJECT = """\
[build-system]
requires = []
build-backend = "tiny_wheel"
backend-path = ["."]

[project]
name = "shimzoo"
version = "1.0"
requires-python = ">=3.11,<3.14"
"""

# Stand where the real command line and pytest would be, and tell how they were called.
TELL_ARGUMENTS = """\
import json, os, sys
def main():
    print(json.dumps({"by": __name__, "arguments": sys.argv[1:], "folder": os.getcwd()}))
if __name__ == "__main__":
    main()
"""


class Checkout:
    """A tiny checkout with a folder of wheels that its locks can name."""

    def __init__(self, folder: Path, python: str = f'exec "{sys.executable}" "$@"'):
        self.python = python
        self.root = folder / "a zoo"
        self.wheels = folder / "wheels"
        self.programs = folder / "programs"
        for new in (self.root, self.wheels, self.programs):
            new.mkdir(parents=True)
        shutil.copy(ZOO, self.root / "zoo")
        shutil.copy(HERE / "tiny_wheel.py", self.root)
        for name, version in [("alpha", "1.0"), ("alpha", "2.0"), ("beta_x", "1.0")]:
            write_wheel(self.wheels, name, version, {f"{name}.py": f"version = {version}\n"})
        write_wheel(self.wheels, "pytest", "1.0", {"pytest.py": TELL_ARGUMENTS})
        self.reset()

    def reset(self) -> None:
        """Puts everything but the environment back to what it was at the start."""
        (self.root / "pyproject.toml").write_text(PYPROJECT)
        (self.root / "tiny_cli.py").write_text(TELL_ARGUMENTS)
        self.lock("alpha==1.0", "pytest==1.0")
        self.lock("alpha==1.0", "beta_x==1.0", "pytest==1.0", name="requirements-cuda.lock")
        self.program("python3", self.python)
        self.program("nvidia-smi", "echo 'No devices were found'")
        self.environ = {
            "HOME": str(self.root.parent),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_NO_INDEX": "1",
            "PIP_RETRIES": "0",
            "TMPDIR": str(self.root.parent),
        }

    def lock(self, *requirements: str, name: str = "requirements.lock") -> None:
        """Pins `requirements` with the hashes of their wheels (a made-up one where none exists)."""
        lines = []
        for requirement in requirements:
            wheel = self.wheels / f"{requirement.replace('==', '-')}-py3-none-any.whl"
            content = wheel.read_bytes() if wheel.exists() else b""
            lines.append(f"{requirement} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
        (self.root / name).write_text("".join(lines))

    def program(self, name: str, script: str) -> None:
        """Puts a shell script on the PATH, before the machine's own programs."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def start(self, *arguments: str, zoo: Path | None = None, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [zoo or self.root / "zoo", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell cannot trap a signal that it was started to ignore.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def installed(self) -> dict[str, str]:
        """Names and versions of what the environment holds, but for pip and setuptools."""
        pip = [self.root / ".venv/bin/python", "-I", "-m", "pip", "list", "--format=json"]
        listing = subprocess.run(pip, env=self.environ, capture_output=True, check=True).stdout
        packages = {package["name"]: package["version"] for package in json.loads(listing)}
        return {name: packages[name] for name in packages.keys() - {"pip", "setuptools", "shimzoo"}}


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A python3 whose `-m venv` copies a fresh environment, as making one takes 5 s each time."""
    fresh = tmp_path_factory.mktemp("fresh") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
    return f'''
        if [ "$2" = venv ]; then exec cp -a "{fresh}/." "$3"; fi
        exec "{sys.executable}" "$@"'''


@pytest.fixture
def checkout(tmp_path: Path, quick_python: str) -> Checkout:
    return Checkout(tmp_path, quick_python)


@pytest.fixture(scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory):
    """One checkout for all tests that need a made environment, and what its first call said."""
    checkout = Checkout(tmp_path_factory.mktemp("made"))
    return checkout, checkout.run("train", "--out", "a folder", "*")


@pytest.fixture
def made(first_use) -> Checkout:
    """A checkout whose environment is up to date."""
    checkout, _ = first_use
    checkout.reset()
    result = checkout.run("list")
    assert result.returncode == 0, result.stderr
    return checkout


def one_line(result: subprocess.CompletedProcess) -> str:
    """The line in which a refused call said why."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("zoo: ")
    assert "./zoo" in line or "clone" in line
    return line


def test_first_call_makes_the_environment_and_runs_the_command(first_use):
    checkout, result = first_use
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["arguments"] == ["train", "--out", "a folder", "*"]
    assert checkout.installed() == {"alpha": "1.0", "pytest": "1.0"}
    assert "requirements.lock" in result.stderr
    assert all(line.startswith("zoo: ") for line in result.stderr.splitlines())
    assert not (checkout.root / ".venv.log").exists()


def test_second_call_says_and_installs_nothing(made):
    made.environ["PIP_FIND_LINKS"] = "nowhere"
    result = made.run("list", cwd="/")
    assert result.returncode == 0
    assert result.stderr == ""
    assert json.loads(result.stdout) == {"by": "tiny_cli", "arguments": ["list"], "folder": "/"}


def test_through_a_symlink(made, tmp_path):
    link = tmp_path / "a link"
    link.symlink_to(made.root / "zoo")
    result = made.run("list", zoo=link)
    assert (result.returncode, result.stderr) == (0, "")


def test_test_runs_pytest_in_parallel_in_the_checkout(made):
    result = made.run("test", "-k", "a or b", cwd="/")
    told = json.loads(result.stdout)
    assert told["arguments"] == ["-n", "auto", "--dist", "loadgroup", "-k", "a or b"]
    assert told["folder"] == str(made.root)


def test_exit_code_is_the_commands(made):
    (made.root / "tiny_cli.py").write_text("def main():\n    return 7\n")
    assert made.run("list").returncode == 7


def test_changed_lock_brings_the_environment_up_to_date(made):
    made.lock("alpha==2.0", "beta_x==1.0")
    result = made.run("list")
    assert result.returncode == 0, result.stderr
    assert "up to date" in result.stderr
    assert made.installed() == {"alpha": "2.0", "beta_x": "1.0"}
    assert made.run("list").stderr == ""


def test_update_without_network_keeps_the_old_environment(made):
    made.lock("alpha==2.0", "delta==1.0")
    assert "check the network" in one_line(made.run("list"))
    made.reset()
    assert made.run("list").stderr == ""
    assert made.installed() == {"alpha": "1.0", "pytest": "1.0"}


def test_package_that_is_not_the_pinned_one(made):
    (made.root / "requirements.lock").write_text(f"alpha==2.0 --hash=sha256:{'0' * 64}\n")
    assert "not the pinned one" in one_line(made.run("list"))


GPU = "echo 'GPU 0: NVIDIA H200 (UUID: GPU-0)'"


def test_gpu_takes_the_cuda_lock_and_keeps_it(checkout):
    checkout.program("nvidia-smi", GPU)
    assert checkout.run("list").returncode == 0
    assert checkout.installed() == {"alpha": "1.0", "beta_x": "1.0", "pytest": "1.0"}
    assert checkout.run("list").stderr == ""
    checkout.program("nvidia-smi", "echo 'No devices were found'")
    assert checkout.run("list").stderr == ""


def test_gpu_that_appears_later_leaves_a_ready_environment_and_is_told_of(made):
    made.program("nvidia-smi", GPU)
    for _ in range(2):
        result = made.run("list")
        assert result.returncode == 0
        assert result.stderr.count("\n") == 1
        assert "remove .venv and run ./zoo again" in result.stderr
    assert made.installed() == {"alpha": "1.0", "pytest": "1.0"}
    made.lock("alpha==2.0", "pytest==1.0")
    assert "up to date" in made.run("list").stderr
    assert made.installed() == {"alpha": "2.0", "pytest": "1.0"}


def test_moved_checkout_gets_a_new_environment(checkout):
    assert checkout.run("list").returncode == 0
    checkout.root = checkout.root.rename(checkout.root.with_name("moved zoo"))
    result = checkout.run("list")
    assert result.returncode == 0, result.stderr
    assert checkout.run("list").stderr == ""


def test_no_network_on_first_use(checkout):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        del checkout.environ["PIP_NO_INDEX"], checkout.environ["PIP_FIND_LINKS"]
        checkout.environ["PIP_INDEX_URL"] = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        line = one_line(checkout.run("list"))
    assert "check the network" in line
    assert str(checkout.root / ".venv.log") in line
    checkout.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": checkout.wheels.as_uri()}
    assert checkout.run("list").returncode == 0


@pytest.fixture
def silent_index(checkout):
    """Lets pip hang in its download; the event is set when it does."""
    server = socket.create_server(("127.0.0.1", 0))
    reached = threading.Event()
    connections = []

    def accept():
        while True:
            try:
                connections.append(server.accept()[0])
            except OSError:
                return
            reached.set()

    thread = threading.Thread(target=accept)
    thread.start()
    offline = dict(checkout.environ)
    del checkout.environ["PIP_NO_INDEX"]
    checkout.environ["PIP_INDEX_URL"] = f"http://127.0.0.1:{server.getsockname()[1]}/simple"

    def stop():
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in connections:
            connection.close()
        thread.join()
        checkout.environ = offline

    yield reached, connections, stop
    if server.fileno() != -1:
        stop()


def test_killed_launcher_is_recovered_from(checkout, silent_index):
    reached, _, stop = silent_index
    process = checkout.start("list")
    assert reached.wait(60)
    process.kill()
    process.communicate()
    stop()  # pip, left alone, gives up now
    result = checkout.run("list")
    assert result.returncode == 0, result.stderr
    assert "unfinished" in result.stderr
    assert checkout.run("list").stderr == ""


def test_interrupt_stops_pip_too_and_is_recovered_from(checkout, silent_index):
    reached, connections, _ = silent_index
    process = checkout.start("list")
    assert reached.wait(60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("zoo: stopped by SIGINT")
    connections[0].settimeout(30)
    while connections[0].recv(65536):
        pass  # ends because the process at the other end has gone


def test_two_calls_at_once_make_one_environment(checkout):
    processes = [checkout.start("list", str(number)) for number in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [json.loads(output)["arguments"][1] for output, _ in results] == ["0", "1"]
    assert sum("making the environment in" in errors for _, errors in results) == 1


@pytest.mark.parametrize("file", ["pyvenv.cfg", "conda-meta/history"])
def test_environment_that_somebody_made_by_hand_is_kept(checkout, file):
    (checkout.root / ".venv" / file).parent.mkdir(parents=True)
    (checkout.root / ".venv" / file).write_text("home = /nowhere\n")
    result = checkout.run("list")
    assert result.returncode == 0, result.stderr
    assert ".venv.old" in result.stderr
    assert (checkout.root / ".venv.old" / file).read_text() == "home = /nowhere\n"


def test_no_suitable_python(checkout):
    pyproject = checkout.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(">=3.11,<3.14", ">=3.40,<3.42"))
    line = one_line(checkout.run("list"))
    assert "3.40 to 3.41" in line
    assert f"python3 = 3.{sys.version_info.minor}" in line


def test_python_without_venv(checkout, tmp_path):
    """Debian's python3 without python3-venv has no ensurepip."""
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        checkout.program(name, f'PYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"')
    line = one_line(checkout.run("list"))
    assert f"apt install python3.{sys.version_info.minor}-venv" in line


def test_too_little_disk_before_the_start(checkout):
    checkout.program("df", "echo Avail; echo 512000")
    line = one_line(checkout.run("list"))
    assert "512 MB are free" in line
    assert str(checkout.root) in line


def test_too_little_disk_before_an_update(made):
    made.lock("alpha==2.0", "pytest==1.0")
    made.program("df", "echo Avail; echo 512000")
    assert "512 MB are free" in one_line(made.run("list"))
    (made.programs / "df").unlink()
    made.reset()
    assert made.run("list").stderr == ""


def test_full_disk_on_the_way(checkout):
    (checkout.root / "fill-the-disk").touch()
    assert "the disk is full" in one_line(checkout.run("list"))


def test_checkout_that_cannot_be_written():
    # Not in pytest's folder: that one is closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder))
        for path in (Path(folder), checkout.root):
            path.chmod(0o555)
        command = [checkout.root / "zoo", "list"]
        if os.geteuid() == 0:  # whom no permission stops
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
            if subprocess.run([*command[:-2], "true"], capture_output=True).returncode:
                pytest.skip("root may not become another user here")
        result = subprocess.run(command, env=checkout.environ, capture_output=True, text=True)
        for path in (Path(folder), checkout.root):
            path.chmod(0o755)
    assert f"cannot write in '{checkout.root}'" in one_line(result)


def test_launcher_is_executable():
    assert ZOO.stat().st_mode & stat.S_IXUSR
