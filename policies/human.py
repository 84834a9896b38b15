"""`human`: a person at the terminal decides, in any env, and the run records it like any other
policy's decision.
"""

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy, View
from valueagents.errors import PolicyError
from valueagents.running.threads import OwnerThread


class HumanPolicy(Policy):
    """A person at the terminal: sees what an agent sees and types a number, or a text where the env
    takes any.

    Args:
        name: who decides; part of the run's identity.
    """

    live = 1

    def __init__(self, *, name: str = "somebody") -> None:
        self.name = name

    def identity(self) -> dict[str, str]:
        """Version and name."""
        return {"policy": "human/1", "name": self.name}

    async def decide(self, view: View) -> Choice:
        """The option or text that was typed. Raises PolicyError when the input ends."""
        lines = [] if view.transcript else [view.task, ""]
        lines += [view.observation, ""]
        if not view.free_text:
            lines += [f"  {number}. {option.text}" for number, option in enumerate(view.menu, 1)]
        print("\n".join(lines), flush=True)
        thread = OwnerThread("human")  # not of a pool, which would wait for it after Ctrl-C
        try:
            said = (await thread.call(input, "> ")).strip()
        except EOFError:
            raise PolicyError("the input has ended; run the command again to go on") from None
        finally:
            thread.close()
        if view.free_text:
            return Choice(None, "parsed" if said else "failed", text=said or None, raw=said)
        if said.isdecimal() and 1 <= int(said) <= len(view.menu):
            return Choice(view.menu[int(said) - 1].id, "parsed", raw=said)
        return Choice(None, "failed", raw=said)
