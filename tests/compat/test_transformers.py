"""transformers: five models of tiny configurations, trained for three steps; generation."""

from __future__ import annotations

import pytest
from compat.programs import needs, same

needs("transformers")
MODELS = {
    "bert": """
from transformers import BertConfig, BertForSequenceClassification
model = BertForSequenceClassification(BertConfig(
    vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=37, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
mask = torch.ones(2, 12, dtype=torch.long)
mask[1, 8:] = 0
given = dict(input_ids=x, attention_mask=mask, labels=torch.tensor([0, 1]))
""",
    "gpt2": """
from transformers import GPT2Config, GPT2LMHeadModel
model = GPT2LMHeadModel(GPT2Config(
    vocab_size=99, n_positions=64, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
    attn_pdrop=0.0, bos_token_id=1, eos_token_id=2))
given = dict(input_ids=x, attention_mask=torch.ones_like(x), labels=x)
""",
    "llama": """
from transformers import LlamaConfig, LlamaForCausalLM
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64))
given = dict(input_ids=x, attention_mask=torch.ones_like(x), labels=x)
""",
    "t5": """
from transformers import T5Config, T5ForConditionalGeneration
model = T5ForConditionalGeneration(T5Config(
    vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, dropout_rate=0.0,
    decoder_start_token_id=0))
given = dict(input_ids=x, attention_mask=torch.ones_like(x), labels=x)
""",
    "vit": """
from transformers import ViTConfig, ViTForImageClassification
model = ViTForImageClassification(ViTConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, image_size=16, patch_size=4,
    num_labels=3))
image = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
given = dict(pixel_values=image, labels=torch.tensor([0, 2]))
""",
}
TRAIN = """
fill(model)
model.eval()
model.save_pretrained("saved")
again = type(model).from_pretrained("saved").eval()
with torch.no_grad():
    logits = again(**given).logits
    same = torch.equal(logits, model(**given).logits)
model.train()
losses = train(model, lambda: model(**given).loss)
model.eval()
texts = []
if GENERATES:
    ask = dict(attention_mask=torch.ones_like(x), max_new_tokens=8)
    texts = [model.generate(x, do_sample=False, **ask).tolist(),
             model.generate(x, do_sample=False, num_beams=3, **ask).tolist()]
    model.generate(x, do_sample=True, top_k=20, top_p=0.9, **ask)
numbers.update(losses=losses, logits=logits, same=same, texts=str(texts))
"""


@pytest.mark.parametrize("name", MODELS)
def test_train_save_and_generate(name, tmp_path):
    generates = name in ("gpt2", "llama", "t5")
    start = f"x = torch.arange(3, 27).reshape(2, 12)\nGENERATES = {generates}\n"
    made = same(start + MODELS[name] + TRAIN, tmp_path)
    assert made["same"] and made["losses"][2] < made["losses"][0]
    assert (made["texts"] != "[]") == generates


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_other_attention(attention, tmp_path):
    """Without gradients: PyTorch's flexible attention has none on the CPU."""
    program = MODELS["llama"].replace(
        "max_position", f"attn_implementation={attention!r}, max_position")
    same("x = torch.arange(3, 27).reshape(2, 12)\n" + program + """
fill(model)
given["attention_mask"][1, :5] = 0
with torch.no_grad():
    numbers.update(loss=model(**given).loss.item())
""", tmp_path)


def test_trainer(tmp_path):
    """transformers' own loop, with accelerate; dropout is off, the order of examples is fixed."""
    made = same("""
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
model = BertForSequenceClassification(BertConfig(
    vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=37, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
fill(model)
r = np.random.RandomState(0)
data = [dict(input_ids=r.randint(0, 99, 12).tolist(), labels=i % 2) for i in range(16)]
trainer = Trainer(model=model, train_dataset=data, eval_dataset=data, args=TrainingArguments(
    output_dir="out", num_train_epochs=2, per_device_train_batch_size=4, report_to=[], use_cpu=True,
    logging_steps=2, save_strategy="epoch", disable_tqdm=True, learning_rate=1e-3))
trainer.train()
logged = [e["loss"] for e in trainer.state.log_history if "loss" in e]
numbers.update(logged=logged, after=trainer.evaluate()["eval_loss"])
""", tmp_path, rtol=1e-3)
    assert len(made["logged"]) == 4
