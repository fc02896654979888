"""The documentation site: it builds without a warning, its links lead somewhere, and it needs no network."""

import html.parser
import os
import subprocess
import sys
import urllib.parse

import pytest
from helpers import ROOT

pytest.importorskip("mkdocs", reason="the site needs the extra `docs`")


class Page(html.parser.HTMLParser):
    """The links of a page, the files that it loads, and the names of its places."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.names = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names.add(attributes.get("id"))
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(attributes["href"])
        elif "src" in attributes:
            self.loaded.append(attributes["src"])


def test_the_site(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in tmp_path.rglob("*.html") if path.stem != "404"}
    assert {f"{path.parent.name}.html" for path in ROOT.glob("zoo/*/card.json")} <= {path.name for path in pages}
    for path, page in pages.items():
        for link in page.links + page.loaded:
            address = urllib.parse.urlsplit(link)
            if address.scheme:
                assert link in page.links, f"{path} loads {link}"
                continue
            target = (path.parent / urllib.parse.unquote(address.path)).resolve() if address.path else path
            assert target.exists(), f"{path}: {link}"
            assert target not in pages or urllib.parse.unquote(address.fragment) in pages[target].names, (
                f"{path}: {link}"
            )
