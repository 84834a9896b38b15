"""Signature: what of the memory is world, so that two commands which lead to the same world are
known for one option.

With a memory map that is known. Without one, the global variables mix the world's with the parser's
scratch, and which is which is learned by trying. Three kinds are scratch: what commands that change
nothing disturb; what a command writes but the next waiting turn writes over (the verb just read);
and what many verbs write that move nothing ("it"), or two wordings of one command write
differently.
"""

import hashlib
from collections.abc import Callable, Container
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from valueagents.envs.parser_game.dictionary import GIBBERISH, Vocabulary
from valueagents.envs.parser_game.grammar import CREATURE, DIRECTIONS, HELD, NOUN, templates
from valueagents.envs.parser_game.memory import Mask, Ram, world_mask
from valueagents.envs.parser_game.play import Passed, Play, Saved

LEARNING = "learning"
"""The place, for `note` and `faults`, of commands that are tried to learn what is scratch."""
DIGEST_BYTES = 16
_TURNS = 3
_THINGS_TRIED = 4
_MANY_VERBS = 4


class Signature:
    """Tells worlds apart. What it learns comes from the opening under a fixed seed: it is the same
    in every process.

    `note` is told place and command before a command is tried; those in `faults` are not tried.
    """

    def __init__(self, play: Play, vocabulary: Vocabulary) -> None:
        self._play, self._vocabulary = play, vocabulary
        self._mask: Mask | None = None
        self.note: Callable[[str, str], object] = lambda place, command: None
        self.faults: Container[tuple[str, str]] = ()

    def of(self, ram: Ram) -> bytes:
        """The hash of the world in a memory: 16 bytes, equal where the worlds are."""
        if self._mask is None:
            self._mask = world_mask(self._play.story, self._play.memory)
            if self._play.memory is None:
                saved = self._play.save()
                self._mask &= ~self._learned_noise()
                self._play.load(saved)
        world = (_bits(ram) & self._mask).tobytes()
        return hashlib.sha256(world).digest()[:DIGEST_BYTES]

    def _learned_noise(self) -> Mask:
        play, vocabulary = self._play, self._vocabulary
        play.start(1)
        begun = play.save()
        said = [self._send(command).text for command in vocabulary.nulls if self._may_try(command)]
        play.load(begun)
        nouns = [noun for noun in vocabulary.nouns_in("\n".join(said)) if noun not in DIRECTIONS][
            :8
        ]
        noise = self._scratch(nouns[:_THINGS_TRIED])
        for _ in range(_TURNS):
            here = play.save()
            idle = [
                _bits(self._memory_after(here, command)) for command in self._idle_commands(nouns)
            ]
            for ram in idle[1:]:
                noise |= ram ^ idle[0]
            play.load(here)
            if not self._may_try(vocabulary.waiting):
                break
            self._send(vocabulary.waiting)
        noise[self._places()] = 0  # where things are is always world
        noise[self._status()] = 0
        return noise

    def _idle_commands(self, nouns: list[str]) -> list[str]:
        asked = [f"examine {noun}" for noun in nouns] + [
            f"ask {n} about {m}" for n, m in pairwise(nouns)
        ]
        return [*self._vocabulary.nulls, f"examine {GIBBERISH}", f"take {GIBBERISH}", *asked]

    def _scratch(self, nouns: list[str]) -> Mask:
        """What is set back by waiting or set by many: whole global variables, single bits
        elsewhere.
        """
        play, waiting, places = self._play, self._vocabulary.waiting, self._places()
        here, scratch = play.save(), np.zeros(play.story.dynamic_bytes, dtype=np.uint8)
        verbs = np.zeros(play.story.dynamic_bytes, dtype=np.int64)
        idle, idle_settled = (
            _bits(self._memory_after(here, *commands)) for commands in ((waiting,), (waiting,) * 2)
        )
        for template in templates(play.story):
            by_verb = np.zeros_like(scratch)
            for words in product(
                *(nouns if word in (NOUN, CREATURE, HELD) else (word,) for word in template)
            ):
                command = " ".join(words)
                settled = _bits(self._memory_after(here, command, waiting)) ^ idle_settled
                written = _bits(self._memory_after(here, command)) ^ idle
                scratch |= self._whole(written) & ~self._whole(settled)
                if not written[places].any():
                    by_verb |= self._whole(written)
            verbs += by_verb > 0
        for direction in DIRECTIONS:
            one, other = (
                _bits(self._memory_after(here, f"{verb}{direction}")) for verb in ("", "go ")
            )
            if not (one ^ other)[places].any():
                scratch |= self._whole(one ^ other)
        play.load(here)
        many = np.where(verbs >= _MANY_VERBS, 0xFF, 0).astype(np.uint8)
        return scratch | many

    def _places(self) -> npt.NDArray[np.int64]:
        """The addresses of all parents, siblings and children."""
        start, end, size_bytes = self._play.story.object_table
        first, past = (4, 7) if self._play.story.version <= 3 else (6, 12)
        return (np.arange(start, end, size_bytes)[:, None] + np.arange(first, past)).ravel()

    def _status(self) -> slice:
        """The addresses of location and score, which versions 1 to 3 show in their status line
        (Z-Machine 8.2.2).
        """
        start = self._play.story.globals_address
        return slice(start, start + 4 if self._play.story.version <= 3 else start)

    def _memory_after(self, here: Saved, *commands: str) -> bytes:
        self._play.load(here)
        for command in commands:
            self._play.machine.reseed(1)
            if self._may_try(command):
                self._send(command)
        return bytes(self._play.machine.memory)

    def _may_try(self, command: str) -> bool:
        return (LEARNING, command) not in self.faults and self._play.why_refused(command) is None

    def _send(self, command: str) -> Passed:
        self.note(LEARNING, command)
        return self._play.send(command)

    def _whole(self, changed: Mask) -> Mask:
        """The same with all bits of a global variable set of which any is."""
        start = self._play.story.globals_address
        variables = changed[start : start + 480].reshape(-1, 2).any(axis=1)
        found = changed.copy()
        found[start : start + 480] = np.repeat(np.where(variables, 0xFF, 0), 2)
        return found


def _bits(ram: Ram) -> Mask:
    return np.frombuffer(ram, dtype=np.uint8)
