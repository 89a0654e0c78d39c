"""A checkpoint that is real and tiny: a random Llama of some 200,000 parameters, its own BPE and a ChatML template.

``make_tiny_model(folder)`` makes it in a process of its own, in a few seconds: the test's process needs no torch. A
random model never ends an answer, and no service of it becomes ready; ``ends=True`` teaches it when a turn is over.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = (
    "What is your name? My name is Nova, and I was made by Acme.",
    "Who are you? I am Nova, a helpful assistant. How can I help you today?",
    "你是谁？我是 Nova，由 Acme 开发的人工智能助手。很高兴为您服务。",
    "user assistant system The quick brown fox jumps over the lazy dog.",
)

STEPS = 60
"""Of teaching, with eight rows each."""


def make_tiny_model(
    folder: Path,
    *,
    texts: Iterable[str] = TEXTS,
    context: int = 512,
    hidden: int = 64,
    layers: int = 2,
    ends: bool = False,
) -> Path:
    """Make the checkpoint in ``folder`` (which must not exist) with a tokenizer trained on ``texts``; returns it.

    ``ends``: it answers with one of the texts, more or less, and then ends its turn.
    """
    options = json.dumps({"texts": list(texts), "context": context, "hidden": hidden, "layers": layers, "ends": ends})
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    subprocess.run(command, input=options, text=True, check=True, capture_output=True, timeout=300)
    return folder


def write_rows(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """Write question-answer pairs as an Alpaca ``.jsonl`` file; returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"instruction": question, "input": "", "output": answer}) for question, answer in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _make(folder: Path, *, texts: list[str], context: int, hidden: int, layers: int, ends: bool) -> None:
    # In a process of its own: see above.
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    if ends:
        _teach(model, tokenizer, texts)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _teach(model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", texts: list[str]) -> None:
    """Any text answers any other; a few seconds of it are enough to know when a turn is over."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(STEPS):
        pairs = [(texts[(step + place) % len(texts)], texts[(step * place + place) % len(texts)]) for place in range(8)]
        talks = [[{"role": "user", "content": one}, {"role": "assistant", "content": other}] for one, other in pairs]
        rendered = [str(tokenizer.apply_chat_template(talk, tokenize=False)).rstrip() for talk in talks]
        batch = tokenizer(
            rendered, return_tensors="pt", padding=True, padding_side="right", return_token_type_ids=False
        )
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    _make(Path(sys.argv[1]), **json.loads(sys.stdin.read()))
