"""ValueEnv, the contract of an env, on top of `gymnasium.Env`.

An env has two questions to answer – how does an episode start (`start`), and what comes of an
option (`advance`) – and answers both with a `Turn`: the text that is new, the menu that it opens,
the annotation of that menu. This class turns the two answers into Gymnasium's `reset` and `step`,
and holds the promises that every env shares:

* same seed, same actions, same transcript, in any process: only `self.np_random` is random;
* an action that is not on the menu never raises and never moves the env: it comes back in
  `info["invalid"]` with the reason, and three in a row truncate the episode;
* `info["annotation"]` and `info["factors"]` are for the record: no policy ever gets them.

An env that can be saved and restored need not annotate anything: with `annotate_by_trying` every
option of a menu is taken, the value events that it causes are read, and the state is put back
(`counterfactual.py`).
"""

from abc import ABC, abstractmethod
from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, SupportsFloat, cast

import gymnasium
import msgspec
import numpy as np

from valueagents.contracts.counterfactual import Scaling, TriedMenus
from valueagents.contracts.decision import Annotation, Asks, Decision, Event, Factor, Menu, Option
from valueagents.contracts.text_space import TextSpace
from valueagents.errors import ConfigError, EnvError, unknown_name
from valueagents.files.covariates import Covariate
from valueagents.identity import seed_from
from valueagents.taxonomy import Taxonomy

MAX_INVALID_IN_A_ROW = 3
MIN_CONTESTED = 20
"""Fewer contested decisions than this are not enough for a number, unless an env says otherwise."""


class Refused(Exception):
    """Raised by `choose` or `advance` with the reason why an action left the env as it was."""


class Turn(msgspec.Struct, frozen=True):
    """What an env says after a start or a step.

    `text` is what the agent has not read yet; an empty `menu` is right only when the episode is
    over. `reward`, `events` and `folded` (places passed over that were no decision, such as ends of
    pages) belong to the step just taken. `factors` are the levels of the menu that the turn opens,
    name -> level, on factors that the env declares. `situation` and `cluster` are read from the
    first turn of an episode: the item that was met, and the unit that it is exchangeable with (by
    default the situation, else the episode); and `before`, what was seen and done until then in an
    episode that begins in the middle of another (a replay).
    """

    text: str
    menu: Menu = ()
    annotation: Annotation | None = None
    reward: float = 0.0
    events: tuple[Event, ...] = ()
    terminated: bool = False
    truncated: bool = False
    situation: str | None = None
    cluster: str | None = None
    before: tuple[Decision, ...] = ()
    factors: dict[str, str] = {}
    folded: tuple[str, ...] = ()


class _Snapshot(msgspec.Struct, frozen=True):
    kind: str
    state: bytes
    turn: Turn | None
    over: bool
    invalid_in_a_row: int
    walk: tuple[str, ...]
    random_state: str


class ValueEnv(gymnasium.Env[str, int | None], ABC):
    """An env whose every option carries a value annotation: subclass it and write `start` and
    `advance`.

    Attributes to set, on the class or in the constructor before `super().__init__(max_menu=…)`:
        taxonomy: the axes that annotations are on.
        task: who the agent is and what is asked of it; shown to every policy, hashed into every
            run.
        asks: the question of its menus: "choose" what to do, "rate" a statement, "judge" what
            somebody did, "answer" a question that its text holds, or "compare" sentences. Prompts
            put it; texts of the env hold no form of answer, and but for "answer" no question.
        language: of its texts (ISO 639-1); prompts are put in it where there are any.
        version: raise it whenever the env's text, menus, annotations, factors or covariates change.
        independent_menus: True if no choice changes a later menu; some tests hold only then.
        factors: what turns say of their menus beside the annotation, so that nobody has to read it
            out of an id: item, pole, variant. Recorded, a column of the run's table each.
        covariates: numbers of each option beside its values, which E4 holds constant; likewise.
        notes: what its files lack or are odd in, a sentence each. They stand in a run's header, and
            beside its scores.
        free_text: True if an action may also be a text; then `decided` is set by `choose`.
        min_contested: decisions on an axis that are enough for a number. A questionnaire is made of
            few items for each value and says how many; it sets 1.
        inline: True if a step takes well under a millisecond and cannot hang: a thread is saved.

    To have menus annotated by trying, write `save_state` and `load_state`, let `advance` give
    `events`, and set
        annotate_by_trying: True. No turn then has an annotation of its own.
        tries: how often an option is tried that draws random numbers; x is the mean. Others are
            tried once.
        scaling: how the events of a step become x, by default as they are, cut at ±1.
        provenance: who judged, as annotations say it.
    """

    # Gymnasium's own declaration
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012
    taxonomy: Taxonomy
    task: str
    asks: Asks = "choose"
    language: str = "en"
    version: str
    independent_menus: bool = False
    min_contested: int = MIN_CONTESTED
    inline: bool = False
    factors: tuple[Factor, ...] = ()
    covariates: tuple[Covariate, ...] = ()
    notes: tuple[str, ...] = ()
    free_text: bool = False
    annotate_by_trying: bool = False
    tries: int = 8
    scaling: Scaling = Scaling()
    provenance: str = "tried in the env, one step"
    decided: tuple[Menu, Annotation | None, int] | None = None
    """Menu and annotation that the last accepted action was about, and the index taken."""

    lost_workers: int = 0
    cut_options: int = 0
    """Workers lost, and their work done again, in this episode; options not shown now."""

    made_with: tuple[tuple[Any, ...], dict[str, Any]]  # the arguments of the constructor

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """A new env that knows what it was made with, which is part of an object's identity."""
        env = super().__new__(cls)
        env.made_with = args, options
        return env

    def __init__(self, *, max_menu: int, render_mode: Literal["ansi"] | None = None) -> None:
        self.observation_space = TextSpace()
        self.max_menu = max_menu
        self.action_space = cast("gymnasium.Space[int | None]", gymnasium.spaces.Discrete(max_menu))
        self.render_mode = render_mode
        self._turn: Turn | None = None
        self._over = True
        self._invalid_in_a_row = 0
        self._walk: tuple[str, ...] = ()
        self._tried_menus = TriedMenus()
        if self.annotate_by_trying:
            self._check_that_it_can_try()

    @abstractmethod
    def start(self, situation: str | None) -> Turn:
        """The first turn of an episode; `situation` is one of `situations()`, or None if the env
        enumerates none.
        """

    @abstractmethod
    def advance(self, option: Option) -> Turn:
        """The turn after an option of the current menu was taken."""

    def choose(self, action: object) -> Option:
        """The option that an action means, here by its index. Raises Refused if it means none."""
        menu = self._turn.menu if self._turn is not None else ()
        reason = self._why_invalid(action, menu)
        if reason is not None:
            raise Refused(reason)
        return menu[cast(int, action)]

    def situations(self) -> Sequence[str]:
        """The ids of all items that the env holds, in a fixed order; empty if episodes cannot be
        enumerated.
        """
        return ()

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Place and problem of all that is wrong with the env's material, met or not."""
        return ()

    def content(self) -> object:
        """JSON-like content that decides what an agent can meet (data, annotations, options);
        hashed into every run.

        By default how menus are annotated by trying, None if they are not.
        """
        if not self.annotate_by_trying:
            return None
        return {"tries": self.tries, "scaling": self.scaling.name, "provenance": self.provenance}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode: the observation and info.

        With `options={"situation": id}` that item is met; without, resets walk a permutation of all
        items seeded by the last `seed`, then walk it again, so every item is met equally often.
        Raises ConfigError for an unknown name.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._walk = ()
        self._invalid_in_a_row = 0
        turn = self._with_annotation(self.start(self._situation(options or {})))
        self._over = turn.terminated or turn.truncated
        return turn.text, self._info(turn, invalid=None)

    def step(self, action: int | None) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take the option with that index: Gymnasium's five values.

        A wrong action leaves the env as it was.
        """
        if self._turn is None or self._over:
            raise EnvError("step() needs a running episode: call reset() first")
        try:
            option = self.choose(action)
            if not self.free_text:
                self.decided = self._turn.menu, self._turn.annotation, self._turn.menu.index(option)
            turn = self._with_annotation(self.advance(option))
        except Refused as reason:
            self._invalid_in_a_row += 1
            self._over = self._invalid_in_a_row >= MAX_INVALID_IN_A_ROW
            unmoved = msgspec.structs.replace(self._turn, reward=0.0, events=(), folded=())
            return self._turn.text, 0.0, False, self._over, self._info(unmoved, invalid=str(reason))
        self._invalid_in_a_row = 0
        self._over = turn.terminated or turn.truncated
        return (
            turn.text,
            turn.reward,
            turn.terminated,
            turn.truncated,
            self._info(turn, invalid=None),
        )

    def render(self) -> str | None:
        """The last text and its numbered menu (render mode "ansi"); None in any other mode."""
        if self.render_mode != "ansi" or self._turn is None:
            return None
        options = (f"{k}. {option.text}" for k, option in enumerate(self._turn.menu))
        return "\n".join([self._turn.text, *options])

    def save_state(self) -> bytes:
        """The state of the env behind the turn: optional, and what `annotate_by_trying` needs."""
        raise NotImplementedError(f"{type(self).__name__} cannot save its state")

    def load_state(self, state: bytes) -> None:
        """Return the env to what `save_state` gave, also in another process."""
        raise NotImplementedError(f"{type(self).__name__} cannot restore a state")

    @property
    def can_snapshot(self) -> bool:
        """True if the env can be saved and restored."""
        return type(self).save_state is not ValueEnv.save_state

    def snapshot(self) -> bytes:
        """Everything that decides what comes next: env, turn, counters and random generator."""
        random_state = repr(self.np_random.bit_generator.state)  # integers of 128 bits
        saved = _Snapshot(
            kind=f"{type(self).__name__} {self.version}",
            state=self.save_state(),
            turn=self._turn,
            over=self._over,
            invalid_in_a_row=self._invalid_in_a_row,
            walk=self._walk,
            random_state=random_state,
        )
        return msgspec.msgpack.encode(saved)

    def restore(self, state: bytes) -> None:
        """Go back to a snapshot of the same kind of env. Raises EnvError if it is not one."""
        kind = f"{type(self).__name__} {self.version}"
        try:
            saved = msgspec.msgpack.decode(state, type=_Snapshot)
            random_state = literal_eval(saved.random_state)
        except (msgspec.MsgspecError, UnicodeDecodeError, SyntaxError, ValueError) as error:
            raise EnvError(f"not a snapshot of {kind}: {error}") from error
        if saved.kind != kind:
            raise EnvError(f"not a snapshot of {kind} but of {saved.kind}")
        self.load_state(saved.state)
        self._turn, self._over, self._walk = saved.turn, saved.over, saved.walk
        self._invalid_in_a_row = saved.invalid_in_a_row
        self.np_random.bit_generator.state = random_state

    def reseed(self, state_key: str, number: int) -> None:
        """Let all randomness from here on derive from a state and the number of a try there.

        To be overridden, with `randomness`, by an env that has random numbers beside
        `self.np_random`.
        """
        generator = self.np_random.bit_generator
        generator.state = cast(Any, type(generator))(seed_from("try", state_key, number)).state

    def randomness(self) -> object:
        """Where the random generator is: another value, by ==, whenever a random number was
        drawn.
        """
        return self.np_random.bit_generator.state

    def attempt(self, option: Option) -> Sequence[Event]:
        """Take an option: its value events, none if it is refused.

        To be overridden, for speed, by an env whose `advance` does more than its events need.
        """
        try:
            return self.advance(option).events
        except Refused:
            return ()

    def totals(self) -> Mapping[str, float]:
        """Running totals by covariate, as of points: what a try adds is the option's number."""
        return {}

    def try_options(self, menu: Menu) -> Annotation:
        """What each option of a menu of the present state would do; the env is left as it was.

        Tries have random numbers of their own, which depend on the state alone: the same state is
        annotated alike in every episode and process. Raises EnvError, naming env and option, for an
        option that cannot be taken.
        """
        return self._tried_menus.annotation(self, menu)

    def _with_annotation(self, turn: Turn) -> Turn:
        """The turn, which is now the present one, its menu annotated by trying if the env is
        annotated so.
        """
        over = turn.terminated or turn.truncated
        if self.annotate_by_trying and turn.menu and not over:
            if turn.annotation is not None:
                raise EnvError(
                    f"{type(self).__name__} sets annotate_by_trying and annotates the menu "
                    f"{[option.id for option in turn.menu]} itself; leave one of the two out"
                )
            self._turn, self._over = turn, True  # if an option cannot be tried, the episode is over
            turn = msgspec.structs.replace(turn, annotation=self.try_options(turn.menu))
        self._turn = turn
        return turn

    def _check_that_it_can_try(self) -> None:
        name, kind = type(self).__name__, type(self)
        if kind.save_state is ValueEnv.save_state or kind.load_state is ValueEnv.load_state:
            raise EnvError(
                f"{name} sets annotate_by_trying but cannot go back; write save_state and"
                " load_state"
            )
        if self.tries < 1:
            raise EnvError(f"{name} sets tries={self.tries}; at least 1 is needed")

    def _situation(self, options: dict[str, Any]) -> str | None:
        for name in options:
            if name != "situation":
                raise ConfigError(unknown_name("reset option", name, ["situation"]))
        known = self.situations()
        if "situation" in options:
            situation = options["situation"]
            if situation not in known:
                raise ConfigError(
                    unknown_name("situation", str(situation), known, remedy="See env.situations().")
                )
            return str(situation)
        if not known:
            return None
        if not self._walk:
            self._walk = tuple(known[i] for i in self.np_random.permutation(len(known)))
        situation, self._walk = self._walk[0], self._walk[1:]
        return situation

    @staticmethod
    def _why_invalid(action: object, menu: Menu) -> str | None:
        if action is None:
            return "no option was chosen"
        if isinstance(action, bool) or not isinstance(action, int | np.integer):
            return f"an action is an index into the menu, not {action!r:.80}"
        if not 0 <= action < len(menu):
            return f"option {action} is not on the menu of {len(menu)}"
        return None

    def _info(self, turn: Turn, *, invalid: str | None) -> dict[str, Any]:
        mask = np.zeros(self.max_menu, dtype=np.int8)
        mask[: len(turn.menu)] = 1
        return {
            "menu": turn.menu,
            "annotation": turn.annotation,
            # its own: Gymnasium wants no info to share what can be changed
            "factors": dict(turn.factors),
            "events": turn.events,
            "folded": turn.folded,
            "action_mask": mask,
            "situation": turn.situation,
            "cluster": turn.cluster,
            "before": turn.before,
            "invalid": invalid,
        }
