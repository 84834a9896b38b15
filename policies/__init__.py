"""Policies: scripted ones, and language-model policies made of an engine, a prompt and a reading
mode.
"""
