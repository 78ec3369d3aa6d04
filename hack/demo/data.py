"""Input tables of the demo. They are created on this machine; nothing is downloaded."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn import datasets

SEED = 7
DAYS = 2 * 365
FIRST_DAY = "2024-01-01"
PRODUCTS = {"baguette": 180, "croissant": 120, "rye-bread": 45, "cheesecake": 18, "lemonade": 60, "pumpkin-soup": 25}
"""Name and mean daily sale."""


PATIENTS = 380
"""How many of scikit-learn's 442 the demo begins with; the others come before its schedule fires."""
MACHINES = 40
READING_DAYS = 30


def tables() -> Iterator[tuple[str, str, str]]:
    """Yield object key, CSV text and where the table comes from."""
    yield "diabetes.csv", diabetes(PATIENTS), f"scikit-learn: {PATIENTS} patients, 10 measurements"
    cancer = datasets.load_breast_cancer(as_frame=True).frame
    # scikit-learn codes a malignant tumour as 0; here the column says what its name says.
    cancer = cancer.assign(malignant=1 - cancer["target"]).drop(columns="target")
    yield "breast-cancer.csv", _csv(cancer), f"scikit-learn: {len(cancer)} tumours, 30 measurements"
    products = product_sales()
    yield (
        "products.csv",
        _csv(products),
        f"generated: daily sales of {len(PRODUCTS)} products over {DAYS} days, seed {SEED}",
    )
    readings = machine_readings(READING_DAYS)
    yield "machines.csv", _csv(readings), f"generated: {len(readings)} readings of {MACHINES} machines, seed {SEED}"


def diabetes(patients: int | None = None) -> str:
    """Return scikit-learn's diabetes table as CSV: the first patients, or all."""
    return _csv(datasets.load_diabetes(as_frame=True).frame.head(patients))


def machine_readings(days: int) -> pd.DataFrame:
    """Return made-up readings of machines, one a day, and whether the machine failed within a week: one in eight does.

    A day's rows are the same however many days follow, as in a table that grows each night.
    """
    frames = []
    for day in range(days):
        random = np.random.default_rng([SEED, day])
        heat, vibration = random.normal(70, 8, MACHINES), random.gamma(4, 0.5, MACHINES)
        hours = random.integers(0, 4000, MACHINES)
        risk = (heat - 70) / 8 + 1.2 * (vibration - 2) + hours / 4000 - 2.6
        frame = {
            "reading": [f"m{machine:02d}-{day:04d}" for machine in range(MACHINES)],
            "heat": heat.round(1),
            "vibration": vibration.round(2),
            "hours": hours,
            "site": random.choice(["north", "south"], MACHINES),
            "failed": np.where(random.random(MACHINES) < 1 / (1 + np.exp(-1.5 * risk)), "yes", "no"),
        }
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


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
