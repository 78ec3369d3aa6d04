"""The images of a second node: links to files that never change, and its own records."""

from pathlib import Path

import pytest

from cluster import node_images


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An archive in the cache. The nodes of this machine have its image from the start."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = tmp_path / "cache" / "trainyard" / "images"
    images.mkdir(parents=True)
    store = images.parent / "node-images"
    (store / "content").mkdir(parents=True)
    (store / "content" / "blob").write_text("a layer")
    (store / "content" / "meta.db").write_text("as it was")
    found = images / "localhost-it-demo-0123456789abcdef.tar"
    node_images.record(store, found)
    return found


def test_nodes_share_only_files_that_never_change(archive: Path, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        node_images.link(root, [archive], pytest.fail)
    assert (one / "content" / "blob").samefile(two / "content" / "blob")
    (one / "content" / "meta.db").write_text("as this node changed it")
    newer = archive.with_name("localhost-it-demo-fedcba9876543210.tar")
    node_images.record(one, newer)
    assert (two / "content" / "meta.db").read_text() == "as it was"
    assert [node_images.has(root, archive) for root in (one, two)] == [False, True], "a newer one took its place"
    assert [node_images.has(root, newer) for root in (one, two)] == [True, False]


def test_only_in_the_cache_a_name_identifies_the_content(archive: Path, tmp_path: Path):
    root = tmp_path / "root"
    node_images.link(root, [archive], pytest.fail)
    elsewhere = tmp_path / archive.name
    node_images.record(root, elsewhere)
    assert not node_images.has(root, elsewhere)
