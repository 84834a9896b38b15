"""The language's own variables, as its test player has them: a plain reader, on no shop's platform,
whose every purchase is made.

Purchases are known without *check_purchase too. The clock stands still, so that the same seed and
choices give the same text on every day.
"""

from valueagents.envs.choice_game.scene import Scene
from valueagents.envs.choice_game.state import ScriptState
from valueagents.envs.choice_game.values import Value, literal, printed

TIME_STAMP = 1_735_689_600
"""What `choice_time_stamp` always is: the first second of 2025, UTC."""

_FIXED: dict[str, Value] = {
    "choice_randomtest": True,
    "choice_subscribe_allowed": True,
    "choice_purchase_supported": False,
    "choice_purchase_error": False,
    "choice_release_date": "release day",
    "choice_time_stamp": TIME_STAMP,
    "implicit_control_flow": False,
    "true": True,
    "false": False,
    **dict.fromkeys(
        (
            "choice_register_allowed", "choice_registered", "choice_is_web", "choice_is_steam",
            "choice_is_steam_deck", "choice_is_ios_app", "choice_is_ipad_app",
            "choice_is_android_app", "choice_is_omnibus_app", "choice_is_amazon_app",
            "choice_is_advertising_supported", "choice_is_trial", "choice_prerelease",
            "choice_kindle", "choice_quicktest", "choice_restore_purchases_allowed",
            "choice_save_allowed", "choice_nightmode", "choice_user_restored",
            "choice_just_restored_checkpoint",
        ),
        False,
    ),
}  # fmt: skip


def system_value(name: str, state: ScriptState, scene: Scene) -> Value | None:
    """The value of one of the language's variables, by its name in lower case; None if it has no
    such variable.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name.startswith("choice_purchased_"):
        return True
    if name.startswith("choice_saved_checkpoint"):
        return False
    if name == "choice_scene":
        return scene.name
    if name == "choice_linenum":
        return state.at - 1  # counted from 0, as the language does
    if name == "choice_reuse":
        return state.frame.reuse
    value = literal(name) if name.replace(".", "", 1).isdecimal() else None
    return value if value is not None and printed(value) == name else None
