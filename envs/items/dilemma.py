"""`valueagents/Dilemma-v0`: a situation, two or more things to do about it, and what each does to
the values.
"""

from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.envs.items.env import ItemEnv
from valueagents.envs.items.files import read_items
from valueagents.errors import ConfigError, unknown_name


class DilemmaEnv(ItemEnv):
    """Dilemmas from our own bank, or from the user's file.

    Args:
        data: a `.jsonl` file in our format (envs/reference.md), a MoralChoice `.csv`, or
            DailyDilemmas by action; by default the bundled bank (192 dilemmas, taxonomy schwartz20,
            AI-annotated: see envs/data/README.md).
        values: DailyDilemmas' table of value words (`.csv`), which its by-action file needs.
        setting: play only items of this setting, e.g. `home` or `agent-business`; by default all.
        render_mode: "ansi" or None, as in Gymnasium.
    """

    def __init__(
        self,
        *,
        data: str | None = None,
        values: str | None = None,
        setting: str | None = None,
        render_mode: Literal["ansi"] | None = None,
    ) -> None:
        path = (
            Path(data)
            if data is not None
            else Path(str(files("valueagents.envs").joinpath("data", "dilemmas-1.jsonl")))
        )
        bank = read_items(path, None if values is None else Path(values))
        if setting is not None:
            settings = {item.setting for item in bank.items}
            if setting not in settings:
                raise ConfigError(unknown_name("setting", setting, settings))
            bank = msgspec.structs.replace(
                bank, items=tuple(i for i in bank.items if i.setting == setting)
            )
        super().__init__(bank, render_mode=render_mode)
