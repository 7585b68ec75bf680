"""The same program with `import torch`: run it with `rushlight run examples/mnist_torch.py`."""

import torch
import torch.nn as nn
import torch.optim as optim

from rushlight import datasets


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = torch.flatten(x, 1)
        x = self.fc1(x)
        x = torch.relu(x)
        return self.fc2(x)


def loader(train):
    mnist = datasets.MNIST(train=train)
    data = torch.utils.data.TensorDataset(mnist.data.float() / 255, mnist.targets)
    return torch.utils.data.DataLoader(data, batch_size=64, shuffle=train)


torch.manual_seed(0)
net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
trainloader, testloader = loader(True), loader(False)

for epoch in range(10):
    running_loss = 0.0
    for i, data in enumerate(trainloader, 0):
        inputs, labels = data
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    print(f"epoch {epoch + 1}: loss {running_loss / (i + 1):.3f}")

correct = total = 0
with torch.no_grad():
    for images, labels in testloader:
        outputs = net(images)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
print(f"accuracy on the {total} test images: {100 * correct / total:.2f} %")
