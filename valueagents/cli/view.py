"""`valueagents view`: runs as pages, to be read."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.errors import ConfigError

_PORT = 8765


def view(
    folder: Annotated[Path, typer.Argument(help="A folder with runs at any depth.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 = a free one.")
    ] = _PORT,
    export: Annotated[
        Path | None, typer.Option(help="Write the pages as files into this folder; serve none.")
    ] = None,
) -> None:
    """Look at runs in a browser: episodes, transcripts, two policies side by side."""
    from valueagents.running.inventory import take_inventory
    from valueagents.running.progress import show_progress
    from valueagents.viewer.export import export as write_pages
    from valueagents.viewer.shelf import Shelf
    from valueagents.viewer.site import Site

    if export is not None:
        with show_progress(f"pages of {folder}", "pages") as progress:
            print(write_pages(folder, export, progress))
        return
    try:
        from valueagents.viewer.server import serve
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise ConfigError(
            "valueagents view needs aiohttp: pip install 'valueagents[view]'; --export does not"
        ) from error
    take_inventory(folder)  # what is not a folder is said before anything is served
    serve(Site(Shelf(folder)), port, lambda url: print(f"{url} (Ctrl-C ends it)", flush=True))
