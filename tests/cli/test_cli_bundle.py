"""`fetch`, `bundle` and `load-bundle`: what they print, to which stream, and how they end."""

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable

SURE, LOOSE = b"sure " * 1000, b"loose " * 1000
SURE_DIGEST, LOOSE_DIGEST = (hashlib.sha256(content).hexdigest() for content in (SURE, LOOSE))


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows with a whole sha256, without one, and without a source that may be used; a mirror of two files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "sure.pth").write_bytes(SURE)
    (folder / "loose.pth").write_bytes(LOOSE)
    rows = [
        {"name": "mine/sure", "sources": [["url", "https://weights.test/sure.pth"]], "sha256": SURE_DIGEST},
        {"name": "mine/loose", "sources": [["url", "https://weights.test/loose.pth"]]},
        {"name": "mine/lost", "sources": [["url", "http://weights.test/lost-f71d82a5.pth"]]},
    ]
    rows[0]["license"] = "MIT"
    rows[1]["license"] = "CC-BY-NC-4.0"
    (tmp_path / "rows.json").write_text(json.dumps([row | {"architecture": "timm/resnet18"} for row in rows]))
    monkeypatch.setenv("HEADSTART_CATALOG", str(tmp_path / "rows.json"))
    monkeypatch.setenv("HEADSTART_MIRROR", str(folder))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    return folder


@pytest.fixture
def travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that goes to a machine with an empty cache and no mirror."""

    def go() -> None:
        monkeypatch.delenv("HEADSTART_MIRROR")
        monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "elsewhere"))

    return go


class TestFetch:
    def test_a_line_a_model_with_path_size_digest_and_state(self, headstart: Command) -> None:
        said = headstart("fetch", "mine/sure", "mine/loose")
        assert said.code == 0
        sure, loose = said.out.splitlines()
        assert sure.startswith(f"mine/sure: verified, 0.0 MB, sha256 {SURE_DIGEST}, ")
        assert loose.startswith(f"mine/loose: unverified, 0.0 MB, sha256 {LOOSE_DIGEST}, ")
        assert Path(sure.rpartition(", ")[2]).read_bytes() == SURE

    def test_names_may_stand_behind_commas_and_patterns_mean_all(self, headstart: Command) -> None:
        assert len(headstart("fetch", "mine/sure,mine/loose").out.splitlines()) == 2
        assert len(headstart("fetch", "mine/[sl]*e").out.splitlines()) == 2

    def test_json_holds_the_same(self, headstart: Command) -> None:
        (row,) = json.loads(headstart("fetch", "mine/loose", "--json").out)
        assert row["model"] == "mine/loose"
        assert (row["sha256"], row["size_bytes"]) == (LOOSE_DIGEST, len(LOOSE))
        assert (row["state"], row["is_verified"]) == ("unverified", False)
        assert Path(row["path"]).read_bytes() == LOOSE

    def test_digest_that_the_user_knows_verifies(self, headstart: Command) -> None:
        assert "unverified" in headstart("fetch", "mine/loose").out
        assert "verified" in headstart("fetch", "mine/loose", "--sha256", LOOSE_DIGEST.upper()).out
        assert "unverified" not in headstart("fetch", "mine/loose").out

    def test_wrong_digest_is_an_error_and_loses_nothing(self, headstart: Command) -> None:
        before = headstart("fetch", "mine/loose").out
        said = headstart("fetch", "mine/loose", "--sha256", SURE_DIGEST)
        assert said.code == 1
        assert f"expected {SURE_DIGEST}" in said.error_lines()[0]
        assert headstart("fetch", "mine/loose").out == before

    def test_digest_belongs_to_one_model(self, headstart: Command) -> None:
        said = headstart("fetch", "mine/sure", "mine/loose", "--sha256", LOOSE_DIGEST)
        assert said.code == 1
        assert "2 models are named" in said.error_lines()[0]

    def test_what_is_no_digest_is_an_error(self, headstart: Command) -> None:
        said = headstart("fetch", "mine/loose", "--sha256", "abc")
        assert said.code == 1
        assert said.error_lines() == ["error: 'abc' is not a sha256"]
        assert said.hint_lines()

    def test_one_that_cannot_be_had_does_not_stop_the_others(self, headstart: Command) -> None:
        said = headstart("fetch", "mine/lost", "mine/sure")
        assert said.code == 1
        assert said.out.startswith("mine/sure: verified")
        assert said.error_lines()[0].startswith("error: 1 of 2 models were not fetched: mine/lost: ")

    def test_model_without_a_source_is_told_with_every_way_out(self, headstart: Command) -> None:
        said = headstart("fetch", "mine/lost")
        assert said.code == 1
        assert "no source that may be used" in said.error_lines()[0]
        assert "headstart fetch mine/lost --sha256 HEX" in said.hint_lines()[0]
        assert "mine/lost@lost-f71d82a5.pth" in said.hint_lines()[0]

    def test_unknown_names_are_told_before_anything_is_fetched(
        self, headstart: Command, own_home: Path
    ) -> None:
        assert headstart("fetch", "mine/sure", "mine/nobody").code == 1
        assert headstart("fetch", "mine/sure", "nobody/*").code == 1
        assert not (own_home / "weights").exists()


class TestBundle:
    def test_weights_travel(self, headstart: Command, travel: Callable[[], None], tmp_path: Path) -> None:
        said = headstart("bundle", "mine/sure", "mine/loose", "-o", "models.zip")
        assert said.code == 0
        assert "mine/sure: 0.0 MB, licence MIT" in said.out
        assert "written to models.zip" in said.out
        assert "warning: the licence CC-BY-NC-4.0 may not let you pass on" in said.err
        travel()
        loaded = headstart("load-bundle", "models.zip", "--trust")
        assert loaded.code == 0
        assert [line.partition(",")[0] for line in loaded.out.splitlines()] == [
            "mine/sure: loaded",
            "mine/loose: loaded",
        ]
        assert headstart("fetch", "mine/sure", "mine/loose").code == 0
        assert "here already" in headstart("load-bundle", "models.zip").out

    def test_without_trust_the_rest_is_named_with_the_way_to_take_it(
        self, headstart: Command, travel: Callable[[], None]
    ) -> None:
        headstart("bundle", "mine/sure", "mine/loose", "--out", "models.zip")
        travel()
        said = headstart("load-bundle", "models.zip")
        assert said.code == 1
        assert said.out.startswith("mine/sure: loaded")
        assert "mine/loose: not loaded, the catalogue knows no whole sha256 of it" in said.err
        assert said.error_lines() == [
            "error: 1 of 2 models were not loaded; without a whole sha256 in the catalogue: mine/loose"
        ]
        assert "headstart load-bundle models.zip --trust" in said.hint_lines()[0]
        assert headstart("fetch", "mine/sure").code == 0

    def test_models_that_are_not_in_this_catalogue_are_passed_over(
        self, headstart: Command, travel: Callable[[], None], tmp_path: Path
    ) -> None:
        headstart("bundle", "mine/sure", "mine/loose", "-o", "models.zip")
        travel()
        rows = json.loads((tmp_path / "rows.json").read_text())
        (tmp_path / "rows.json").write_text(json.dumps(rows[:1]))
        said = headstart("load-bundle", "models.zip", "--trust")
        assert said.code == 0
        assert "mine/loose: passed over" in said.err
        (tmp_path / "rows.json").write_text("[]")
        said = headstart("load-bundle", "models.zip", "--trust")
        assert said.code == 1
        assert "not in this catalogue: mine/sure, mine/loose" in said.error_lines()[0]

    def test_damaged_file_is_told(
        self, headstart: Command, travel: Callable[[], None], tmp_path: Path
    ) -> None:
        headstart("bundle", "mine/sure", "-o", "models.zip")
        travel()
        content = (tmp_path / "models.zip").read_bytes()
        (tmp_path / "models.zip").write_bytes(content.replace(b"sure sure", b"evil evil", 1))
        said = headstart("load-bundle", "models.zip")
        assert said.code == 1
        assert "mine/sure: refused" in said.err
        assert "damaged" in said.error_lines()[0]

    def test_both_print_json(self, headstart: Command, travel: Callable[[], None]) -> None:
        written = json.loads(headstart("bundle", "mine/sure", "-o", "models.zip", "--json").out)
        assert written["models"][0]["sha256"] == SURE_DIGEST
        travel()
        (row,) = json.loads(headstart("load-bundle", "models.zip", "--json").out)
        assert (row["name"], row["outcome"]) == ("mine/sure", "loaded")

    def test_what_is_no_bundle_is_an_error(self, headstart: Command, tmp_path: Path) -> None:
        (tmp_path / "models.zip").write_text("not a zip")
        said = headstart("load-bundle", "models.zip")
        assert said.code == 1
        assert "is not a bundle" in said.error_lines()[0]

    def test_names_with_control_characters_do_not_reach_the_terminal(
        self, headstart: Command, tmp_path: Path
    ) -> None:
        entry = {
            "name": "mine/\x1b[31mred",
            "license": "MIT",
            "sha256": SURE_DIGEST,
            "size_bytes": len(SURE),
            "source": {"kind": "url", "location": "", "filename": ""},
        }
        with zipfile.ZipFile(tmp_path / "models.zip", "w") as archive:
            archive.writestr("bundle.json", json.dumps({"format": 1, "models": [entry]}))
            archive.writestr(f"weights/{SURE_DIGEST}", SURE)
        said = headstart("load-bundle", "models.zip", "--trust")
        assert "mine/?[31mred" in said.err
        assert "\x1b" not in said.out + said.err


def test_none_of_them_needs_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from headstart.cli import main\n"
        "for words in ('fetch mine/sure', 'bundle mine/sure -o a.zip', 'load-bundle a.zip'):\n"
        "    sys.argv = ['headstart', *words.split()]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
        "print('torch' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "False"
