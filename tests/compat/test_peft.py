"""peft: LoRA on a tiny Llama; trained, saved, loaded, merged."""

from __future__ import annotations

from compat.programs import needs, same

needs("peft", "transformers")


def test_lora(tmp_path):
    made = same("""
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

def base():
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64))
    fill(model)
    return model

model = get_peft_model(base(), LoraConfig(
    task_type=TaskType.CAUSAL_LM, r=4, lora_alpha=8, lora_dropout=0.0,
    target_modules=["q_proj", "v_proj"]))
fill(model)
x = torch.arange(3, 27).reshape(2, 12)
losses = train(model, lambda: model(input_ids=x, labels=x).loss, lr=0.1)
model.save_pretrained("lora")
with torch.no_grad():
    after = model(input_ids=x, labels=x).loss.item()
inner = base()
loaded = PeftModel.from_pretrained(inner, "lora")
with torch.no_grad():
    for name, p in model.named_parameters():  # the base of the first was filled under other names
        if "lora" not in name:
            dict(loaded.named_parameters())[name].copy_(p)
    restored = loaded(input_ids=x, labels=x).loss.item()
    merged = loaded.merge_and_unload()(input_ids=x, labels=x).loss.item()
numbers.update(losses=losses, count=sum(p.numel() for p in model.parameters() if p.requires_grad), after=after, restored=restored,
       merged=merged)
""", tmp_path)
    assert made["losses"][2] < made["losses"][0]
    assert abs(made["merged"] - made["after"]) < 1e-4 and abs(made["restored"] - made["after"]) < 1e-5
