"""How the package is built; part of it, so that a source distribution can build itself."""
