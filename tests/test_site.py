"""Sites are read strictly, and their scripts say what they were told."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lampion import site
from lampion.cli import app
from lampion.errors import LampionError, SettingError

SITE = 'partition: batch\naccount: mat-42\ntime: "12:00:00"\ncores: 8\ngpus: 2\nmemory: 16G\nmodules: [gcc/12.2]\n'


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMPION_SITES", str(tmp_path / "sites"))
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites/big.yaml").write_text(SITE + "setup: [source /x/bin/activate]\nlauncher: srun\n")
    return tmp_path / "sites"


@pytest.mark.usefixtures("sites")
def test_a_script_says_what_the_site_says_and_is_shell(tmp_path: Path) -> None:
    text = site.script(site.read("big"), name="Li diffusion; rm -rf", work="lampion run --no-wait study.yaml", jobs=4)
    for line in (
        "#SBATCH --job-name=Li-diffusion-rm--rf",
        "#SBATCH --account=mat-42",
        "#SBATCH --partition=batch",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --gres=gpu:2",
        "#SBATCH --mem=16G",
        "#SBATCH --time=12:00:00",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --array=1-4",
        "module load gcc/12.2",
        "source /x/bin/activate",
        "export LAMPION_MPIEXEC=srun",
        "lampion run --no-wait study.yaml &",
    ):
        assert line in text.splitlines()
    assert "qos" not in text
    (tmp_path / "s.sh").write_text(text)
    subprocess.run(["bash", "-n", str(tmp_path / "s.sh")], check=True)
    assert "--array" not in site.script(site.read("big"), name="x", work="true")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("partition: batch\n", "time: is needed"),
        (SITE + "walltime: 3\n", "walltime: unknown key; a site has scheduler, account"),
        (SITE.replace("12:00:00", "soon"), "time: must be a time as 12:00:00"),
        (SITE.replace("16G", "much"), "memory: must be a size as 8G"),
        (SITE.replace("batch", '"a; rm -rf /"'), "partition: "),
        (SITE.replace("8\n", "none\n"), "cores: "),
        ("a: [", "is no YAML"),
        ("3", "big.yaml: "),
    ],
)
def test_a_site_that_is_none_is_a_sentence(sites: Path, text: str, words: str) -> None:
    (sites / "big.yaml").write_text(text)
    with pytest.raises(SettingError) as refusal:
        site.read("big")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("sites")
def test_a_site_that_is_not_there_names_those_that_are() -> None:
    for name in ("small", "../big", ""):
        with pytest.raises(SettingError, match="no such site; write it \\(there are: big\\)"):
            site.read(name)


def test_sites_are_listed_and_shown(sites: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["site", "list"]).output.splitlines() == [
        "local (this machine)",
        "big",
        f"site files lie in {sites}",
    ]
    assert "#SBATCH --partition=batch" in runner.invoke(app, ["site", "show", "big"]).output


@pytest.mark.usefixtures("sites")
def test_without_a_scheduler_a_submission_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LampionError, match="there is no sbatch on the PATH"):
        CliRunner().invoke(app, ["site", "check", "big"], catch_exceptions=False)
