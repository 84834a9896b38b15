"""All that changes while a game is played: what is saved is all of it, what is restored is all
there was.

The random numbers are SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"): its state is one number, so a snapshot holds it whole.
"""

import msgspec

from valueagents.envs.choice_game.values import Value

NEXT_SCENE = -1
"""Where an option leads that ends the scene."""

_GOLDEN, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """An option on the menu now: its id and text, where the script goes on (`NEXT_SCENE`, or a
    line's place in its scene), the lines that it stands for.

    `variable` gets the `answer` to a question; `spent` is the line of an option that cannot be
    taken again.
    """

    id: str
    text: str
    target: int
    lines: tuple[int, ...] = ()
    variable: str | None = None
    answer: Value | None = None
    spent: int | None = None


class Frame(msgspec.Struct, array_like=True):
    """What belongs to one visit of a scene: its *temp variables, the options used up, what holds
    for reuse, where each *gosub returns to, the arguments not yet named.
    """

    temps: dict[str, Value | None] = {}
    used: list[int] = []
    reuse: str = "allow"
    returns: list[int] = []
    arguments: list[Value] = []

    def copy(self) -> "Frame":
        """Another that shares nothing which can change."""
        return Frame(
            self.temps.copy(),
            self.used.copy(),
            self.reuse,
            self.returns.copy(),
            self.arguments.copy(),
        )


class Call(msgspec.Struct, array_like=True):
    """Where a *gosub_scene returns to, and what belongs to that visit."""

    scene: str
    at: int
    frame: Frame

    def copy(self) -> "Call":
        """Another that shares nothing which can change."""
        return Call(self.scene, self.at, self.frame.copy())


class ScriptState(msgspec.Struct, array_like=True):
    """The place in the script, every variable, the menu, and the state of the random numbers."""

    scene: str
    random: int
    at: int = 0
    variables: dict[str, Value | None] = {}
    frame: Frame = msgspec.field(default_factory=Frame)
    calls: list[Call] = []
    achieved: list[str] = []
    menu: tuple[Offer, ...] = ()
    over: bool = False
    rolls: int = 0

    def copy(self) -> "ScriptState":
        """What decoding the encoded state gives, in a third of the time; every try needs one."""
        return ScriptState(
            self.scene,
            self.random,
            self.at,
            self.variables.copy(),
            self.frame.copy(),
            [call.copy() for call in self.calls],
            self.achieved.copy(),
            self.menu,
            self.over,
            self.rolls,
        )

    def roll(self, count: int) -> int:
        """A whole number in [0, count), all alike likely."""
        self.random = (self.random + _GOLDEN) & _MASK
        self.rolls += 1
        z = self.random
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) * count) >> 64


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ScriptState)


def encode(state: ScriptState) -> bytes:
    """The state as bytes that another process can read."""
    return _ENCODER.encode(state)


def decode(saved: bytes) -> ScriptState:
    """The state that was encoded. Raises msgspec.MsgspecError if it is not one."""
    return _DECODER.decode(saved)
