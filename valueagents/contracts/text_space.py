"""The observation space of every env: any text, which Gymnasium's own `Text` cannot say."""

from typing import Any

import gymnasium


class TextSpace(gymnasium.Space[str]):
    """Any Python string. (`gymnasium.spaces.Text` allows a fixed alphabet only.)"""

    def __init__(self) -> None:
        super().__init__(shape=None, dtype=None)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short random text."""
        return "".join(chr(c) for c in self.np_random.integers(32, 0x24F, size=12))

    def contains(self, x: Any) -> bool:
        """True for every str."""
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a text has no fixed-size array."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSpace)

    def __hash__(self) -> int:
        return hash(TextSpace)
