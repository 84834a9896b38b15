"""The colours of pictures, each with the variable of `page.css` that a page turns it into."""

INK, SOFT, FAINT, PAPER = "#1f2a44", "#5f6675", "#dfe2e8", "#fffffe"
GROUPS = ("#2a7f62", "#b5474b", "#a86e0b", "#3b6ea5")
OTHER = "#777778"
SERIES = ("#1f2a46", "#d1651e", "#1b8a8f", "#8e3b8c", "#6b8e23", "#c2185b")
"""Colours of policies or envs in one picture; that many are told apart."""
MARKS = ("o", "s", "^", "D", "v", "P")
THEME = {
    INK: "ink",
    SOFT: "soft",
    FAINT: "line",
    PAPER: "paper",
    OTHER: "other",
    **{colour: f"g{k}" for k, colour in enumerate(GROUPS)},
    **{colour: f"s{k}" for k, colour in enumerate(SERIES)},
}
"""Colour -> its variable in `page.css`, which has a light and a dark one; no two are equal."""
