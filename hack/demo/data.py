"""The demo's input tables, made on this machine: nothing is fetched."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn import datasets

SEED = 7
DAYS = 2 * 365
FIRST_DAY = "2024-01-01"
PRODUCTS = {"baguette": 180, "croissant": 120, "rye-bread": 45, "cheesecake": 18, "lemonade": 60, "pumpkin-soup": 25}
"""Name and mean daily sale."""


def tables() -> Iterator[tuple[str, str, str]]:
    """Yield object key, CSV text and where the table comes from."""
    diabetes = datasets.load_diabetes(as_frame=True).frame
    yield "diabetes.csv", _csv(diabetes), f"scikit-learn: {len(diabetes)} patients, 10 measurements"
    cancer = datasets.load_breast_cancer(as_frame=True).frame
    # scikit-learn codes a malignant tumour as 0; here the column says what its name says.
    cancer = cancer.assign(malignant=1 - cancer["target"]).drop(columns="target")
    yield "breast-cancer.csv", _csv(cancer), f"scikit-learn: {len(cancer)} tumours, 30 measurements"
    products = product_sales()
    yield (
        "products.csv",
        _csv(products),
        f"made up: daily sales of {len(PRODUCTS)} products over {DAYS} days, seed {SEED}",
    )


def product_sales() -> pd.DataFrame:
    """Return made-up daily sales in long format: ``date``, ``product``, ``quantity``.

    No daily sales ship inside the libraries the project uses, so these are drawn: a level for each product, a weekly
    and a yearly rhythm, a slow trend, and counts around that mean (Poisson).
    """
    random = np.random.default_rng(SEED)
    days = pd.date_range(FIRST_DAY, periods=DAYS, freq="D")
    frames = []
    for product, level in PRODUCTS.items():
        week = 1 + random.uniform(0.1, 0.4) * np.sin(2 * np.pi * (days.dayofweek + random.uniform(0, 7)) / 7)
        year = 1 + random.uniform(0.1, 0.5) * np.sin(2 * np.pi * (days.dayofyear + random.uniform(0, 365)) / 365.25)
        trend = np.linspace(1, random.uniform(0.8, 1.5), DAYS)
        quantity = random.poisson(level * np.asarray(week) * np.asarray(year) * trend)
        frames.append(pd.DataFrame({"date": days.strftime("%Y-%m-%d"), "product": product, "quantity": quantity}))
    return pd.concat(frames, ignore_index=True)


def _csv(frame: pd.DataFrame) -> str:
    return str(frame.to_csv(index=False))
