"""ChoiceScript, interpreted: the language of choice games, read from a folder of scenes or
MACHIAVELLI's game data.

`values` and `expressions` compute, `templates` substitutes in text, `parser` makes instructions of
a scene's lines, `game` holds the scenes, `state` is all that changes, `interpreter` runs to the
next menu, `annotations` says what the lines do to the values, `machiavelli` and
`machiavelli_metrics` read and count that benchmark's labels.
"""
