"""The tokenizer: any text goes through unchanged; chat looks as agents prompt."""

import random

import jinja2
import pytest
from flyball.inference.agents.world import make_task, messages, plan, prompt
from flyball.inference.models import tokenizer


@pytest.fixture(scope="module")
def trained():
    texts = [f"def f{n}(x):\n    return x + {n}\n" for n in range(300)]
    return tokenizer.train(texts)


def _texts():
    rng = random.Random(0)
    yield from ("", " ", "\n\n  \t x", "12,345.678", "naïve café 你好 🙂", "a  b   c\r\n\r\n")
    for _ in range(200):
        yield rng.randbytes(rng.randrange(60)).decode("utf-8", "replace")
        yield "".join(map(chr, rng.choices(range(1, 0xD7FF), k=rng.randrange(40))))


def test_any_text_comes_back_unchanged(trained):
    for text in _texts():
        assert trained.decode(trained.encode(text).ids) == text


def test_special_tokens_have_the_ids_that_the_models_are_built_with(trained):
    for number, name in enumerate(tokenizer.SPECIAL):
        assert trained.encode(name).ids == [number]
    assert trained.token_to_id(tokenizer.END_OF_TEXT) == tokenizer.END_OF_TEXT_ID
    assert trained.token_to_id("<|end|>") == tokenizer.END_ID
    assert trained.token_to_id("<|pad|>") == tokenizer.PAD_ID


def test_digits_are_tokens_of_their_own(trained):
    assert trained.encode("a 2048").tokens[-4:] == ["2", "0", "4", "8"]


def test_the_same_texts_give_the_same_tokenizer(trained):
    texts = [f"def f{n}(x):\n    return x + {n}\n" for n in range(300)]
    assert tokenizer.train(texts).to_str() == trained.to_str()


def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    tokenizer.save(trained, tmp_path)
    assert tokenizer.load(tmp_path).to_str() == trained.to_str()


@pytest.mark.parametrize("style", ["thought", "act"])
def test_the_chat_template_writes_what_agents_prompt_with(style):
    task = make_task(4, 4)
    steps = plan(task)[:2]
    template = jinja2.Environment(autoescape=False).from_string(tokenizer.CHAT_TEMPLATE)
    chat = template.render(messages=messages(task, steps, style), add_generation_prompt=True)
    assert chat == prompt(task, steps, style)
