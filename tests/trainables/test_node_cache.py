"""The node's cache: verified, bounded, its user's alone, and never in the way."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import subprocess
from pathlib import Path

import pytest

from trainables import node_cache
from trainables.node_cache import NodeCache


def named(content):
    return hashlib.sha256(content).hexdigest()


def some(number, size=1000):
    content = random.Random(number).randbytes(size)
    return named(content), content


@pytest.fixture
def cache(tmp_path):
    return NodeCache(tmp_path / "cache", 3500)


def held(cache):
    return {path.name for path in cache.folder.iterdir()}


def used(cache, sha256, seconds):
    """Set when a file was last used."""
    os.utime(cache.folder / sha256, (seconds, seconds))


def test_what_is_put_is_got(cache):
    sha256, content = some(1)
    assert cache.get(sha256, len(content)) is None
    cache.put(sha256, content)
    cache.put(sha256, content)
    assert cache.get(sha256, len(content)) == content
    assert NodeCache(cache.folder, 10).get(sha256, len(content)) == content  # another worker's
    assert held(cache) == {sha256}
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert (cache.folder / sha256).stat().st_mode & 0o077 == 0


def test_the_least_recently_used_go_first(cache):
    pairs = [some(number) for number in range(4)]
    for second, (sha256, content) in enumerate(pairs[:3]):
        cache.put(sha256, content)
        used(cache, sha256, 1000 + second)
    assert cache.get(pairs[0][0], 1000)  # is now the most recently used
    cache.put(*pairs[3])
    assert held(cache) == {pairs[0][0], pairs[2][0], pairs[3][0]}


def test_what_is_larger_than_the_cache_is_not_kept(cache):
    kept, large = some(1), some(2, 3501)
    cache.put(*kept)
    cache.put(*large)
    assert held(cache) == {kept[0]}
    cache.put(*some(3, 3500))
    assert len(held(cache)) == 1
    assert sum(path.stat().st_size for path in cache.folder.iterdir()) == 3500


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:-1], lambda b: b + b"x", lambda b: b""]
)
def test_what_is_damaged_is_not_here(cache, damage):
    sha256, content = some(1)
    cache.put(sha256, content)
    (cache.folder / sha256).write_bytes(damage(content))
    assert cache.get(sha256, 1000) is None
    assert held(cache) == set()
    cache.put(sha256, content)
    assert cache.get(sha256, 1000) == content


def test_what_a_killed_process_left_is_taken_away(cache):
    left = cache.folder / f".{some(9)[0]}-123-abcd"
    left.write_bytes(b"x" * 3000)
    os.utime(left, (1, 1))
    pair = some(1)
    cache.put(*pair)
    assert held(cache) == {pair[0]}


@pytest.mark.parametrize("sha256", ["", "../x", "a" * 63, "A" * 64, "/etc/passwd", "a" * 64 + "\n"])
def test_names_that_are_no_checksums_are_refused(cache, sha256):
    cache.put(sha256, b"x")
    assert cache.get(sha256, 1) is None
    assert held(cache) == set()


def test_a_link_is_not_followed(cache, tmp_path):
    sha256, content = some(1)
    (tmp_path / "elsewhere").write_bytes(content)
    (cache.folder / sha256).symlink_to(tmp_path / "elsewhere")
    assert cache.get(sha256, 1000) is None


def test_a_folder_of_someone_elses_is_not_used(tmp_path, monkeypatch):
    pair = some(1)
    open_to_all, linked, real = tmp_path / "open", tmp_path / "linked", tmp_path / "real"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    real.mkdir(mode=0o700)
    linked.symlink_to(real)
    file = tmp_path / "file"
    file.write_bytes(b"")
    for folder in (open_to_all, linked, file, file / "below"):
        cache = NodeCache(folder, 5000)
        assert not cache.usable
        cache.put(*pair)
        assert cache.get(pair[0], 1000) is None
    assert [*open_to_all.iterdir(), *real.iterdir()] == []
    assert NodeCache(real, 5000).usable
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not NodeCache(real, 5000).usable


def test_where_a_node_keeps_it(tmp_path, monkeypatch):
    shared, temporary = tmp_path / "shm", tmp_path / "tmp"
    shared.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(node_cache, "SHARED_MEMORY", shared)
    monkeypatch.setattr(node_cache.tempfile, "gettempdir", lambda: str(temporary))
    monkeypatch.setattr(node_cache, "_room", lambda folder: 8000)
    monkeypatch.setattr(node_cache, "_memory", lambda: 16_000)
    name = f"order-search-{os.getuid()}"
    assert NodeCache.here(4000).folder == shared / name
    assert NodeCache.here(4001).folder == temporary / name
    monkeypatch.setattr(node_cache, "_memory", lambda: 15_999)  # shared memory is memory
    assert NodeCache.here(4000).folder == temporary / name
    assert (temporary / name).stat().st_mode & 0o777 == 0o700
    monkeypatch.undo()
    assert node_cache._room(Path("/no/such/folder")) == 0
    assert node_cache._memory() > 0


def test_a_folder_that_is_taken_away_is_not_missed(cache):
    pair = some(1)
    cache.put(*pair)
    (cache.folder / pair[0]).unlink()
    cache.folder.rmdir()
    assert cache.get(pair[0], 1000) is None
    cache.put(*pair)
    assert cache.get(pair[0], 1000) is None


def test_a_full_disk_keeps_nothing(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        cache = NodeCache(folder, 10**9)
        small, large = some(1, 300_000), some(2, 2_000_000)
        cache.put(*small)
        cache.put(*large)
        assert cache.get(large[0], 2_000_000) is None
        assert cache.get(small[0], 300_000) == small[1]
        assert held(cache) == {small[0]}
    finally:
        subprocess.run(["umount", folder], check=True)


def _use(folder, seed, wrong):
    cache, rng = NodeCache(folder, 20_000), random.Random(seed)
    for _ in range(300):
        sha256, content = some(rng.randrange(20), 2000)
        if rng.random() < 0.5:
            cache.put(sha256, content)
        elif (found := cache.get(sha256, len(content))) is not None and found != content:
            wrong.put(sha256)
    wrong.put("")


def test_several_processes_at_once(tmp_path):
    """With room for fewer files than are used, so that they are taken away under readers."""
    context = multiprocessing.get_context("fork")
    wrong = context.Queue()
    folder = tmp_path / "cache"
    users = [context.Process(target=_use, args=(folder, seed, wrong)) for seed in range(3)]
    for user in users:
        user.start()
    assert [wrong.get(timeout=60) for _ in users] == ["", "", ""]
    for user in users:
        user.join(30)
        assert user.exitcode == 0
    cache = NodeCache(folder, 20_000)
    assert all(named((folder / name).read_bytes()) == name for name in held(cache))
    cache.put(*some(99))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000
