"""Menus: annotated decisions as training material, parted into train, eval and test.

They come from an env that enumerates its situations, from run directories, or from a frozen pool,
and are pools themselves: a part can be met with `valueagents/Replay-v0`. What is exchangeable (the
item; in a game the menu) lies in one part whole. Which part that is depends on the seed of the
split, not on the target or the seed of a training: what is held out from one adapter of a split is
held out from all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from valueagents.contracts.decision import Annotation, Asks, Choice, Decision, Menu, shown_hash
from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError
from valueagents.identity import content_hash, seed_from
from valueagents.policies.language import dropped_turns
from valueagents.policies.training.manifest import MenuSplit
from valueagents.running.pool import (
    FORMAT,
    POOL_FILE,
    VERSION,
    Pool,
    PooledDecision,
    PoolHeader,
    PoolSource,
    read_pool,
    sample_pool,
    write_pool,
)
from valueagents.running.rollout import exchange

MenuPart = Literal["train", "eval", "test"]
PARTS: tuple[MenuPart, ...] = ("train", "eval", "test")
FOLDER = "menus"
_NO_POLICY = "none"  # of an env's own situations: nobody played them


class AskedMenu(msgspec.Struct, frozen=True):
    """A menu as a policy meets it, and what its options do: the annotation is for the trainer's
    eyes alone.
    """

    shown: str
    task: str
    asks: Asks
    before: tuple[Decision, ...]
    observation: str
    menu: Menu
    annotation: Annotation

    def view(self, history: int | None = None) -> View:
        """What a policy is shown, of earlier turns what a policy with that `history` shows."""
        dropped = dropped_turns(len(self.before), history)
        turns = tuple(exchange(decision) for decision in self.before[dropped:])
        return View(self.task, turns, self.observation, self.menu, seed=0, asks=self.asks)

    def on(self, axis: str) -> tuple[float | None, ...]:
        """What each option does to an axis: 0 neutral, None not annotated."""
        return tuple(option.get(axis, 0.0) for option in self.annotation.values)

    def contests(self, axis: str) -> bool:
        """True if all options are annotated on the axis, and not all alike."""
        x = self.on(axis)
        return None not in x and len(set(x)) > 1


class Parted(msgspec.Struct, frozen=True):
    """The menus of each part, and what the split is called."""

    pools: dict[MenuPart, Pool]
    split: MenuSplit

    def asked(self, part: MenuPart) -> tuple[AskedMenu, ...]:
        """The menus of a part, sorted by situation."""
        pool = self.pools[part]
        return tuple(
            AskedMenu(
                each.shown,
                pool.header.task,
                pool.header.asks,
                each.before,
                each.observation,
                each.menu,
                each.annotation,
            )
            for each in pool.decisions
        )

    def write(self, folder: Path) -> None:
        """Each part as a pool, `FOLDER/PART.jsonl`."""
        (folder / FOLDER).mkdir(exist_ok=True)
        for part, pool in self.pools.items():
            write_pool(folder / FOLDER / f"{part}.jsonl", pool)


def read_menus(sources: Sequence[str], *, decisions: int, seed: int) -> Pool:
    """The menus of run directories, or of one pool: its file, or the folder that it is in.

    Of runs at most `decisions` distinct situations are drawn from the seed; a pool is taken whole.

    Raises ConfigError if there is nothing to train on there.
    """
    paths = [Path(source) for source in sources]
    pools = [file for path in paths if (file := _pool_file(path)) is not None]
    if not pools:
        return sample_pool(paths, decisions=decisions, seed=seed)
    if len(paths) > 1:
        raise ConfigError(
            f"{pools[0]} is a pool; give it alone, or the runs that it was drawn from"
        )
    return read_pool(pools[0])


def menus_of_env(env_id: str, options: Mapping[str, Any]) -> Pool:
    """Every annotated menu that an env enumerates, its options in an order drawn for it.

    Raises ConfigError if it enumerates none: a game is played first.
    """
    env = make_env(env_id, **options)
    met = [_met(env, situation) for situation in env.situations()]
    found = tuple(sorted((each for each in met if each), key=lambda each: each.shown))
    if not found:
        raise ConfigError(
            f"{env_id} lists no annotated menus to train on; play it first (valueagents run --env"
            f" {env_id} --policy random --out RUN) and give --menus RUN"
        )
    source = PoolSource(env_id, _NO_POLICY, 0, len(found))
    return Pool(
        PoolHeader(
            FORMAT,
            VERSION,
            env.task,
            env.taxonomy,
            env.min_contested,
            len(found),
            0,
            (source,),
            env.factors,
            env.asks,
        ),
        found,
    )


def part_menus(pool: Pool, *, seed: int, shares: tuple[float, float]) -> Parted:
    """The menus in three parts: `shares` of the clusters for train and eval, the rest for test.

    Raises ConfigError if a part is empty.
    """
    clusters = sorted({each.cluster for each in pool.decisions})
    order = sorted(clusters, key=lambda cluster: content_hash("menu split", seed, cluster))
    first, second = (round(len(order) * share) for share in (shares[0], sum(shares)))
    of_cluster: dict[str, MenuPart] = dict.fromkeys(order[:first], "train")
    of_cluster |= dict.fromkeys(order[first:second], "eval")
    of_cluster |= dict.fromkeys(order[second:], "test")
    pools = {part: _part(pool, of_cluster, part) for part in PARTS}
    sizes = {part: len(pools[part].decisions) for part in PARTS}
    for part, size in sizes.items():
        if not size:
            raise ConfigError(
                f"{len(clusters)} clusters of menus in shares {shares[0]:g} and {shares[1]:g}:"
                f" none for {part}; give more menus or other shares"
            )
    name = content_hash(
        {part: [msgspec.to_builtins(each) for each in pools[part].decisions] for part in PARTS}
    )
    split = MenuSplit(name=name, seed=seed, shares=shares, clusters=len(clusters), **sizes)
    return Parted(pools, split)


def _pool_file(path: Path) -> Path | None:
    if path.is_file():
        return path
    file = path / POOL_FILE
    return file if file.is_file() else None


def _met(env: ValueEnv, situation: str) -> PooledDecision | None:
    """An env's situation as it is put, None where its menu is not annotated or no choice."""
    seed = seed_from("order of options", situation)
    observation, info = env.reset(seed=seed, options={"situation": situation})
    menu, annotation = info["menu"], info["annotation"]
    if annotation is None or len(menu) < 2:
        return None
    decision = Decision(observation, menu, Choice(None, "refused"))  # not asked yet
    return PooledDecision(
        shown=shown_hash(env.task, [*info["before"], decision]),
        cluster=info["cluster"] or situation,
        before=info["before"],
        observation=observation,
        menu=menu,
        annotation=annotation,
        factors=info["factors"],
    )


def _part(pool: Pool, of_cluster: Mapping[str, MenuPart], part: MenuPart) -> Pool:
    kept = tuple(each for each in pool.decisions if of_cluster[each.cluster] == part)
    sources = pool.header.sources
    told = (
        PoolSource(
            "; ".join(dict.fromkeys(source.env for source in sources)),
            "; ".join(dict.fromkeys(source.policy for source in sources)),
            pool.header.seed,
            len(kept),
        ),
    )
    header = msgspec.structs.replace(pool.header, asked=len(kept), sources=told)
    return Pool(header, kept)
