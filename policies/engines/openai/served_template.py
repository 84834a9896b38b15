"""What a server's chat template does, found out as for a model in this process: by marked messages
(`engines/template.py`).

The server renders a chat to tokens; it is asked what text they are.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from valueagents.errors import ConfigError
from valueagents.policies.engines.template import MARKED, as_messages, left_out, thought_ended

Messages = list[dict[str, str]]

_CONTROL = re.compile(r"<[^<>\s]{1,64}>")  # as most control tokens look; the server lists none


@dataclass(frozen=True, slots=True)
class ServedTemplate:
    """`joins`: the task has no place of its own. `header`: what stands before an answer in a
    transcript and not at the end of a prompt. `thinks`: a prompt ends with an open thought. `end`:
    the text of the token that ends an answer, "" if none was found.
    """

    joins: bool = False
    header: str = ""
    thinks: bool = False
    end: str = ""

    @property
    def changed(self) -> str:
        """How a prompt differs from what the template makes of its messages; "" where it does
        not.
        """
        changes = ("task joined", self.joins), (f"then {self.header}", self.header)
        return ", ".join(
            [name for name, made in (*changes, ("thought ended", self.thinks)) if made]
        )

    @property
    def as_rendered(self) -> bool:
        """Whether a prompt is asked about as the template renders it."""
        return not (self.header or self.thinks)

    def finished(self, rendered: str) -> str:
        """The rendered prompt up to where an answer begins."""
        return thought_ended(rendered + self.header)


def find_template(render: Callable[[Messages], str | None]) -> ServedTemplate:
    """What the template does; `render` gives the text of a chat, None where it is refused.

    Raises ConfigError if it leaves out a question or an earlier answer.
    """
    apart = render(as_messages(MARKED, joins=False))
    joins = apart is None or left_out(apart) is not None
    marked = render(as_messages(MARKED, joins=True)) if joins else apart
    missing = "question" if marked is None else left_out(marked)
    if marked is None or missing is not None:
        raise ConfigError(
            f"the chat template of the served model does not show the {missing}; start the server"
            " with another one (--chat-template)"
        )
    asked = render(as_messages(MARKED[:2], joins=joins)) or ""
    before, after = marked.split("zqanswer", 1)
    header = before.removeprefix(asked) if asked and before.startswith(asked) else ""
    header = header if _CONTROL.search(header) else ""
    ended = _CONTROL.match(after.lstrip())
    thinks = thought_ended(asked + header) != asked + header
    return ServedTemplate(joins, header, thinks, ended.group() if ended else "")
