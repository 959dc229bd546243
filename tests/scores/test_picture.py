import torch
from configs import picture_config
from hypothesis import given
from hypothesis import strategies as st

from unetseg.scores.picture import Labelled, picture_scores, wilson


def labelled(truth: list[int], logits: torch.Tensor, votes: list[int] | None = None) -> Labelled:
    names = tuple(f"p{i}" for i in range(len(truth)))
    return Labelled(names, torch.tensor(truth), logits, torch.tensor(truth if votes is None else votes))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_all_scores_come_from_the_same_pictures(rows: list[tuple[int, int, int]]) -> None:
    truth, label, vote = (list(some) for some in zip(*rows, strict=True))
    config = picture_config(classes=("a", "b", "c"), palette=("#000000", "#100000", "#200000", "#300000"),
                            thresholds=(0.5,) * 4)  # fmt: skip
    found = picture_scores(labelled(truth, 2.0 * torch.eye(3)[label], vote), config)
    assert found["pictures"] == len(rows)
    assert found["accuracy"] == sum(t == k for t, k in zip(truth, label, strict=True)) / len(rows)
    assert sum(map(sum, found["confusion"])) == len(rows)
    assert sum(found["confusion"][k][k] for k in range(3)) / len(rows) == found["accuracy"]
    for k, name in enumerate(config.classes):
        own = [b == k for a, b in zip(truth, label, strict=True) if a == k]
        assert found["by_class"].get(name) == (sum(own) / len(own) if own else None)
    assert found["agreement"] == sum(v == k for v, k in zip(vote, label, strict=True)) / len(rows)
    assert found["top_2"] >= found["accuracy"]
    low, high = found["interval"]
    assert low <= found["accuracy"] <= high
    # all are equally sure, so the error is the gap between that and the share that is right
    sure = torch.tensor([2.0, 0, 0]).softmax(0)[0].item()
    assert abs(found["calibration"]["before"] - abs(sure - found["accuracy"])) < 2e-5


def test_mistakes_are_the_surest_first() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, 5.0], [3.0, 0.0], [0.0, 2.0]])
    found = picture_scores(labelled([0, 0, 0, 1], logits), picture_config())
    assert [(m["picture"], m["label"], m["truth"]) for m in found["mistakes"]] == [
        ("p1", "dog", "cat"),
        ("p0", "dog", "cat"),
    ]
    assert found["mistakes"][1]["probability"] == round(torch.tensor([0.0, 1.0]).softmax(0)[1].item(), 4)


def test_an_interval_gets_narrower_and_stays_within_0_and_1() -> None:
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1
    assert wilson(90, 100)[0] > wilson(9, 10)[0]
