"""Gathers what the site is made of – the README and guides of every folder, pictures, notebooks –
with their folders.

Their links to one another then hold on the site as they do in the repository. A link to a file that
is not a page becomes the file's name. The docstrings are read from build/docs/source, where the
folders are put together as they are imported: `valueagents.envs` is `envs/`.
"""

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "docs" / "pages"
SOURCE = ROOT / "build" / "docs" / "source"
KINDS = (".md", ".png", ".svg", ".ipynb")
LINK = re.compile(r"\[([^\]]+)\]\(((?!https?:|#)[^)\s]+)\)")


def main() -> None:
    """The pages are in build/docs/pages, the package in build/docs/source."""
    _package()
    shutil.rmtree(PAGES, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().splitlines() if Path(name).suffix in KINDS]
    kept = {name for name in names if not name.startswith((".ci/", "tests/envs/"))}
    for name in sorted(kept):
        target = PAGES / name.removeprefix(".docs/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(_linked(ROOT / name, kept), encoding="utf-8")
        else:
            shutil.copy(ROOT / name, target)


def _package() -> None:
    """Links to the folders of the package, by the names under which they are imported."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    package = SOURCE / "valueagents"
    package.mkdir(parents=True)
    for part in [
        *(ROOT / "valueagents").iterdir(),
        *(ROOT / name for name in ("envs", "policies", "experiments")),
    ]:
        (package / part.name).symlink_to(part)


def _linked(page: Path, kept: set[str]) -> str:
    """The page, its links to what is not on the site turned into names."""

    def link(found: re.Match[str]) -> str:
        text, target = found.groups()
        path = (page.parent / target.partition("#")[0]).resolve()
        on_site = path.is_relative_to(ROOT) and str(path.relative_to(ROOT)) in kept
        return found.group() if on_site else text if text.startswith("`") else f"`{text}`"

    return LINK.sub(link, page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
