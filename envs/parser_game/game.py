"""Game: start, step and consider, each answered with a `GameReply`; the same in this process and
in a worker.

Every request names the state it starts from and every reply the state it ends in, so it does not
matter what a game was asked before: whatever process answers, the transcript is the same. Only a
game that a single env owns may be asked to go on from where it is; its states are packed when
somebody wants them.
"""

from functools import cache

import msgspec

from valueagents.contracts.decision import Annotation, Event, Menu
from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.memory import Status
from valueagents.envs.parser_game.menu_cache import MenuCache
from valueagents.envs.parser_game.play import CommandRefused, GameSettings, Passed, Play
from valueagents.identity import content_hash

OWN = "own"
"""The place, for `Menus.note`, of what is not tried but done."""


class GameRequest(msgspec.Struct, frozen=True, tag_field="ask"):
    """The state to begin with; empty: where the game is."""

    settings: GameSettings
    state: bytes = b""


class Start(GameRequest, frozen=True, tag="start", kw_only=True):
    """Begin anew."""

    seed: int


class Take(GameRequest, frozen=True, tag="take", kw_only=True):
    """Send a command."""

    command: str


class Consider(GameRequest, frozen=True, tag="consider", kw_only=True):
    """Say which option a command comes to; nothing moves."""

    command: str


class GameReply(msgspec.Struct, frozen=True):
    """What came of a request. `refused` says why nothing did; `index` is the option that a
    considered text comes to; `lost_workers` how many workers were lost before one answered.
    """

    state: bytes
    text: str = ""
    events: tuple[Event, ...] = ()
    status: Status = Status()
    halted: bool = False
    menu: Menu = ()
    annotation: Annotation | None = None
    refused: str | None = None
    index: int | None = None
    lost_workers: int = 0


class GameServer:
    """Answers requests of the settings that it was made with.

    `shared` False: all of them come from one env, so states do not travel; see `save` and `load`.
    """

    def __init__(self, settings: GameSettings, *, shared: bool = True) -> None:
        self.play = Play(settings)
        content = content_hash(*self.play.content(), settings.tries)
        self.menus = Menus(self.play, tries=settings.tries, cache=_menu_cache(), content=content)
        self._wants_menus = settings.menus
        self._shared = shared
        self._at = b""

    def answer(self, request: Start | Take | Consider) -> GameReply:
        """The reply. Raises DataError if the story breaks its ledger, EnvError for a state of
        another story.
        """
        if isinstance(request, Start):
            self.menus.note(OWN, "")
            return self._reply(self.play.start(request.seed))
        if request.state != self._at:
            self.load(request.state)
        try:
            if isinstance(request, Consider):
                found, index = self.menus.match(request.command)
                return GameReply(
                    request.state, menu=found.menu, annotation=found.annotation, index=index
                )
            self.menus.note(OWN, request.command)
            passed = self.play.send(request.command)
        except CommandRefused as reason:
            return GameReply(request.state, refused=str(reason))
        return self._reply(passed)

    def save(self) -> bytes:
        """The state, for any process that has the same files."""
        return self.play.pack(self.play.save())

    def load(self, state: bytes) -> None:
        """Go to a state. Raises EnvError if it is none of this story."""
        self.play.load(self.play.unpack(state))
        self._at = state if self._shared else b""

    def _reply(self, passed: Passed) -> GameReply:
        passed = self._with_score(passed)
        state = self._at = self.save() if self._shared else b""
        if passed.status.done or passed.halted or not self._wants_menus:
            return GameReply(state, passed.text, passed.events, passed.status, passed.halted)
        found = self.menus.find()
        return GameReply(
            state,
            passed.text,
            passed.events,
            passed.status,
            menu=found.menu,
            annotation=found.annotation,
        )

    def _with_score(self, passed: Passed) -> Passed:
        """With the score that an annotated story tells when asked, where its memory has none."""
        if passed.status.score is not None:
            return passed
        status = msgspec.structs.replace(passed.status, score=self.play.told_score(passed))
        return msgspec.structs.replace(passed, status=status)


@cache
def _menu_cache() -> MenuCache:
    """The one cache of all games in this process."""
    return MenuCache()
