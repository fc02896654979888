"""Entries on the Hugging Face Hub, against a stub of its HTTP interface that huggingface_hub itself talks to."""

import base64
import functools
import hashlib
import http.server
import json
import threading
import urllib.parse

import pytest

import keras_hypernet as kh
from keras_hypernet.zoo.store import find_entry, read_entry

ENTRY = "synthetic_width_embed"
_REGULAR = {"uploadMode": "regular", "shouldIgnore": False}


class Hub(http.server.BaseHTTPRequestHandler):
    """Repositories in memory, each a dict of files; the name of a commit is the digest of its files."""

    protocol_version = "HTTP/1.1"
    repositories: dict = {}  # noqa: RUF012

    def _answer(self, body=b"", status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _commit_of(self, repo):
        files = self.repositories[repo]
        return hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urllib.parse.urlsplit(self.path).path
        if path == "/api/repos/create":
            repo = "{organization}/{name}".format(**json.loads(body))
            self.repositories.setdefault(repo, {})
            return self._answer({"url": f"http://{self.headers['Host']}/{repo}", "id": repo})
        if "/validate-yaml" in path:
            return self._answer({"errors": [], "warnings": []})
        repo = "/".join(path.split("/")[3:5])
        if "/preupload/" in path:
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        for line in body.decode().splitlines():
            operation = json.loads(line)
            if operation["key"] == "file":
                self.repositories[repo][operation["value"]["path"]] = base64.b64decode(operation["value"]["content"])
        commit = self._commit_of(repo)
        return self._answer({"commitOid": commit, "commitUrl": f"http://{self.headers['Host']}/{repo}/commit/{commit}"})

    def do_GET(self):
        parts = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").split("/")
        api = parts[0] == "api"
        repo = "/".join(parts[2:4] if api else parts[:2])
        if repo not in self.repositories:
            return self._answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        files, commit = self.repositories[repo], self._commit_of(repo)
        if not api:
            content = files[parts[-1]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self._answer(content, ETag=etag, X_Repo_Commit=commit)
        if "tree" in parts:
            found = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            return self._answer(found)
        return self._answer({"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]})

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments):
        """Prints nothing."""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The repositories of a running stub, to which huggingface_hub talks; its cache is empty."""
    hf = pytest.importorskip("huggingface_hub")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    monkeypatch.setattr(Hub, "repositories", {})
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hf, "HfApi", functools.partial(hf.HfApi, endpoint=endpoint, token="stub"))
    monkeypatch.setattr(hf.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Hub.repositories
    hf.close_session()
    server.shutdown()
    server.server_close()


def test_an_entry_is_pushed_and_loaded_byte_by_byte(hub):
    url = kh.push(ENTRY, "hf://user/repo")
    assert "/user/repo/commit/" in url
    folder = find_entry(ENTRY)
    fetched = find_entry("hf://user/repo")
    for name in ("card.json", "model.keras"):
        assert hub["user/repo"][name] == (folder / name).read_bytes() == (fetched / name).read_bytes()
    model, card = read_entry("hf://user/repo")
    assert model.num_parameters() == card.num_parameters
    readme = hub["user/repo"]["README.md"].decode()
    assert readme.startswith("---\nlibrary_name: keras\n")
    assert 'model = kh.load("hf://user/repo")' in readme
    assert f"| test | mse | {card.metrics['test']['mse']:.4g} |" in readme


def test_a_tampered_model_is_refused(hub):
    kh.push(ENTRY, "hf://user/repo")
    hub["user/repo"]["model.keras"] += b" "
    with pytest.raises(kh.EntryError, match="is damaged or not the model of its card"):
        kh.load("hf://user/repo")


def test_what_is_no_entry_is_refused(hub):
    with pytest.raises(kh.EntryError, match="hf://user/nothing cannot be fetched: "):
        kh.load("hf://user/nothing")
    hub["user/other"] = {"README.md": b"Another repository."}
    with pytest.raises(kh.EntryError, match="hf://user/other is not a zoo entry: it has no card.json"):
        kh.load("hf://user/other")
    for address in ("hf://user", "hf://user/repo/more", "hf://../repo", "hf://user/repo@"):
        with pytest.raises(kh.EntryError, match=r"must be hf://user/repo\[@revision\]. Received: "):
            kh.load(address)
    with pytest.raises(kh.EntryError, match="There is no entry 'nothing'"):
        kh.push("nothing", "hf://user/repo")
    assert "user/repo" not in hub
