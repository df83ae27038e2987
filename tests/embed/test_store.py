"""Features that several machines share: written once, read by all, believed only where they are whole."""

import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_runner import CopyingRunner
from s3_server import s3_server

from headstart.core.digest import digest_bytes
from headstart.core.errors import InputError, StorageError
from headstart.data import open_dataset
from headstart.embed import Embeddings, embed
from headstart.embed.rows import find_places
from headstart.embed.store import EmbeddingStore
from headstart.models import Classifier, load

pytest.importorskip("pyarrow")

DIGESTS = [digest_bytes(bytes([number])) for number in range(7)]


@pytest.fixture(scope="module")
def tiny(tiny_models: tuple[str, str]) -> Classifier:
    return load(tiny_models[0])


@pytest.fixture(params=["folder", "memory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store in a folder, in memory behind an address, and in a real S3 server on this machine."""
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    if request.param == "memory":
        pytest.importorskip("fsspec")
        yield f"memory://{tmp_path.name}"
        return
    boto = pytest.importorskip("botocore.session")
    # One of another test knows another server.
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    bucket = f"features-{secrets.token_hex(4)}"
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto.get_session().create_client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}/embeddings"


def features_of(num_rows: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(num_rows, 5)).astype(np.float32)


def load_all(
    store: EmbeddingStore, digests: list[str], num_features: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    out, found = np.zeros((len(digests), num_features), np.float32), np.zeros(len(digests), np.bool_)
    store.load_into(out, find_places(digests), found)
    return out, found


def test_rows_come_back_bit_by_bit(location: str) -> None:
    store, features = EmbeddingStore(location, "space"), features_of(7)
    store.write(DIGESTS[:4], features[:4])
    store.write(DIGESTS[4:], features[4:])
    out, found = load_all(EmbeddingStore(location, "space"), [*reversed(DIGESTS)])
    assert found.all()
    assert np.array_equal(out, features[::-1])
    assert not load_all(EmbeddingStore(location, "another"), DIGESTS)[1].any()


def test_the_same_rows_are_there_once(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path), "space")
    for _ in range(3):
        store.write(DIGESTS, features_of(7))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    store.write([], features_of(0))
    assert len(list(tmp_path.rglob("*"))) == 2  # the folder of the space, and its file


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign"])
def test_damaged_files_count_as_not_there(damage: str, tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path), "space")
    store.write(DIGESTS[:4], features_of(4))
    store.write(DIGESTS[4:], features_of(3))
    file = sorted(tmp_path.rglob("*.parquet"))[0]
    data = bytearray(file.read_bytes())
    at = data.find(features_of(4)[1:2].tobytes()[:8])
    if damage == "changed":
        assert at > 0 or data.find(features_of(3)[1:2].tobytes()[:8]) > 0
        data[max(at, 100)] ^= 1
    content = {"cut": data[:-40], "changed": data, "empty": b"", "foreign": b"PAR1 no rows here PAR1"}[damage]
    file.write_bytes(content)
    _, found = load_all(store, DIGESTS)
    assert 3 <= found.sum() <= 4


def test_rows_of_another_length_are_passed_over(tmp_path: Path) -> None:
    store = EmbeddingStore(str(tmp_path), "space")
    store.write(DIGESTS, features_of(7))
    assert not load_all(store, DIGESTS, num_features=6)[1].any()


def test_another_machine_computes_nothing(
    tiny: Classifier, few_shapes: Path, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_STORE", location)
    first = embed(tiny, open_dataset(few_shapes))
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "another machine"))
    second = embed(tiny, open_dataset(few_shapes))
    assert (first.num_computed, second.num_computed) == (45, 0)
    assert np.array_equal(first.features, second.features)


def test_workers_write_what_the_driver_reads(
    tiny: Classifier, few_shapes: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: Embeddings = embed(tiny, open_dataset(few_shapes))
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "another machine"))
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "store"))
    there = embed(tiny, open_dataset(few_shapes), runner=CopyingRunner())
    assert there.ids == here.ids
    assert np.allclose(there.features, here.features, rtol=1e-3, atol=1e-3)
    assert list((tmp_path / "store").rglob("*.parquet"))
    assert not list((tmp_path / "another machine").rglob("rows-*"))  # none came through the driver


def test_what_workers_wrote_elsewhere_is_not_passed_over(
    tiny: Classifier, few_shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ElsewhereRunner(CopyingRunner):
        """Its workers write to a folder of theirs that bears the same name."""

        def map(self, *words: Any, **options: Any) -> Generator[Any, None, None]:
            results = list(super().map(*words, **options))
            shutil.rmtree(tmp_path / "store", ignore_errors=True)
            yield from results

    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path / "store"))
    with pytest.raises(StorageError, match="45 of 45 vectors"):
        embed(tiny, open_dataset(few_shapes), runner=ElsewhereRunner())


def test_a_key_in_the_address_is_refused() -> None:
    with pytest.raises(InputError, match="user name, key or password"):
        EmbeddingStore("s3://someone:secret@bucket/features", "space")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written to by root")
def test_a_store_that_may_not_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError):
        EmbeddingStore(str(tmp_path), "space").write(DIGESTS, features_of(7))
