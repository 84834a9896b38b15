"""Play an env by hand in the terminal: what an agent is shown; at the end, if asked, what the
choices came to.
"""

from collections.abc import Callable

from valueagents.contracts.decision import Annotation
from valueagents.contracts.environment import ValueEnv

ReadLine = Callable[[str], str]
PrintLine = Callable[[str], None]

_HELP = "Answer with a number{free}; `history` shows what you did, `quit` ends."


def play(
    env: ValueEnv,
    *,
    seed: int,
    ask: ReadLine,
    say: PrintLine,
    menu: bool = True,
    ledger: bool = False,
) -> None:
    """One episode has been played by whoever answers `ask`; the env's text goes to `say`.

    `menu=False` hides the options (of an env that takes free text). `ledger` shows, after the end
    and never before, what each choice did to the values.
    """
    text, info = env.reset(seed=seed)
    history: list[str] = []
    choices: list[tuple[str, Annotation | None, int]] = []
    say(env.task)
    say(_HELP.format(free=" or any command" if env.free_text else ""))
    over = False
    while not over:
        say(f"\n{text}\n")
        if menu:
            for number, option in enumerate(info["menu"], 1):
                say(f"  {number}. {option.text}")
        answer = ask("> ").strip()
        if answer == "quit":
            break
        if answer == "history":
            text = "\n".join(history) or "(nothing yet)"
            continue
        index = int(answer) - 1 if answer.isdecimal() else None
        action = answer if env.free_text and index is None else index
        text, _, terminated, truncated, info = env.step(action)  # type: ignore[arg-type]
        over = terminated or truncated
        if info["invalid"]:
            text = f"({info['invalid']})\n{text}"
            continue
        if env.decided is not None:
            options, annotation, taken = env.decided
            history.append(answer if index is None else options[taken].text)
            choices.append((history[-1], annotation, taken))
    say(f"\n{text}\n" if over else "\n(stopped)")
    if ledger:
        _say_ledger(choices, say)


def _say_ledger(choices: list[tuple[str, Annotation | None, int]], say: PrintLine) -> None:
    """What each choice did, and the sums."""
    sums: dict[str, float] = {}
    say("What your choices came to:")
    for text, annotation, index in choices:
        marks = annotation.values[index] if annotation is not None else {}
        known = {axis: x for axis, x in marks.items() if x}
        for axis, x in known.items():
            sums[axis] = sums.get(axis, 0.0) + x
        say(
            f"  {text}: "
            + (", ".join(f"{axis} {x:+g}" for axis, x in known.items()) or "nothing annotated")
        )
    say(
        "Together: "
        + (", ".join(f"{axis} {x:+g}" for axis, x in sorted(sums.items())) or "nothing")
    )
