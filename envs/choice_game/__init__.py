"""ChoiceScript, interpreted: the language of choice games, read from a folder of scenes or
MACHIAVELLI's game data.

`values` and `expressions` compute, `templates` substitutes in text. `lines` and `scene` hold a
script; `parser` makes an instruction of a line when it is reached, with `commands`,
`variable_commands`, `jumps`, `rows` and `menu_parser`; `mistakes` finds what is wrong unplayed.
`game` holds the scenes, `state` is all that changes, `system` has the language's own variables,
`menus` says what is offered, `interpreter` runs to the next menu. `annotations` says what the lines
do to the values, `variable_rules` what its variables do, and `variable_changes` lists these;
`machiavelli` and `machiavelli_metrics` read and count that benchmark's labels.
"""
