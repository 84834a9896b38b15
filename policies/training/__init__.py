"""Training a value: a LoRA adapter that answers one value's survey statements lower or higher, or
its control.

`survey.py` is the whole of it, top to bottom; `valueagents train survey` runs it.
"""
