"""Machine: one Frotz interpreter (by Jericho) in this process, with its traps closed but for one.

The one that is left: a command that loops inside C cannot be stopped from within, so what is not
trusted runs in a worker process (`pool.py`). Frotz is asked directly, not through `FrotzEnv.step`,
which decodes with a codec that some bytes break. Facts used here were read in the sources of
Jericho 3.3.1.
"""

import ctypes
import re
import warnings

import msgspec
import numpy as np

from valueagents.envs.parser_game.keys import NAMED_KEYS
from valueagents.envs.parser_game.memory import word
from valueagents.envs.parser_game.opcodes import disarm
from valueagents.envs.parser_game.story import Story
from valueagents.errors import ConfigError, EnvError

_READ_CHAR = (
    246  # the opcode at which the interpreter waits for one key; at 228 it waits for a line
)
_FIRST_PLAIN_SEED = 1000  # @random treats smaller seeds as "count from 1 to the seed"
_MAX_SEED = 2**31 - 1
_PROMPT = re.compile(r"\n>[^\n]*\Z")
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_MOST_BYTES = 8191
_CUT = "\n[What follows was too long for the interpreter and is cut.]"
_OPENING_PROMPT = re.compile(r"\A>[ \n]*")
_STATUS_LINE = re.compile(
    r"\A[^\n]*(Score: *-?\d+ +Moves: *\d+|Time: *\d+:\d\d *[ap]m)[^\n]*\n", re.IGNORECASE
)


class MachineState(msgspec.Struct, frozen=True, array_like=True):
    """All that decides what comes next; encoded, it is valid in every process that has the same
    story.

    `stack` is the part in use: it grows downwards, and below lies what earlier episodes left.
    `registers`: program counter, stack pointer, frame pointer, frames, pending opcode.
    `randomness`: the generator's number, and interval and counter of the predictable mode.
    """

    ram: bytes
    stack: bytes
    registers: tuple[int, int, int, int, int]
    randomness: tuple[int, int, int]
    text: bytes
    halted: bool

    @property
    def exact_key(self) -> bytes:
        """Everything but the random generator and the last text: what a reseeded try depends on."""
        return msgspec.msgpack.encode([self.ram, self.stack, self.registers])


class Machine:
    """A story being played. Not thread-safe; many may live in one process, each loads its own copy
    of the library.
    """

    def __init__(self, story: Story) -> None:
        try:
            import jericho
        except ImportError as error:
            raise ConfigError(
                "Jericho is not installed: pip install 'valueagents[jericho]' (needs make and gcc;"
                " pip install --no-deps jericho==3.3.1 spares the 230 MB of spaCy, which is not"
                " used here)"
            ) from error
        self.story = story
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jericho.jericho.UnsupportedGameWarning)
            self._env = jericho.FrotzEnv(str(story.path), seed=_FIRST_PLAIN_SEED)
        self._frotz = self._env.frotz_lib
        self._callbacks = disarm(self._frotz, story.version, self._leave)
        self._left = False
        self._stack = ctypes.create_string_buffer(self._frotz.getStackSize())
        self.supported: bool = self._env.is_fully_supported
        self._setup(_FIRST_PLAIN_SEED)

    memory: memoryview
    """The memory that the game can write, itself, no copy: it changes with every step and load; not
    ours to write.

    Frotz keeps it at its exported pointer `zmp`; a copy for each step would cost more than all else
    that we do in one.
    """

    halted: bool
    """True after a run-time error of the story, or when it quit: nothing more can be typed."""

    waits_for_key: bool
    """True if the game waits for a single key instead of a line."""

    def start(self, seed: int) -> str:
        """Begin the story anew; everything random derives from the seed, any integer of up to 64
        bits.
        """
        self._setup(seed)
        return clean(self._frotz.get_narrative_text())

    def send(self, command: str) -> str:
        """Type a line that has passed the gate; what the game says.

        At a key prompt its first letter is typed, or the key that it names (`keys.py`).
        """
        line = command
        if self.waits_for_key:
            line = NAMED_KEYS.get(command.lower(), command[:1])
        said = self._frotz.step(line.encode("ascii") + b"\n")
        self._look()
        return clean(said)

    def reseed(self, seed: int) -> None:
        """Let all randomness from here on derive from a seed, unless the story itself made it
        predictable.
        """
        if self._frotz.getRngInterval() == 0:
            self._frotz.setRng(_spread(seed), 0, 0)

    def save(self) -> MachineState:
        """The state as it is now."""
        frotz = self._frotz
        frotz.getStack(self._stack)
        registers = (
            frotz.getPC(),
            frotz.getSP(),
            frotz.getFP(),
            frotz.getFrameCount(),
            frotz.get_opcode(),
        )
        randomness = (int(frotz.getRngA()), frotz.getRngInterval(), frotz.getRngCounter())
        stack, text = self._stack.raw[2 * registers[1] :], frotz.get_narrative_text() or b""
        return MachineState(bytes(self.memory), stack, registers, randomness, text, self.halted)

    def load(self, state: MachineState) -> None:
        """Go back to a state of the same story, also one saved in another process."""
        if self.halted:
            self._setup(_FIRST_PLAIN_SEED)  # the flag of a run-time error is not part of a state
        frotz = self._frotz
        pc, sp, fp, frames, opcode = state.registers
        frotz.setRng(*state.randomness)
        frotz.setRAM(state.ram)
        frotz.setStack(bytes(2 * sp) + state.stack)
        frotz.setPC(pc)
        frotz.setSP(sp)
        frotz.setFP(fp)
        frotz.set_opcode(opcode)
        frotz.setFrameCount(frames)
        frotz.set_narrative_text(state.text)
        self.waits_for_key = opcode == _READ_CHAR

    def check(self, state: MachineState) -> None:
        """Raises EnvError if a state is not of this story: to load it would write beyond the memory
        that there is.
        """
        if len(state.ram) != len(self.memory) or 2 * state.registers[1] + len(state.stack) != len(
            self._stack
        ):
            raise EnvError(
                f"the saved state is not of {self.story.path.name}; restore it in an env of its own"
                " story"
            )

    @property
    def random_number(self) -> int:
        """Changes whenever the story draws a random number (not in the predictable mode, which is
        not random).
        """
        return int(self._frotz.getRngA())

    @property
    def says_it_is_over(self) -> bool:
        """True if Jericho, knowing this very story, says that it is won or lost."""
        return self.supported and bool(self._frotz.victory() > 0 or self._frotz.game_over() > 0)

    def binding_numbers(self) -> tuple[int, int, int] | None:
        """Score, moves and location where Jericho knows this very story; else None."""
        if not self.supported:
            return None
        player = self._env.get_player_object()
        return (
            self._frotz.get_score(),
            self._frotz.get_moves(),
            player.parent if player is not None else 0,
        )

    def line_limit(self) -> int:
        """How many characters the line buffer holds that the pending read will fill.

        Frotz does not look: what is longer overwrites the memory behind it. The buffer's address is
        the first operand of the pending instruction (Standard 4.2 and 15, `read`).
        """
        state = self.save()
        pc, sp, fp, *_ = state.registers
        cells = np.frombuffer(state.stack, dtype=np.uint16)
        kind, at = self.story.data[pc] >> 6, pc + 1
        if kind == 0:
            address = self.story.word(at)
        elif kind == 1:
            address = self.story.data[at]
        elif (variable := self.story.data[at]) >= 16:
            address = word(state.ram, self.story.globals_address + 2 * (variable - 16))
        else:
            address = int(cells[0] if variable == 0 else cells[fp - variable - sp])
        return state.ram[address] - (1 if self.story.version <= 4 else 0)

    @property
    def last_text(self) -> str:
        """What the game said last."""
        return clean(self._frotz.get_narrative_text() or b"")

    def _leave(self) -> None:
        self._left = True

    def close(self) -> None:
        """Free the interpreter's memory; its library goes with the last reference."""
        self._env.close()

    def _setup(self, seed: int) -> None:
        self._env.close()
        self._left = False
        data = self.story.data
        self._frotz.setup(str(self.story.path).encode(), _spread(seed), data, len(data))
        at = ctypes.c_void_p.in_dll(self._frotz, "zmp").value
        if at is None:
            raise EnvError(f"no memory for {self.story.path.name}; close some envs")
        self.memory = memoryview((ctypes.c_ubyte * self.story.dynamic_bytes).from_address(at)).cast(
            "B"
        )
        self._look()

    def _look(self) -> None:
        self.halted = self._left or self._frotz.halted() > 0
        self.waits_for_key = self._frotz.get_opcode() == _READ_CHAR


def _spread(seed: int) -> int:
    """A seed that Frotz takes whole: it has 31 bits, -1 is the clock, near-by ones start alike."""
    drawn = int(np.random.SeedSequence(abs(seed)).generate_state(1, np.uint32)[0])
    return _FIRST_PLAIN_SEED + drawn % (_MAX_SEED - _FIRST_PLAIN_SEED)


def clean(output: bytes) -> str:
    """What the game said: without prompt, control characters and the status line, which Frotz's
    plain screen prints in between. A turn that filled the interpreter's buffer says that it is cut.
    """
    text = output.decode("latin-1").translate(_CONTROL)
    text = _OPENING_PROMPT.sub("", _PROMPT.sub("", text)).lstrip("\n")
    if ":" in text[: text.find("\n")]:
        text = _STATUS_LINE.sub("", text)
    text = text.strip().removesuffix(">").rstrip()
    return text + _CUT if len(output) >= _MOST_BYTES else text
