"""The contracts that a plug-in author reads: decisions, environments, policies, and the checks that
hold them.
"""
