"""PyTorch's and scikit-learn's side of scripts/proofs/classification.ts (Debian: python3-torch, python3-sklearn).

    python3 scripts/proofs/classification.py FOLDER

Reads task.json and the float32 and int64 arrays beside it, computes the same with PyTorch and scikit-learn, and prints JSON.
"""

import json
import math
import os
import sys

import numpy as np
import torch
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

folder = sys.argv[1]
with open(os.path.join(folder, "task.json"), encoding="utf8") as file:
    task = json.load(file)


def array(name, dtype=np.float32):
    values = np.fromfile(os.path.join(folder, name), dtype=dtype)
    return values.reshape(task["shapes"][name])


def head_training():
    """torch.optim.SGD and CrossEntropyLoss on the same batches; the weights after each step."""
    torch.manual_seed(0)
    features = torch.from_numpy(array("features"))
    labels = torch.from_numpy(array("labels", np.int64))
    batches = array("batches", np.int64)
    head = torch.nn.Linear(features.shape[1], task["classes"])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(array("weight")))
        head.bias.copy_(torch.from_numpy(array("bias")))
    optimizer = torch.optim.SGD(
        head.parameters(), lr=task["lr"], momentum=task["momentum"], weight_decay=task["weightDecay"]
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, task["epochs"])
    criterion = torch.nn.CrossEntropyLoss()
    losses, weights, biases = [], [], []
    for step, batch in enumerate(batches):
        own = torch.from_numpy(batch[batch >= 0])
        loss = criterion(head(features[own]), labels[own])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        weights.append(head.weight.detach().numpy().copy())
        biases.append(head.bias.detach().numpy().copy())
        if (step + 1) % task["stepsPerEpoch"] == 0:
            scheduler.step()
    np.stack(weights).tofile(os.path.join(folder, "torch_weights"))
    np.stack(biases).tofile(os.path.join(folder, "torch_biases"))
    with torch.no_grad():
        logits = head(torch.from_numpy(array("test"))).numpy()
    classes = np.arange(task["classes"])
    truth = array("test_labels", np.int64)
    return losses, {str(k): top_k_accuracy_score(truth, logits, k=k, labels=classes) for k in (1, 5)}


def neighbours():
    """Probabilities of KNeighborsClassifier by cosine distance, with votes of weight exp(similarity / T)."""
    knn = KNeighborsClassifier(
        n_neighbors=task["k"],
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp((1 - distances) / task["temperature"]),
    )
    knn.fit(array("features").astype(np.float64), array("labels", np.int64))
    # Classes without a vote are equal: they rank by their index, where scikit-learn would begin with the last.
    scores = knn.predict_proba(array("test").astype(np.float64)) - 1e-9 * np.arange(task["classes"])
    truth = array("test_labels", np.int64)
    return {str(k): top_k_accuracy_score(truth, scores, k=k, labels=knn.classes_) for k in (1, 5)}


def average_precisions():
    """average_precision_score of each test image's cosine similarities to the training images."""
    bank, queries = array("features").astype(np.float64), array("test").astype(np.float64)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    labels, truth = array("labels", np.int64), array("test_labels", np.int64)
    similarities = queries @ bank.T
    return [average_precision_score(labels == own, row) for own, row in zip(truth, similarities)]


def tied_average_precision():
    similarities = array("tied")
    relevant = array("tied_relevant", np.int64) > 0
    return [average_precision_score(own, row) for own, row in zip(relevant, similarities)]


losses, top_k = head_training()
assert not any(math.isnan(loss) for loss in losses)
json.dump(
    {
        "torch": torch.__version__,
        "sklearn": __import__("sklearn").__version__,
        "losses": losses,
        "topK": top_k,
        "knn": neighbours(),
        "averagePrecision": average_precisions(),
        "tiedAveragePrecision": tied_average_precision(),
    },
    sys.stdout,
)
