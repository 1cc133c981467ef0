"""Build the documentation site from docs/, in English and Spanish, and serve it on this machine.

Zensical has one language for each site, so that two are built, the Spanish one inside the English one. Before that the
pages are copied to build/docs, where the reference is added, and links lead to where the pages stand in the site.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any, Final

import reference
from pymdownx.slugs import slugify

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tools/
from arguments import Arguments

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
DOCS: Final = ROOT / "docs"
COURSE: Final = ROOT / "build" / "course"
"""Where `make docs-course` exports the lessons; without them the site has their list only."""
LANGUAGES: Final = ("en", "es")

# Section or page => its title in both languages. A page is a file of docs/, or of the root of the repository.
Titles = tuple[str, str]
NAV: Final[tuple[tuple[Titles, tuple[tuple[str, Titles], ...]], ...]] = (
    (("Start", "Empezar"), (
        ("index.md", ("Home", "Inicio")),
        ("first-minute.md", ("First minute", "El primer minuto")),
        ("choose.md", ("Choose", "Elegir")),
    )),
    (("Guides", "Guías"), (
        ("guides/sketch-to-face.md", ("Sketch to face", "Del boceto al rostro")),
        ("guides/repair.md", ("Repair", "Reparar")),
        ("guides/colour.md", ("Colour", "Color")),
        ("guides/colour-with-holes.md", ("Colour with parts missing", "Color con partes que faltan")),
        ("guides/people-masks.md", ("Masks of people", "Máscaras de personas")),
        ("images.md", ("Images", "Imágenes")),
        ("collect.md", ("Collect", "Reunir imágenes")),
        ("check.md", ("Check", "Revisar")),
        ("recipes.md", ("Recipes", "Recetas")),
        ("composite.md", ("Composites", "Composiciones")),
        ("shards.md", ("Shards", "Fragmentos")),
        ("training.md", ("Training", "Entrenamiento")),
        ("segmentation.md", ("Segmentation", "Segmentación")),
        ("evaluation.md", ("Evaluation", "Evaluación")),
        ("ablation.md", ("Ablation", "Ablación")),
        ("translation.md", ("Translation", "Traducción")),
        ("video.md", ("Video", "Video")),
        ("export.md", ("Export", "Exportar")),
    )),
    (("Detection and watch", "Detección y vigilancia"), (
        ("detection.md", ("Train a detector", "Entrenar un detector")),
        ("annotations.md", ("Boxes and outlines", "Cajas y contornos")),
        ("detection-scores.md", ("Explore and score", "Explorar y evaluar")),
        ("detection-use.md", ("Use a detector", "Usar un detector")),
        ("boxes.md", ("How boxes are found", "Cómo se hallan las cajas")),
        ("watch.md", ("The watch", "La vigilancia")),
    )),
    (("Crime", "Crimen"), (("crime.md", ("Crime statistics", "Estadísticas de criminalidad")),)),
    (("Studio", "Estudio"), (("serve.md", ("The studio", "El estudio")),)),
    (("Course", "Curso"), (
        ("course.md", ("Course", "Curso")),
        ("notebooks.md", ("Notebooks", "Cuadernos")),
    )),
    (("Reference", "Referencia"), (
        ("cli.md", ("Commands", "Órdenes")),
        ("api.md", ("Python", "Python")),
        ("bad-input.md", ("Bad input", "Entradas incorrectas")),
        ("glossary.md", ("Glossary", "Glosario")),
    )),
    (("Results", "Resultados"), (
        ("results.md", ("Results", "Resultados")),
        ("performance.md", ("Performance", "Rendimiento")),
        ("scale.md", ("Scale", "Escala")),
    )),
    (("Operations", "Operación"), (
        ("operations.md", ("Operations", "Operación")),
        ("trust.md", ("Trust", "Confianza")),
        ("safety.md", ("Safety and ethics", "Seguridad y ética")),
    )),
    (("Project", "Proyecto"), (
        ("extending.md", ("Extending", "Ampliar")),
        ("decisions.md", ("Decisions", "Decisiones")),
        ("../ARCHITECTURE.md", ("Architecture", "Arquitectura")),
        ("../CONTRIBUTING.md", ("Contributing", "Contribuir")),
        ("../CHANGELOG.md", ("Changelog", "Cambios")),
    )),
)  # fmt: skip
"""The pages in the order of reading."""

COMMANDS: Final = ("Every command", "Cada orden")
NAMES: Final = ("Every name", "Cada nombre")
ABOUT: Final = (
    "Trains image-to-image translators from few pairs, measures them, and applies them to images and video.",
    "Entrena traductores de imagen a imagen con pocos pares, los mide y los aplica a imágenes y video.",
)
LESSONS: Final = (
    "Read the lessons as pages, with what they show",
    "Lee las lecciones como páginas, con lo que muestran",
)
SEARCH: Final = {
    '"aria-label":"Search"': '"aria-label":"Buscar"',
    'placeholder:"Search"': 'placeholder:"Buscar"',
    '"aria-label":"Close search"': '"aria-label":"Cerrar la búsqueda"',
    '"aria-label":"Filters"': '"aria-label":"Filtros"',
    '"aria-label":"Search results"': '"aria-label":"Resultados de la búsqueda"',
    'children:"Filters"': 'children:"Filtros"',
    'children:"Tags"': 'children:"Etiquetas"',
    '"Use Up and Down arrow keys to move between tags. Press Space or Enter to toggle a tag."':
        '"Las flechas arriba y abajo pasan de una etiqueta a otra; Espacio o Entrar la activa o desactiva."',
    '"Search is unavailable. Reload the page to try again."':
        '"La búsqueda no está disponible. Vuelve a cargar la página."',
    '"result":"results"': '"resultado":"resultados"',
    '"No results"': '"Sin resultados"',
    '"Loading search\\u2026"': '"Cargando la búsqueda…"',
    'NumberFormat("en-US")': 'NumberFormat("es")',
}  # fmt: skip
"""What Zensical's script says in English on every site, and what it says on the Spanish one."""
ONLY_ENGLISH: Final = '!!! note "Esta página solo existe en inglés por ahora."\n\n'
ELSEWHERE: Final = {"README.md": ("en", "index.md"), "README.es.md": ("es", "index.md"), "LICENSE": ("", "LICENSE.txt")}
"""Files of the repository outside of docs/ that pages link to, and the language and page that they are in the site."""


def staged(page: str) -> str:
    """Return the name of a page of `NAV` in the site, such as "architecture.md"."""
    return page.removeprefix("../").lower() if page.startswith("../") else page


def pages() -> list[str]:
    """Return the pages of `NAV` that are written."""
    return [page for _, listed in NAV for page, _ in listed if (DOCS / page).is_file()]


def source_of(page: str, language: str) -> Path:
    """Return the file of a page of `NAV`: the English one where there is none in the language yet."""
    own = DOCS / "es" / staged(page)
    return own if language == "es" and own.is_file() else (DOCS / page).resolve()


def stage(room: Path) -> None:
    """Write the Markdown of both sites, their assets and their configurations into a folder."""
    unlisted = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {*pages()}
    if missing := sorted(page for page in unlisted if not page.startswith("es/")):
        sys.exit(f"documentation: not in NAV of tools/documentation/build.py: {', '.join(missing)}")
    for language in LANGUAGES:
        folder = room / language
        for page in pages():
            _write(folder / staged(page), _page(page, language))
        for name, text in reference.pages(language):
            _write(folder / "reference" / name, text)
        for asset in (path for path in DOCS.rglob("*") if path.is_file() and path.suffix != ".md"):
            inside = asset.relative_to(DOCS)
            target = folder / (inside.relative_to("es") if inside.parts[0] == "es" else inside)
            if inside.parts[0] != "es" or language == "es":
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(asset, target)
        shutil.copy(ROOT / "LICENSE", folder / "LICENSE.txt")
        _write(folder / "assets/site.css", _stylesheet())
        _write(folder / "assets/file_worker.js", (HERE / "file_worker.js").read_text(encoding="utf-8"))
        _write(room / f"{language}.toml", configuration(language))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _page(page: str, language: str) -> str:
    """Return the Markdown of a page as the site has it."""
    source = source_of(page, language)
    is_english = "es" not in source.relative_to(ROOT).parts
    text = _outside_code(source.read_text(encoding="utf-8"), lambda part: _links(part, source, page, language))
    if page == "cli.md":
        text = _outside_code(text, functools.partial(_add_commands, language=language))
    if page == "api.md":
        text = _outside_code(text, _add_names)
    if page == "course.md" and COURSE.is_dir():
        folder = ("course", "../course")[LANGUAGES.index(language)]
        text = text.replace("\n## ", f"\n[{LESSONS[LANGUAGES.index(language)]}]({folder}/index.html)\n\n## ", 1)
    return (ONLY_ENGLISH if language == "es" and is_english and page != "../CHANGELOG.md" else "") + text


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return Markdown with its text changed, and its blocks of code as they were."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if at % 2 else change(part) for at, part in enumerate(parts))


def _links(text: str, source: Path, page: str, language: str) -> str:
    """Return text whose relative links lead to pages and files of the site."""

    def moved(match: re.Match[str]) -> str:
        target, sharp, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path, anchor = _target(source, target, anchor, staged(page), language)
        return f"{match[1]}{path}{sharp}{anchor}{match[3]}"

    return re.sub(r"(\]\(|src=\"|href=\")([^)\"\s]+)([)\"])", moved, text)


def _target(source: Path, target: str, anchor: str, page: str, language: str) -> tuple[str, str]:
    """Return the link from a page to what `target` names beside its source, and the anchor there."""
    path = PurePosixPath(os.path.relpath((source.parent / target).resolve(), ROOT))
    if str(path) in ELSEWHERE:
        asked, inside = ELSEWHERE[str(path)]
    elif path.parts[0] == "docs":
        asked = "es" if path.parts[1] == "es" else "en"
        inside = "/".join(path.parts[2 if asked == "es" else 1 :])
    else:
        asked, inside = "", path.name.lower()
    depth = "../" * page.count("/")
    translated = DOCS / "es" / inside
    if language == "en":
        # Zensical knows the pages of one language; those of the other are files to it.
        return (f"{depth}es/{inside.removesuffix('.md')}.html" if asked == "es" else depth + inside), anchor
    if asked == "en" and inside.endswith(".md") and translated.is_file():
        if DOCS / "es" in source.parents:  # it names the English page on purpose
            return f"{depth}../{inside.removesuffix('.md')}.html", anchor
        if anchor:  # the page is English for want of a Spanish one, and leads to a Spanish one
            anchor = dict(zip(_anchors(DOCS / inside), _anchors(translated), strict=False)).get(anchor, anchor)
    return depth + inside, anchor


def _anchors(page: Path) -> list[str]:
    """Return the anchors of a page's headings; a page and its translation have the same number of them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    slug = slugify(case="lower")
    return [slug(title.replace("`", ""), "-") for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)]


def _add_commands(text: str, *, language: str) -> str:
    """Return the page of commands with a link below the heading of each verb."""

    def linked(match: re.Match[str]) -> str:
        verbs = [verb for verb in reference.VERBS if verb.partition(" ")[0] == match[1]]
        links = " · ".join(f"[calco {verb}](reference/{reference.file_of(verb)})" for verb in verbs)
        return (
            f"{match[0]}\n\n{('All options: ', 'Todas las opciones: ')[LANGUAGES.index(language)]}{links}"
            if links
            else match[0]
        )

    return re.sub(r"^## (\w+)$", linked, text, flags=re.MULTILINE)


def _add_names(text: str) -> str:
    """Return the page of Python with a link from each name to its signature and docstring."""

    def linked(match: re.Match[str]) -> str:
        package = match[2].rpartition(".")[0]
        return f"{match[1]} [`{match[2]}`](reference/{package}.md#{match[2]})"

    return re.sub(r"^(#{2,4}) `(calco[\w.]*)`$", linked, text, flags=re.MULTILINE)


def _stylesheet() -> str:
    """Return the style of the site, with the colours and fonts of the reports."""
    report = (ROOT / "src/calco/report/static/report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", report, flags=re.DOTALL)[:2]
    light = re.sub(r"color-scheme:[^;]*;", "", light)
    return f":root, [data-md-color-scheme=default] {{{light}}}\n[data-md-color-scheme=slate] {{{dark}}}\n" + (
        HERE / "site.css"
    ).read_text(encoding="utf-8")


def configuration(language: str) -> str:
    """Return the configuration of Zensical for one language."""
    at = LANGUAGES.index(language)
    nav = []
    for titles, listed in NAV:
        entries = [
            f"{{ {_quoted(title[at])} = {_quoted(staged(page))} }}" for page, title in listed if (DOCS / page).is_file()
        ]
        if titles[0] == "Reference":
            entries += [
                _nav(COMMANDS[at], ((verb, reference.file_of(verb)) for verb in reference.VERBS)),
                _nav(NAMES[at], ((package, f"{package}.md") for package in reference.PACKAGES)),
            ]
        nav.append(f"  {{ {_quoted(titles[at])} = [{', '.join(entries)}] }},")
    light, dark = (("Dark", "Light"), ("Oscuro", "Claro"))[at]
    return f"""[project]
site_name = "Calco"
site_description = {_quoted(ABOUT[at])}
docs_dir = "{language}"
site_dir = "site{"" if language == "en" else "/es"}"
use_directory_urls = false
copyright = "Calco · MIT"
extra_css = ["assets/site.css"]
nav = [
{chr(10).join(nav)}
]

[project.extra]
homepage = "index.html"
generator = false
polyfills = ["assets/file_worker.js"]
alternate = [
  {{ name = "English", lang = "en", link = "{"" if language == "en" else "../"}index.html" }},
  {{ name = "Español", lang = "es", link = "{"es/" if language == "en" else ""}index.html" }},
]

[project.theme]
language = "{language}"
font = false
custom_dir = "overrides"
features = [
  "content.code.copy", "navigation.footer", "navigation.tabs", "navigation.top", "search.highlight", "toc.follow",
]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
primary = "custom"
accent = "custom"
toggle = {{ icon = "lucide/sun", name = "{light}" }}

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
primary = "custom"
accent = "custom"
toggle = {{ icon = "lucide/moon", name = "{dark}" }}

[project.markdown_extensions.admonition]
[project.markdown_extensions.attr_list]
[project.markdown_extensions.footnotes]
[project.markdown_extensions.md_in_html]
[project.markdown_extensions.sane_lists]
[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}
[project.markdown_extensions.pymdownx.highlight]
pygments_lang_class = true
[project.markdown_extensions.pymdownx.superfences]
"""


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def _nav(title: str, listed: Iterable[tuple[str, str]]) -> str:
    """Return a part of a navigation: titles and files in reference/."""
    entries = ", ".join(f"{{ {_quoted(name)} = {_quoted(f'reference/{file}')} }}" for name, file in listed)
    return f"{{ {_quoted(title)} = [{entries}] }}"


def _unbroken(html: str) -> str:
    """Say where code within a line may break: not in an option, after whose first "-" it would, but after signs."""

    def kept(code: re.Match[str]) -> str:
        text = re.sub(r"(?<=\w)[,|/._=]+(?=[\w{\[])", r"\g<0><wbr>", code[1])
        text = re.sub(r"(?<![-\w>])--?\w[\w-]*", r'<span class="option">\g<0></span>', text)
        return f"<code>{text}</code>"

    return re.sub(r"(?<!</span>)<code>([^<]*)</code>", kept, html)


def _spanish(script: str) -> str:
    """Return the script of the site with its search in Spanish; exit if Zensical no longer writes it as here."""
    for english, spanish in SEARCH.items():
        if english not in script:
            sys.exit(f"documentation: Zensical's script has no {english}; correct SEARCH in {Path(__file__).name}")
        script = script.replace(english, spanish)
    return script


def build(room: Path) -> Path:
    """Build both sites strictly; exit with what Zensical prints if it warns.

    Args:
        room: Folder for the copies and the site, `build/docs` of the repository; it is emptied.

    Returns:
        The folder of the site.
    """
    shutil.rmtree(room, ignore_errors=True)
    stage(room)
    shutil.copytree(HERE / "overrides", room / "overrides")
    for language in LANGUAGES:
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", f"{language}.toml"]
        done = subprocess.run(command, cwd=room, capture_output=True, text=True, check=False)
        told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # it colours each letter of a fault
        if done.returncode or "Warning" in told:
            faults = told.partition("Traceback")[0].strip() if "issue" in told else told
            sys.exit(f"{faults}\ndocumentation: correct these pages, of which {room / language} holds copies")
    site = room / "site"
    for page in site.rglob("*.html"):
        _write(page, _unbroken(page.read_text(encoding="utf-8")))
    [script] = (site / "es/assets/javascripts").glob("bundle.*.js")
    _write(script, _spanish(script.read_text(encoding="utf-8")))
    if COURSE.is_dir():
        shutil.copytree(COURSE, site / "course")
    for folder in (site, site / "es"):
        # From a disk a page may not read JSON, but may run a script.
        index = (folder / "search.json").read_text(encoding="utf-8")
        _write(folder / "search.js", f"var __index = {index}")
    return site


def _newest() -> float:
    """Return when the newest page, or file of the site's look, was written."""
    return max(path.stat().st_mtime for top in (DOCS, HERE) for path in top.rglob("*") if path.is_file())


class _Handler(SimpleHTTPRequestHandler):
    """Answers without a line on the terminal."""

    def log_message(self, *_args: Any) -> None:
        """Print nothing."""


def serve(site: Path, port: int) -> None:
    """Serve the site on this machine alone, and build it anew when a page changes, until Ctrl-C."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, directory=str(site)))
    except OSError as error:
        sys.exit(
            f"documentation: port {port} cannot be used ({error.strerror}); choose another, such as PORT={port + 1}"
        )
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"documentation: http://127.0.0.1:{port}/ (Spanish: /es/); Ctrl-C ends it", flush=True)
    built = _newest()
    try:
        while True:
            time.sleep(1)
            if (now := _newest()) > built:
                built = now
                # In a process of its own: a page with a fault must not end the server.
                subprocess.run([sys.executable, __file__, "--out", str(site.parent)], check=False)
    except KeyboardInterrupt:
        server.shutdown()


def main() -> None:
    """Build the site, and serve it if asked to."""
    parser = Arguments(__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build/docs", help="folder for the pages and the site; it is emptied"
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve the site on this machine, and build it anew when a page changes"
    )
    parser.add_argument("--port", type=int, default=8000, help="port of --serve")
    options = parser.parse_args()
    began = time.monotonic()
    site = build(options.out.resolve())
    print(f"documentation: {site / 'index.html'}, built in {time.monotonic() - began:.0f} s", flush=True)
    if options.serve:
        serve(site, options.port)


if __name__ == "__main__":
    main()
