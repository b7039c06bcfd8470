"""`local/install.sh` and the Makefile, run for real in a folder of their own with one tiny package from the disk."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone with a space in its path, and pip and uv kept to a folder with one package."""
    folder = tmp_path / "a clone"
    (folder / "local").mkdir(parents=True)
    shutil.copy(REPOSITORY / "local" / "install.sh", folder / "local")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "tinypackage", "1.0")
    (folder / "requirements.txt").write_text("tinypackage==1.0\n")
    return folder


def make_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def install(clone: Path, requirements: str = "requirements.txt", path: str | None = None, **env: str):
    """Nothing is fetched: without uv among the wheels, this takes the way of pip."""
    settings = {
        "PATH": path or f"{Path(sys.executable).resolve().parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(clone),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": (clone.parent / "wheels").as_uri(),
        **env,
    }
    command = ["/bin/sh", "local/install.sh", requirements]
    return subprocess.run(command, cwd=clone, env=settings, capture_output=True, text=True, timeout=300, check=False)


def version_in(clone: Path) -> str:
    command = [clone / ".venv/bin/python", "-c", "import tinypackage; print(tinypackage.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_installs_once_and_then_does_nothing_until_the_requirements_change(clone):
    first = install(clone)
    assert first.returncode == 0, first.stderr
    assert "Making .venv with Python 3." in first.stdout
    assert "Installing 1 packages of requirements.txt" in first.stdout
    assert version_in(clone) == "1.0"
    wanted = hashlib.sha256((clone / "requirements.txt").read_bytes()).hexdigest()
    assert (clone / ".venv/.ready-requirements").read_text().split()[0] == wanted
    assert (clone / ".venv/.install-seconds").read_text().strip().isdigit()

    assert install(clone).stdout == ""

    make_wheel(clone.parent / "wheels", "tinypackage", "2.0")
    (clone / "requirements.txt").write_text("tinypackage==2.0\n")
    changed = install(clone)
    assert "Making" not in changed.stdout
    assert version_in(clone) == "2.0"


def test_a_failed_install_does_not_look_ready_and_the_next_one_succeeds(clone):
    (clone / "requirements.txt").write_text("tinypackage==9.9\n")
    failed = install(clone)
    assert failed.returncode == 1
    assert "tinypackage==9.9" in failed.stderr
    assert not (clone / ".venv/.ready-requirements").exists()
    (clone / "requirements.txt").write_text("tinypackage==1.0\n")
    assert install(clone).returncode == 0
    assert version_in(clone) == "1.0"


def test_a_half_made_venv_is_made_anew(clone):
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(Path(sys.executable).resolve())  # as `python -m venv` begins
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert "Making .venv" in done.stdout
    assert version_in(clone) == "1.0"


def script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def tools(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).symlink_to(shutil.which(name))


def test_a_python_that_does_not_run_or_does_not_fit_is_passed_over(clone, tmp_path):
    bin_ = tmp_path / "bin"
    script(bin_, "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    script(bin_, "python3.12", "exit 1  # an older one under a newer name")
    script(bin_, "python3.11", f'exec "{Path(sys.executable).resolve()}" "$@"')
    done = install(clone, path=f"{bin_}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert version_in(clone) == "1.0"


def test_without_a_fitting_python_it_says_what_is_needed(clone, tmp_path):
    tools(tmp_path / "bin", "sh", "dirname", "basename", "sha256sum", "cat", "date", "id", "flock")
    script(tmp_path / "bin", "python3", "exit 1")
    done = install(clone, path=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11, 3.12 or 3.13 is needed")
    assert not (clone / ".venv").exists()


def test_without_ensurepip_an_ordinary_user_is_told_the_command(clone, tmp_path):
    bin_ = tmp_path / "bin"
    tools(bin_, "sh", "dirname", "basename", "sha256sum", "cat", "date", "flock", "rm")
    script(bin_, "id", "echo 1000")
    real = Path(sys.executable).resolve()
    script(bin_, "python3", f'[ "$2" = venv ] && {{ mkdir -p .venv; exit 1; }}; exec "{real}" "$@"')
    done = install(clone, path=str(bin_))
    assert done.returncode == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"`sudo apt-get install -y python{version}-venv`" in done.stderr


@pytest.fixture
def made(tmp_path):
    """The Makefile with a Python that prints what it is called with."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    script(tmp_path / "local", "install.sh", "exit 0")
    (tmp_path / ".venv").mkdir()
    script(tmp_path / ".venv/bin", "python", 'for word; do printf "<%s>" "$word"; done; echo')
    return tmp_path


def make(folder: Path, *arguments: str) -> str:
    return subprocess.run(["make", "-s", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_make_hands_values_on_as_they_were_typed(made):
    assert make(made, "demo", 'DATA=my data/$HOME\'s "shop".csv') == (
        '<-m><local><demo><--data><my data/$HOME\'s "shop".csv>\n'
    )
    conf = '{"a": "it\'s $5", "b": [1]}'
    assert make(made, "run", "DAG=daily", "DAY=2011-12-10", f"CONF={conf}") == (
        f"<-m><local><run><--dag=daily><--day=2011-12-10><--conf={conf}>\n"
    )
    assert make(made, "psql", 'ARGS=-c "select 1"') == "<-m><local><psql><--><-c><select 1>\n"
    assert make(made, "load") == "<-m><local><load>\n"


def test_make_alone_lists_the_targets(made):
    listed = make(made)
    for target in ("demo", "up", "down", "status", "load", "run", "psql", "warehouse-url", "test", "lint"):
        assert f"  make {target} " in listed


def test_commands_before_any_install_say_so(made):
    shutil.rmtree(made / ".venv")
    done = subprocess.run(["make", "-s", "warehouse-url"], cwd=made, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("Nothing is installed yet: run `make up`")
