"""The envs that come with the package.

Gymnasium knows them by their ids after `import valueagents`.
"""
