"""The one line on a run of which nothing, or nothing whole, came back."""

from valueagents.measuring.counts import Counts


def told_of_all(counts: Counts) -> str | None:
    """What all decisions of a run have in common and makes its numbers worthless or doubtful; None
    = nothing.
    """
    every = counts.decisions
    if not every:
        return None
    whole = [
        what
        for count, what in (
            (counts.unread, "none of the answers was read"),
            (counts.refused_by_env, "the env refused all of them"),
            (counts.withheld, "the server withheld all of them"),
            (counts.answers_cut, "all of them were cut by the limit of tokens"),
            (counts.prompts_cut, "all prompts were cut"),
        )
        if count == every
    ]
    return f"{every} decisions: {', '.join(whole)}" if whole else None
