import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from headstart.core.digest import digest_bytes
from headstart.core.errors import DataError, InputError
from headstart.data import dataset_from_arrays, decode, open_dataset, workers
from headstart.data.scan import digest_picture, scan

TWIN = b"P5 2 2 255\n\x01\x02\x03\x04"


class Listener:
    def __init__(self):
        self.total, self.done, self.notes = None, 0, []

    def start(self, what, *, total=None, unit=""):
        self.total = total

    def advance(self, count=1):
        self.done += count

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def pictures(make_folder):
    names = dict.fromkeys(f"{label}/{number:02d}.png" for label in "ab" for number in range(50))
    names |= {"a/00.png": TWIN, "a/01.png": TWIN, "b/07.png": TWIN, "b/49.png": b"broken"}
    return open_dataset(make_folder(names))


THREADS, PROCESSES = 10**9, 0


def use(way, monkeypatch):
    monkeypatch.setattr(workers, "_MIN_FOR_PROCESSES", way)


@pytest.mark.parametrize("way", [THREADS, PROCESSES])
@pytest.mark.parametrize("num_workers", [1, 4])
def test_scan(pictures, num_workers, way, monkeypatch):
    use(way, monkeypatch)
    listener = Listener()
    found = scan(pictures, progress=listener, num_workers=num_workers)
    assert [each.id for each in found.excluded] == ["b/49.png"]
    assert found.dataset.excluded == found.excluded
    assert found.dataset.ids == pictures.ids[:-1]
    assert found.dataset.digests == tuple(
        digest_bytes(pictures.source.read(each)) for each in pictures.ids[:-1]
    )
    assert found.duplicates == (("a/00.png", "a/01.png", "b/07.png"),)
    assert found.conflicts == found.duplicates
    assert (found.widths[5], found.heights[5]) == (12, 10)
    assert found.widths.dtype == found.heights.dtype == np.int64
    assert (listener.total, listener.done) == (100, 100)
    assert listener.notes == [
        "left out b/49.png: not a picture: it begins with the text 'broken'",
    ]


def test_the_limit_is_a_share_of_all_pictures(pictures):
    assert scan(pictures, max_unreadable=0.01).excluded
    with pytest.raises(DataError, match=r"1 of 100 pictures \(1.0%\) cannot be read, more than the 0.9%"):
        scan(pictures, max_unreadable=0.009)


def test_nothing_readable(make_folder):
    broken = open_dataset(make_folder({"a/1.png": b"", "b/1.png": b""}))
    assert len(scan(broken, max_unreadable=1).dataset) == 0
    with pytest.raises(DataError, match="empty file"):
        scan(broken)


def test_wrong_arguments(pictures):
    with pytest.raises(InputError, match="max_unreadable"):
        scan(pictures, max_unreadable=10)
    with pytest.raises(InputError, match="num_workers"):
        scan(pictures, num_workers=0)


def test_an_array_s_digest_knows_its_shape():
    pixels = np.arange(12, dtype=np.uint8)
    digests = {digest_picture(pixels.reshape(shape)) for shape in [(3, 4), (4, 3), (2, 2, 3)]}
    assert len(digests) == 3
    flipped = np.arange(12, dtype=np.uint8)[::-1][::-1].reshape(3, 4)  # another memory layout
    assert digest_picture(flipped) in digests
    assert digest_picture(np.asfortranarray(flipped)) in digests


def test_the_fingerprint_knows_the_content():
    images = np.zeros((4, 3, 3), dtype=np.uint8)
    before = scan(dataset_from_arrays(images, [0, 0, 1, 1])).dataset.fingerprint
    images[3, 0, 0] = 1
    assert scan(dataset_from_arrays(images, [0, 0, 1, 1])).dataset.fingerprint != before


@pytest.mark.parametrize("way", [THREADS, PROCESSES])
def test_meanwhile_comes_once_the_workers_are_at_work(way, monkeypatch, tmp_path):
    use(way, monkeypatch)
    images, calls = np.zeros((100, 2, 2), dtype=np.uint8), []

    class Source:
        def read(self, picture_id):
            (tmp_path / str(os.getpid())).touch()
            return images[0]

    def meanwhile():
        deadline = time.monotonic() + 30
        while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        calls.append([int(path.name) for path in tmp_path.iterdir()])

    pictures = replace(dataset_from_arrays(images, [0] * 50 + [1] * 50), source=Source())
    assert len(scan(pictures, meanwhile=meanwhile).dataset) == 100
    assert len(calls) == 1
    assert calls[0]
    assert (os.getpid() in calls[0]) == (way == THREADS)


@pytest.mark.parametrize("way", [THREADS, PROCESSES])
@pytest.mark.parametrize("where", ["progress", "source", "meanwhile"])
def test_an_interrupt_stops_the_workers_at_once(where, way, monkeypatch):
    use(way, monkeypatch)
    images = np.zeros((100_000, 2, 2), dtype=np.uint8)
    pictures = dataset_from_arrays(images, [0] * 50_000 + [1] * 50_000)

    def interrupt():
        raise KeyboardInterrupt

    class Interrupting(Listener):
        def advance(self, count=1):
            interrupt()

    class Source:
        def read(self, picture_id):
            if where == "source" and picture_id.endswith("000010"):
                interrupt()
            if not picture_id.startswith("arrays/0000"):  # a task of these alone would take 6 seconds
                time.sleep(0.2)
            return images[0]

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scan(
            replace(pictures, source=Source()),
            meanwhile=interrupt if where == "meanwhile" else None,
            progress=Interrupting() if where == "progress" else Listener(),
        )
    assert time.monotonic() - started < 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scan")]
    assert not multiprocessing.active_children()


def test_few_pictures_are_held_at_a_time(monkeypatch):
    use(THREADS, monkeypatch)
    held, most, lock = 0, 0, threading.Lock()

    class Tracked(np.ndarray):
        def __del__(self):
            nonlocal held
            with lock:
                held -= 1

    class Source:
        def read(self, picture_id):
            nonlocal held, most
            with lock:
                held += 1
                most = max(most, held)
            return np.zeros((4, 4), dtype=np.uint8).view(Tracked)

    pictures = dataset_from_arrays(np.zeros((2000, 4, 4), dtype=np.uint8), [0, 1] * 1000)
    scan(replace(pictures, source=Source()), num_workers=2)
    assert most < 20


def test_a_process_that_is_ended_from_outside_is_a_clear_error(pictures, monkeypatch):
    use(PROCESSES, monkeypatch)

    class Crashing:
        def read(self, picture_id):
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(DataError, match="ended from outside") as found:
        scan(replace(pictures, source=Crashing()), num_workers=2)
    assert "memory" in found.value.hint


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    program = """
import sys, time
import numpy as np
from dataclasses import replace
from headstart.data import dataset_from_arrays, workers
from headstart.data.scan import scan

class Source:
    def read(self, picture_id):
        import os
        with open(f"{sys.argv[1]}/{os.getpid()}", "w"):
            pass
        time.sleep(60)

workers._MIN_FOR_PROCESSES = 0
pictures = dataset_from_arrays(np.zeros((100, 2, 2), np.uint8), [0, 1] * 50)
scan(replace(pictures, source=Source()), num_workers=2)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(is_running(int(each.name)) for each in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_process_that_may_have_none_of_its_own_uses_threads(pictures, monkeypatch):
    use(PROCESSES, monkeypatch)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    found = scan(pictures, num_workers=2)
    assert len(found.dataset) == 99


def test_processes_begin_with_locks_that_nobody_holds(pictures, monkeypatch):
    use(PROCESSES, monkeypatch)
    with decode._pixel_limit_lock, decode._large_picture_lock:  # as another thread might at this moment
        assert len(scan(pictures, num_workers=2).dataset) == 99
