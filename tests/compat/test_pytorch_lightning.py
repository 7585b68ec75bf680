"""pytorch-lightning: Trainer.fit on the CPU, validation, checkpoints, gradient clipping."""

from __future__ import annotations

from compat.programs import needs, same

needs("pytorch_lightning")


def test_fit_validate_and_restore(tmp_path):
    made = same("""
import pytorch_lightning as pl
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Model(pl.LightningModule):
    def __init__(self, hidden=16):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.losses = []

    def loss(self, batch):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def training_step(self, batch, i):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, i):
        self.log("val_loss", self.loss(batch), prog_bar=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

pl.seed_everything(0)
x = torch.from_numpy(np.random.RandomState(0).standard_normal((64, 4)).astype("float32"))
data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), 16)
model = Model()
trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, gradient_clip_val=1.0,
                     enable_progress_bar=False)
trainer.fit(model, data, data)
metrics = {k: v.item() for k, v in trainer.callback_metrics.items()}
validated = trainer.validate(model, data, verbose=False)[0]["val_loss"]
trainer.save_checkpoint("model.ckpt")
again = Model.load_from_checkpoint("model.ckpt", hidden=16)
same = all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
numbers.update(losses=model.losses, **metrics, validated=validated, same=same)
""", tmp_path)
    assert made["same"] and len(made["losses"]) == 12
