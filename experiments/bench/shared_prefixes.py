"""What does sharing prefixes save? Six multi-token options after a 300-token prompt, on the embedded model in float32.

Side by side, in turn, in one process: the engine's shared-prefix scoring, and one full forward pass an option. Then the
prefills that a label menu costs: tokens computed for six labels, as a multiple of the prompt's own.
"""

import asyncio
import time

import torch
import transformers

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading

PROMPT_TOKENS = 300
ROUNDS = 7
OPTIONS = (
    "Walk back to the harbour and give the captain her purse before the ferry sails.",
    "Keep the purse until Monday and put a note on the board beside the ticket office.",
    "Hand it to the policeman at the gate and let him find out whose purse it might be.",
    "Look through the papers inside the purse for a telephone number and ring it at once.",
    "Leave the purse on the bench where it lay, since its owner may come back to look there.",
    "Take the money for the shelter's roof and drop the empty purse in the captain's letter box.",
)


async def main() -> None:
    """Print times, their ratio, and the largest difference of a log-likelihood."""
    transformers.logging.disable_progress_bar()
    files = find_model(EMBEDDED)
    tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32).eval()
    text = "The ferry was late again, and on the bench lay a purse of green leather. " * 30
    system = "You meet situations that call for a decision."
    while len(_ids(tokenizer, system, text)) > PROMPT_TOKENS:
        text = text[:-1]
    prompt = _ids(tokenizer, system, text)
    answers = [tokenizer(option, add_special_tokens=False).input_ids for option in OPTIONS]
    request = ScoreRequest(((Message("system", system), Message("user", text)),), OPTIONS)
    async with TransformersEngine(EMBEDDED, dtype="float32", device="cpu") as engine:
        shared, naive, worst = [], [], 0.0
        for _ in range(ROUNDS):
            started = time.perf_counter()
            reply = await engine.score(request)
            shared.append(time.perf_counter() - started)
            started = time.perf_counter()
            sums = [_full_pass(model, prompt, answer) for answer in answers]
            naive.append(time.perf_counter() - started)
            worst = max(worst, *(abs(a - b) for a, b in zip(sums, reply.logprobs[0], strict=True)))
        view = View(system, (), text, tuple(Option(str(k), option) for k, option in enumerate(OPTIONS)), seed=0)
        (listed,) = LabelReading("none").requests(load_prompt("choose-1"), view)
        label = await engine.score(listed)
    fast, slow = sorted(shared)[ROUNDS // 2], sorted(naive)[ROUNDS // 2]
    lengths = sorted(len(answer) for answer in answers)
    print(f"{len(OPTIONS)} options of {lengths[0]}-{lengths[-1]} tokens after {len(prompt)} tokens, float32")
    print(f"shared prefix   {fast:6.3f} s")
    print(f"full passes     {slow:6.3f} s")
    print(f"ratio           {slow / fast:6.2f}    (bar: 3.5)")
    print(f"largest difference of a log-likelihood {worst:.1e}")
    computed = label.prompt_tokens - label.cached_tokens
    print(
        f"label reading, {len(OPTIONS)} options: {computed} tokens computed, listing of {label.prompt_tokens}:", end=" "
    )
    print(f"{computed / label.prompt_tokens:.2f} prefills (bar: 1)")


def _ids(tokenizer: transformers.PreTrainedTokenizerBase, system: str, text: str) -> list[int]:
    chat = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(rendered, add_special_tokens=False).input_ids
    return ids


def _full_pass(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> float:
    """Log P(answer | prompt) by one forward pass over both."""
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return float(sum(logprobs[place, token] for place, token in zip(places, answer, strict=True)))


if __name__ == "__main__":
    asyncio.run(main())
