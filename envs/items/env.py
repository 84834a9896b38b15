"""Item envs: one menu an episode, read from a file. Dilemmas, judgements and surveys are item envs.

An item is a text and its annotated options; the env shows the options in an order drawn from the
episode's seed (unless they are a scale, which has an order of its own), and the episode ends with
the choice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from valueagents.contracts.decision import Annotation, Factor, Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.errors import DataError
from valueagents.files.items import Item, ItemBank
from valueagents.taxonomy import Taxonomy


def on_axes_alone(taxonomy: Taxonomy, values: Mapping[str, float]) -> dict[str, float | None]:
    """An annotation that was made on these axes only: *not annotated* on all the others.

    Statements and posts belong to their values by their key; what they do to others nobody has
    judged, so 0 would be a claim. Every axis is thereby scored over its own items, as a
    questionnaire is.
    """
    return {name: values.get(name) for name in taxonomy.axis_ids}


class ItemEnv(ValueEnv):
    """An env of one-step episodes over an `ItemBank`. Subclasses read the bank and pass it on.

    `shuffled` False shows the options as the item lists them. The factor `item` is the item's id,
    and the bank's own factors follow it; subclasses that know more of their items declare `factors`
    on the class and override `levels`.
    """

    factors: tuple[Factor, ...] = (Factor("item", "The id of the item that was met."),)

    version = "1"
    independent_menus = True
    inline = True
    shuffled = True

    def __init__(self, bank: ItemBank, *, render_mode: Literal["ansi"] | None = None) -> None:
        if not bank.items:
            raise DataError("the item bank is empty; give a file with at least one item")
        self.bank = bank
        self.factors = (*type(self).factors, *bank.factors)
        self.covariates = bank.covariates
        self.taxonomy = bank.taxonomy
        self.task = bank.task
        self.notes = bank.notes
        self._items = {item.id: item for item in bank.items}
        super().__init__(
            max_menu=max(len(item.options) for item in bank.items), render_mode=render_mode
        )

    def situations(self) -> Sequence[str]:
        """The item ids in file order."""
        return tuple(self._items)

    def content(self) -> object:
        """The whole bank: a changed word, annotation or level is another env."""
        content: dict[str, Any] = msgspec.to_builtins(self.bank)
        for item in content["items"]:
            if not item["factors"]:
                del item["factors"]  # older than the field are the identities of items without it
            for option in item["options"]:
                if not option["covariates"]:
                    del option["covariates"]  # likewise
        return {
            "taxonomy": self.bank.taxonomy.content,
            "task": content["task"],
            "provenance": content["provenance"],
            "scaling": content["scaling"],
            "items": content["items"],
        }

    def start(self, situation: str | None) -> Turn:
        """Show an item, its options in an order drawn from the episode's seed."""
        item = self._items[str(situation)]
        places = (
            self.np_random.permutation(len(item.options))
            if self.shuffled
            else range(len(item.options))
        )
        order = [item.options[k] for k in places]
        annotation = Annotation(
            taxonomy=self.taxonomy.name,
            values=tuple(option.values for option in order),
            provenance=self.bank.provenance,
            scaling=self.bank.scaling,
            covariates={
                each.name: tuple(option.covariates.get(each.name) for option in order)
                for each in self.covariates
                if any(each.name in option.covariates for option in order)
            },
        )
        menu = tuple(Option(option.id, option.text) for option in order)
        return Turn(
            item.text,
            menu,
            annotation,
            situation=item.id,
            cluster=item.cluster or item.id,
            factors=self.levels(item),
        )

    def levels(self, item: Item) -> dict[str, str]:
        """The levels of an item's menu on the env's factors."""
        return {"item": item.id, **item.factors}

    def advance(self, option: Option) -> Turn:
        """The choice ends the episode."""
        return Turn(text="", terminated=True)

    def save_state(self) -> bytes:
        """Nothing: the turn, which the base class keeps, is all the state there is."""
        return b""

    def load_state(self, state: bytes) -> None:
        """Nothing to do."""
