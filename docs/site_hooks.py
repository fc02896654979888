"""What MkDocs does not do by itself: pages made of the repository's own files, and links between them.

The pages of this folder have the links that work on GitHub; `on_page_markdown` makes the links of the site of them.
"""

import ast
import contextlib
import json
import pathlib
import posixpath
import re
import textwrap

import griffe
from mkdocs.structure.files import File, InclusionLevel

ROOT = pathlib.Path(__file__).parent.parent
COPIED = ("CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "results/tuning/README.md")
# The experiment whose figure an entry of the zoo shows, by the beginning of the entry's name; the first that fits.
FIGURES = {
    "rotation_mnist_width": "rotation_embedding_dim",
    "rotation": "rotation_depth",
    "colorization": "colorization_depth",
    "synthetic_inner": "synthetic_depth",
    "synthetic_width": "synthetic_embedding_dim",
    "synthetic": "modularity_depth",
    "modularity": "modularity_depth",
    "assumption1": "assumption_1",
    "assumption2": "assumption_2",
    "pareto": "pareto_toy",
    "gaussian_process": "gaussian_process",
    "static_kernel": "hypernetworks_static",
    "response": "hyperparameter_response",
    "continual_split": "continual_digits",
    "continual_polynomials": "continual_polynomials",
}
ZOO = re.compile(r"<!-- keras-hypernet list --markdown -->\n(.*?)\n<!-- end -->", re.DOTALL)
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"(?<!\[)(!\[[^\]]*\]\(([^)]+\.png)\))")
LINK = re.compile(r"(?<=\]\()(?!\w+:)[^)#\s]+")
RUN = ("seed", "learning_rate", "validation", "test", "seconds", "diverged")


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


ZOO_TABLE = ZOO.search(read("README.md"))[1]  # which a test compares with the cards


def made_pages():
    """Yields each page that is in no file of docs/: the path in the repository of what it shows, the page, the text."""
    yield "README.md", "index.md", ZOO.sub("All entries: [the zoo](docs/zoo.md).", read("README.md"))
    for path in COPIED:
        yield path, path, read(path)
    for folder in sorted(path.parent for path in ROOT.glob("results/tuning/*/search.json")):
        figures = "".join(f"![{path.stem}]({folder.name}/{path.name})\n\n" for path in sorted(folder.glob("*.png")))
        yield f"results/tuning/{folder.name}", f"results/tuning/{folder.name}.md", f"# {folder.name}\n\n{figures}"
    for path in sorted(ROOT.glob("zoo/*/card.json")):
        name = path.parent.name
        yield f"zoo/{name}", f"zoo/{name}.md", "\n\n".join(entry_page(json.loads(path.read_text(encoding="utf-8"))))
    for path in sorted(ROOT.glob("examples/*.py")):
        code = path.read_text(encoding="utf-8")
        title = path.stem.replace("_", " ").capitalize()
        head, script = ast.get_docstring(ast.parse(code)), code.split('"""', 2)[2].lstrip()
        text = f"# {title}\n\n{head}\n\n## The script\n\n```python\n{script}```\n"
        yield f"examples/{path.name}", f"examples/{path.stem}.md", text
    for path in sorted(ROOT.glob("keras_hypernet/*/__init__.py")):
        room, code = path.parent.name, path.read_text(encoding="utf-8")
        if "\n__all__ = " in code:
            yield f"keras_hypernet/{room}/__init__.py", f"reference/{room}.md", reference_page(room, code)


def reference_page(room, code):
    """The docstring of a room, and the documentation of each public name, in the module that defines it."""
    package = f"keras_hypernet.{room}"
    assigned, modules = {}, {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.ImportFrom):
            modules |= {alias.name: node.module for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "_MODULES"):
            with contextlib.suppress(ValueError):  # not of constants alone
                assigned[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
    modules |= {name: f"{package}.{module}" for name, module in assigned.get("_MODULES", {}).items()}
    names = [name for name in assigned["__all__"] if not name.isupper()]
    alone = "\n    options: {members: false, show_root_heading: false, show_root_toc_entry: false}"
    blocks = (f"::: {modules.get(name, package)}.{name}" for name in names)
    return "\n\n".join([f"# {package}", f"::: {package}{alone}", *blocks])


def entry_page(card):
    """The page of an entry of the zoo: its row of the table, then its card."""
    name = card["name"]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in ZOO_TABLE.splitlines())
    row = next(row for row in rows if row[0] == f"`{name}`")
    figure = next((figure for begin, figure in FIGURES.items() if name.startswith(begin)), None)
    recipe = {**card["architecture"], **card["recipe"]}
    data = card["data"]
    yield f"# {name}"
    yield card["description"]
    yield table(*[pair for pair in zip(head[1:], row[1:], strict=True) if all(pair)])
    yield f'```python\nimport keras_hypernet as kh\n\nmodel = kh.load("{name}")\n```'
    yield f"Data: {data['name']}. {data['origin'].rstrip('.')}. License: {data['license']}. {data['note']}"
    yield f"## Recipe\n\n```bash\n{card['command']}\n```"
    yield table(("field", "value"), *((f"`{key}`", value) for key, value in recipe.items() if value is not None))
    yield f"## Seeds\n\nThis is seed {card['seed']}: {card['selection']}."
    yield table(RUN, *([run[field] for field in RUN] for run in card["seeds"]))
    if card["other_runs"]:
        yield f"For comparison, by another recipe:\n\n```bash\n{card['other_runs']['command']}\n```"
        yield table(RUN, *([run[field] for field in RUN] for run in card["other_runs"]["runs"]))
    if card["baseline"]:
        yield "## Trivial predictors\n\nA model that is not better has not learned how x and the condition interact."
        yield table(("predictor", "test"), *card["baseline"].items())
    titles = {"text": "The paper's text", "code": "The authors' code", "ours": "This project"}
    origins = {title: card["provenance"][origin] for origin, title in titles.items()}
    for title, facts in {**origins, "Deviations from the paper": card["deviations"], "Limits": card["limits"]}.items():
        if facts:
            yield f"## {title}\n\n" + "\n".join(f"- {fact}" for fact in facts)
    if figure and (ROOT / f"results/{figure}.png").exists():
        yield f"## Figure\n\n![{figure}](../results/{figure}.png)\n\n*The experiment `{figure}`.*"
    versions = ", ".join(f"{package} {version}" for package, version in card["versions"].items())
    yield f"## Made with\n\n{versions}; {card['date']}. SHA-256 of `model.keras`: `{card['sha256']}`."


def table(head, *rows):
    """A table in Markdown; numbers with four digits, nothing for None."""

    def cell(value):
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    return "\n".join(f"| {' | '.join(map(cell, row))} |" for row in (head, ["---"] * len(head), *rows))


def on_config(config):
    """Fills the sections of the navigation that have no pages of their own."""
    sections = {title: pages for section in config.nav for title, pages in section.items()}
    listed = json.dumps(config.nav)
    sections["More results"] += [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in listed]
    for title, folder in {"Zoo": "zoo", "Examples": "examples", "Reference": "reference"}.items():
        sections[title] += [page for page in PAGES if page.startswith(f"{folder}/")]
    return config


def on_files(files, config):
    for page, (_, text) in PAGES.items():
        files.append(File.generated(config, page, content=text))
    for path in ROOT.glob("results/**/*.png"):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    # Without this file, GitHub Pages leaves out files whose names begin with an underscore.
    files.append(File.generated(config, ".nojekyll", content="", inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links between files of the repository into links between pages, and adds figures and tables."""
    place = page.file.src_uri
    source = PAGES[place][0] if place in PAGES else f"docs/{place}"
    if place == "zoo.md":
        entries = re.sub(r"`(\w+)` \|", r"[\1](../zoo/\1) |", ZOO_TABLE)
        markdown = markdown.replace("\n## ", f"\n## All entries\n\n{entries}\n\n## ", 1)
    if place in ("index.md", "concepts.md"):
        page.meta["hide"] = ["navigation"]  # of one page
    if place == "results/README.md":
        markdown = with_figures(markdown)

    def site_link(link):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        target = SITE.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(place) or ".")

    parts = FENCED.split(markdown)
    # A click on a figure shows it in full size.
    parts[::2] = [FIGURE.sub(r"[\1](\2)", LINK.sub(site_link, part)) for part in parts[::2]]
    return "".join(parts)


def with_figures(markdown):
    """Puts the figure of each experiment under the first claim about it, and the others at the end."""
    figures = {path.stem for path in ROOT.glob("results/*.png")}

    def add(line):
        name = line[1]
        if name not in figures:
            return line[0]
        figures.remove(name)
        return f"{line[0]}\n\n![{name}]({name}.png)"

    markdown = re.sub(r"^`(\w+)`: .*$", add, markdown, flags=re.MULTILINE)
    return (
        markdown
        + "\n\n## Other figures\n\n"
        + "\n\n".join(f"`{name}`:\n\n![{name}]({name}.png)" for name in sorted(figures))
    )


class Docstrings(griffe.Extension):
    """Writes in Markdown what griffe does not know: examples, call arguments, and what is returned, in a sentence."""

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring:
            text = re.sub(r"^>>> .*(?:\n.+)*", r"```pycon\n\g<0>\n```", obj.docstring.value, flags=re.MULTILINE)
            text = re.sub(r"^(Call arguments|Returns):\n((?: {4}.*\n?)+)", self.section, text, flags=re.MULTILINE)
            obj.docstring.value = text.replace("::\n\n    ", ":\n\n    ")

    @staticmethod
    def section(found):
        body = textwrap.dedent(found[2])
        if found[1] == "Returns":
            return f"**Returns:** {body}"
        return f"**{found[1]}:**\n\n" + re.sub(r"^(\w+(?:, \w+)*):", r"- **`\1`**:", body, flags=re.MULTILINE)


PAGES = {page: (source, text) for source, page, text in made_pages()}
SITE = {source: page for page, (source, _) in PAGES.items()}
