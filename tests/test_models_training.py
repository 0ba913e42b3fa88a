"""Training: resumed it is the same as uninterrupted; growth, generation and distillation."""

import signal

import numpy as np
import pytest
import torch
from flyball.inference.models import checkpoint, hf, interruption
from flyball.inference.models.attention import causal
from flyball.inference.models.data import Mixture, weights
from flyball.inference.models.distill import Lesson, distill
from flyball.inference.models.evaluate import DEPTH, acceptance
from flyball.inference.models.family import VOCABULARY, Shape
from flyball.inference.models.generate import generate
from flyball.inference.models.llama import Llama
from flyball.inference.models.muon import DECAY, Muon
from flyball.inference.models.recipe import Distillation, Phase, Recipe
from flyball.inference.models.tokenizer import SPECIAL
from flyball.inference.models.training import Training, grow, train

TINY = Shape(hidden=64, layers=2, heads=2, kv_heads=1, feed_forward=96)
_MARKS = ("end", "endoftext", "user", "assistant", "tool")
RECIPE = Recipe(
    tokens=640,
    phases=(Phase(0.5, layers=1, window=16, windows=4), Phase(1.0, 2, 32, 2, given=0.5)),
    warm_up=64,
    micro=32,
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Models this small are slower on more threads, and much slower on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mixture():
    """Return a function that makes the same small mixture again and again."""

    def make(seed=0):
        rng = np.random.default_rng(seed)
        calls = [rng.integers(0, 50, 9, dtype=np.uint16) for _ in range(20)]
        code, prose = (rng.integers(0, 50, 300, dtype=np.uint16) for _ in range(2))
        return Mixture(calls, code, prose)

    return make


@pytest.fixture
def tiny():
    return _strange(0)


def _strange(seed):
    """Return a model with weights so large that it does not just repeat its last token."""
    torch.manual_seed(seed)
    model = Llama(TINY).eval()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def _training(mixture):
    return Training("target", RECIPE, mixture(), shape=TINY, compiled=False)


@pytest.mark.parametrize("steps", [3, 5, 7])  # before, at and after the growth
def test_resumed_training_has_the_losses_of_uninterrupted_training(mixture, tmp_path, steps):
    whole = _training(mixture)
    expected = [whole.step() for _ in range(10)]
    first = _training(mixture)
    losses = [first.step() for _ in range(steps)]
    first.save(tmp_path / "here.pt")
    second = _training(mixture)
    second.resume(tmp_path / "here.pt")
    losses += [second.step() for _ in range(10 - steps)]
    assert losses == expected
    assert whole.model.shape.layers == 2


def test_an_interruption_leaves_a_checkpoint_to_go_on_from(mixture, tmp_path, monkeypatch):
    step, file = Training.step, tmp_path / "here.pt"

    def interrupted(self):
        if self.seen >= 256:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Training, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(_training(mixture), file)
    monkeypatch.setattr(Training, "step", step)
    assert checkpoint.load(file)["seen"] == 256
    resumed = train(_training(mixture), file).state_dict()
    whole = train(_training(mixture), tmp_path / "other.pt").state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_signal_waits_for_the_end_of_the_step(mixture, tmp_path, monkeypatch):
    step, file = Training.step, tmp_path / "here.pt"

    def signalled(self):
        if self.seen == 128:
            signal.raise_signal(signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Training, "step", signalled)
    with interruption.deferred(), pytest.raises(KeyboardInterrupt):
        train(_training(mixture), file)
    assert checkpoint.load(file)["seen"] == 192
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_signal_does_not_wait():
    with interruption.deferred():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_checkpoint_that_could_not_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    file = tmp_path / "here.pt"
    checkpoint.save(file, {"seen": 1})

    def fails(_content, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(file, {"seen": 2})
    assert checkpoint.load(file) == {"seen": 1}


def test_the_loss_falls(mixture):
    run = _training(mixture)
    losses = [run.step() for _ in range(10)]
    assert losses[-1] < losses[0]


def test_the_rate_goes_as_the_phases_say():
    phases = (Phase(0.8, 1, 16, 4), Phase(1.0, 1, 16, 4, pace=(1.0, 0.0)))
    recipe = Recipe(tokens=1000, phases=phases, warm_up=10)
    assert recipe.pace(0) == pytest.approx(0.1)
    assert recipe.pace(500) == 1.0
    assert recipe.pace(900) == pytest.approx(0.5)
    assert recipe.pace(1000) == 0.0
    sooner = Recipe(tokens=600, phases=phases, warm_up=10)
    assert sooner.pace(540) == pytest.approx(0.5)


@pytest.mark.parametrize("positions", [5, 320, 700])  # keys are taken in blocks of 320
def test_attention_in_training_has_pytorchs_gradients(positions):
    torch.manual_seed(0)
    ours = [torch.randn(2, 2, positions, 64, requires_grad=True) for _ in range(3)]
    theirs = [part.detach().clone().requires_grad_() for part in ours]
    weights = torch.randn(2, 2, positions, 64)
    (causal(*ours) * weights).sum().backward()
    attend = torch.nn.functional.scaled_dot_product_attention
    (attend(*theirs, is_causal=True) * weights).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-4)


def test_muon_is_pytorchs_for_wide_tall_and_square_matrices():
    shapes = ((24, 16), (16, 24), (16, 16), (24, 16))
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    muon = Muon(ours)
    pytorch = torch.optim.Muon(theirs, lr=0.02, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape)
            other.grad = mine.grad.clone()
        muon.step(0.02)
        pytorch.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=3e-4)  # an update is some 4e-3


def test_what_an_agent_is_given_weighs_less_than_what_it_writes():
    end, text, user, agent, tool = (SPECIAL.index(f"<|{n}|>") for n in _MARKS)
    tokens = np.array([[9, user, 8, end, agent, 7, end, tool, 8, end, agent, 7, end, text, 9]])
    found = weights(tokens, 0.25)[0].tolist()
    given = {at for at, weight in enumerate(found) if weight == 0.25}
    assert given == {2, 3, 4, 8, 9, 10}
    assert all(weight == 1.0 for at, weight in enumerate(found) if at not in given)


def test_a_grown_model_has_its_blocks_over_and_over(tiny):
    grown = grow(tiny, 4)
    for index, layer in enumerate(grown.model.layers):
        old = tiny.model.layers[index % 2].state_dict()
        assert all(torch.equal(tensor, old[name]) for name, tensor in layer.state_dict().items())


def test_windows_are_full_and_transcripts_stay_whole(mixture):
    source = mixture()
    starts = {tuple(call) for call in source.calls}
    batch = source.batch(50, 24)
    assert batch.shape == (50, 24)
    again = mixture()
    assert np.array_equal(np.concatenate((again.batch(20, 24), again.batch(30, 24))), batch)
    whole = sum(tuple(row[at : at + 9]) in starts for row in batch for at in range(len(row) - 8))
    assert whole == source.cursors.tool_calls


def test_generation_at_once_is_what_each_alone_would_give(tiny):
    rng = np.random.default_rng(0)
    prompts = [rng.integers(7, VOCABULARY, length).tolist() for length in (3, 17, 9)]
    together = generate(tiny, prompts, 8)
    for prompt, written in zip(prompts, together, strict=True):
        text = list(prompt)
        for _ in range(8):
            text.append(int(tiny(torch.tensor([text]))[0, -1].argmax()))
        assert written == text[len(prompt) :]


def test_generation_ends_before_its_stop(tiny):
    written = generate(tiny, [[9, 8, 7]], 8)[0]
    stop = written[3]
    assert generate(tiny, [[9, 8, 7]], 8, stop=stop)[0] == written[: written.index(stop)]


def test_sampling_is_reproducible_and_not_greedy(tiny):
    one = generate(tiny, [[9, 8, 7]], 30, temperature=1.0, seed=1)
    assert one == generate(tiny, [[9, 8, 7]], 30, temperature=1.0, seed=1)
    assert one != generate(tiny, [[9, 8, 7]], 30)


def test_a_model_accepts_its_own_drafts_and_another_ones_less(tiny):
    prompts = [[9, 8, 7], [5, 6]]
    texts = list(zip(prompts, generate(tiny, prompts, 40), strict=True))
    own = acceptance(tiny, texts)
    assert own.positions == (1.0,) * DEPTH
    other = acceptance(_strange(1), texts)
    assert other.positions[0] < 0.5
    assert list(other.positions) == sorted(other.positions, reverse=True)


def test_distillation_brings_drafters_closer_and_resumes(tiny, mixture, tmp_path, monkeypatch):
    recipe = Distillation(
        tokens=2560, written=64, warm_up=64, window=32, windows=4, rate=0.02, embedding_rate=0.02
    )

    def lesson():
        torch.manual_seed(1)
        return Lesson(tiny, {"draft": Llama(TINY)}, mixture(), recipe, compiled=False)

    before = lesson().step()["draft"]
    whole = lesson()
    distill(whole, tmp_path / "whole.pt")
    assert whole.step()["draft"] < before

    step = Lesson.step

    def interrupted(self):
        if self.seen >= 1280:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Lesson, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distill(lesson(), tmp_path / "begun.pt")
    monkeypatch.setattr(Lesson, "step", step)
    resumed = distill(lesson(), tmp_path / "begun.pt")["draft"].state_dict()
    kept = checkpoint.load(tmp_path / "whole.pt")["models"]["draft"]
    assert all(torch.equal(resumed[name], kept[name]) for name in kept)


def test_an_exported_model_reads_back_in_bfloat16(tiny, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    hf.save(tiny, tmp_path, tmp_path / "model")
    back = hf.load(tmp_path / "model")
    assert back.shape == TINY
    for name, tensor in back.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, tiny.state_dict()[name].bfloat16())


def test_exported_models_are_what_transformers_computes(tiny, tmp_path):
    transformers = pytest.importorskip("transformers")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    hf.save(tiny, tmp_path, tmp_path / "model")
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    tokens = torch.randint(0, VOCABULARY, (2, 20))
    ours = hf.load(tmp_path / "model").float()
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, ours(tokens), atol=1e-4)
